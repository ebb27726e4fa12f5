# SPDX-License-Identifier: Apache-2.0
"""Tests of what `ramjax bench sft` measures."""

from typing import Any

import numpy as np
import pytest

from ramjax.data.tokenize_rows import Example
from ramjax.tools import (
  bench_sft,
  bench_sft_ours,
  bench_training,
  bench_trl,
  bench_trl_sft,
)


def _example(length, supervised):
  """Tokens 10, 11, ...; the last `supervised` of them are."""
  mask = np.arange(length) >= length - supervised
  return Example(np.arange(10, 10 + length, dtype=np.int32), mask, 0)


def test_raw_batch_is_that_of_the_median_padded_length():
  lengths = [*[3] * 7, 9, *[3] * 7, 40, *[3] * 7, 20, 99]
  raw = bench_sft._raw_examples([_example(n, 1) for n in lengths])
  assert [len(example.tokens) for example in raw] == [*[3] * 7, 20]


def test_examples_survive_the_file(tmp_path):
  examples = [_example(3, 1), _example(5, 4)]
  bench_sft._save_examples(tmp_path / "e.npz", examples)
  loaded = bench_sft.load_examples(tmp_path / "e.npz")
  assert len(loaded) == 2
  for before, after in zip(examples, loaded, strict=True):
    np.testing.assert_array_equal(before.tokens, after.tokens)
    np.testing.assert_array_equal(before.response_mask, after.response_mask)


def test_padded_batch_is_one_example_a_row():
  batch = bench_sft_ours.padded_batch(
    [_example(2, 1), _example(4, 2)], length=5
  )
  pad = bench_training.PAD_ID
  assert batch.tokens.tolist() == [[10, 11, pad, pad, pad], [10, 11, 12, 13, 3]]
  assert batch.segment_ids.tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]
  assert batch.positions.tolist() == [[0, 1, 2, 3, 4]] * 2
  assert batch.response_mask.sum(axis=1).tolist() == [1, 2]


def test_both_sides_count_the_same_batch_alike():
  batch = bench_sft_ours.padded_batch(
    [_example(2, 1), _example(4, 2)], length=5
  )
  labels = np.where(batch.response_mask, batch.tokens, -100)
  supervised = bench_trl_sft._SIDE.supervised(dict(labels=labels))
  expected = dict(places=10, padding=4, tokens=6, supervised=3, pairs=3 + 10)
  assert bench_sft_ours.count_batches([batch]) == expected
  assert bench_trl.count_batches([(batch.segment_ids, supervised)]) == expected


def test_packed_examples_do_not_attend_to_each_other():
  # Segments of 2 and 3 in one row: 3 + 6 pairs, not the 15 of 5 tokens.
  row = np.array([[1, 1, 2, 2, 2, 0]], np.int32)
  batch = bench_sft_ours.TokenBatch(row, row > 0, row, row)
  assert bench_sft_ours.count_batches([batch, batch])["pairs"] == 18


def _prepare(folder, **fields):
  """A plan, of our side alone and for a CPU where `fields` do not say."""
  defaults: dict[str, Any] = dict(
    rows="tasks:300?seed=0",
    size="tiny",
    against="",
    device="cpu",
    steps=3,
    seconds=5.0,
  )
  return bench_sft.prepare(folder, **(defaults | fields))


def test_plan_alternates_the_sides_on_the_same_folder(tmp_path):
  plan = _prepare(tmp_path, against="trl")
  assert [case.name.split()[0] for case in plan.cases] == [
    *["ours", "trl", "ours", "ours", "trl", "ours", "trl"]
  ]
  assert all(len(case.name) <= 17 for case in plan.cases)
  assert all(case.spec["folder"] == str(tmp_path) for case in plan.cases)
  examples = bench_sft.load_examples(tmp_path / "examples.npz")
  assert len(examples) == 300 == plan.facts["data"]["examples"]
  tokens = sum(len(example.tokens) for example in examples)
  assert tokens == plan.facts["data"]["tokens"]
  rows, length = plan.facts["raw_batch"]
  raw = bench_sft.load_examples(tmp_path / "raw.npz")
  longest = max(len(example.tokens) for example in raw)
  assert rows == len(raw) == 8 and 0 <= length - longest < 8 and length % 8 == 0


def test_without_a_peer_no_weights_are_written(tmp_path):
  plan = _prepare(tmp_path, size="8b", device="gpu")
  assert plan.setup == []
  packed = plan.cases[0].spec
  assert (packed["rows"], packed["remat"]) == (2, "full")
  assert packed["config"]["data"]["max_length"] == 4096


def test_too_few_rows_are_refused(tmp_path):
  with pytest.raises(ValueError, match="has 7 rows: a batch needs 8"):
    _prepare(tmp_path, rows="tasks:7?seed=0")
