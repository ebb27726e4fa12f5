# SPDX-License-Identifier: Apache-2.0
"""Tests of what `ramjax bench sft` measures, and of its agreement checks."""

import numpy as np
import pytest

from ramjax.data.tokenize_rows import Example
from ramjax.models.config import LlamaConfig
from ramjax.tools import (
  bench_agreement,
  bench_sft,
  bench_sft_ours,
  bench_trl,
  bench_trl_inputs,
)
from ramjax.tools.bench_cases import Plan

SHAPE = LlamaConfig(
  vocab_size=10,
  width=4,
  mlp_width=6,
  num_layers=2,
  num_heads=2,
  num_kv_heads=1,
  head_dim=2,
)


def _example(length, supervised):
  """Tokens 10, 11, ...; the last `supervised` of them are."""
  mask = np.arange(length) >= length - supervised
  return Example(np.arange(10, 10 + length, dtype=np.int32), mask, 0)


def test_flops_by_hand():
  # One layer: query and output 4 x 4, key and value 4 x 2, three of 4 x 6:
  # 120 weights, 240 in both, 6 operations a token each: 7,200. The head: 40
  # weights, 2 tokens: 480. Attention of 5 tokens: 15 pairs, 4 x 2 operations
  # each (query-key and weight-value, width 4, two a multiply-add) is 16
  # forward, 48 with the backward pass, 2 layers: 1,440.
  counts = dict(places=99, tokens=5, supervised=2, pairs=15)
  assert bench_sft.model_flops(SHAPE, counts) == 7200 + 480 + 1440


def test_padding_costs_no_flops():
  counts = dict(places=8, tokens=5, supervised=2, pairs=15)
  more = dict(counts, places=8000)
  assert bench_sft.model_flops(SHAPE, counts) == bench_sft.model_flops(
    SHAPE, more
  )


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
  pad = bench_sft.PAD_ID
  assert batch.tokens.tolist() == [[10, 11, pad, pad, pad], [10, 11, 12, 13, 3]]
  assert batch.segment_ids.tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]
  assert batch.positions.tolist() == [[0, 1, 2, 3, 4]] * 2
  assert batch.response_mask.sum(axis=1).tolist() == [1, 2]


def test_both_sides_count_the_same_batch_alike():
  batch = bench_sft_ours.padded_batch(
    [_example(2, 1), _example(4, 2)], length=5
  )
  labels = np.where(batch.response_mask, batch.tokens, -100)
  expected = dict(places=10, tokens=6, supervised=3, pairs=3 + 10)
  assert bench_sft_ours.count_batches([batch]) == expected
  assert bench_trl.count_batches([(batch.segment_ids, labels)]) == expected


def test_packed_examples_do_not_attend_to_each_other():
  # Segments of 2 and 3 in one row: 3 + 6 pairs, not the 15 of 5 tokens.
  row = np.array([[1, 1, 2, 2, 2, 0]], np.int32)
  batch = bench_sft_ours.TokenBatch(row, row > 0, row, row)
  assert bench_sft_ours.count_batches([batch, batch])["pairs"] == 18


def test_vocabulary_is_halved_until_the_rows_fill_it(tmp_path):
  from ramjax.data.rows import TextRow

  rows = [TextRow("what is this ", f"number {i} of them") for i in range(99)]
  # They hold fewer than 8,192 pieces, and fewer than 512.
  with pytest.raises(ValueError, match="vocab_size=512 is more than"):
    bench_sft._train_tokenizer(tmp_path, rows, 8192, "plain")
  words = [TextRow("", f"w{i * 7919 % 9973:x}q" * 3) for i in range(900)]
  tokenizer = bench_sft._train_tokenizer(tmp_path, words, 8192, "plain")
  assert tokenizer.vocab_size in (512, 1024, 2048, 4096)


def test_plan_alternates_the_sides_on_the_same_folder(tmp_path):
  plan = bench_sft.prepare(
    tmp_path,
    rows="tasks:300?seed=0",
    size="tiny",
    against="trl",
    device="cpu",
    steps=3,
    seconds=5.0,
  )
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


def test_too_few_rows_are_refused(tmp_path):
  with pytest.raises(ValueError, match="has 7 rows: a batch needs 8"):
    bench_sft.prepare(
      tmp_path,
      rows="tasks:7?seed=0",
      size="tiny",
      against="",
      device="cpu",
      steps=1,
      seconds=1.0,
    )


# Agreement of the two sides.

DATA = dict(examples=2, tokens=9, supervised_tokens=4)


def _plan():
  facts = dict(data=dict(DATA, rows_truncated=0), model=dict(dtype="float32"))
  return Plan([], [], lambda counts: 0.0, facts, [])


def _summaries(**changes):
  """Of the four raw cases and TRL's default; `changes` are to "trl raw"."""
  counts = dict(places=20, tokens=12, supervised=6, pairs=40)
  raw = dict(steps=2, counts=counts, rounds=[dict(losses=[7.0, 6.0])])
  names = ("ours raw", "ours raw remat", "trl raw", "trl raw ckpt")
  return {
    **{name: dict(raw) for name in names},
    "trl raw": {**raw, **changes},
    "trl default": dict(rounds=[dict(data=dict(DATA))]),
  }


def test_equal_sides_pass_and_their_losses_are_told():
  summaries = _summaries(rounds=[dict(losses=[7.0005, 6.25])])
  bench_agreement.require_same_tokens(_plan(), summaries)
  finding = bench_agreement.same_losses(_plan(), summaries)
  assert finding.figures["apart"] == pytest.approx([0.0005, 0.25])
  assert finding.figures["tolerance"] == 1e-3
  assert "ours 7.000000, TRL 7.000500" in finding.sentence


@pytest.mark.parametrize("loss", [7.002, 6.998, float("nan")])
def test_another_first_loss_is_refused(loss):
  summaries = _summaries(rounds=[dict(losses=[loss, 6.0])])
  with pytest.raises(ValueError, match="do not compute the same"):
    bench_agreement.same_losses(_plan(), summaries)


def test_other_tokens_are_refused():
  summaries = _summaries()
  summaries["trl default"]["rounds"][0]["data"]["tokens"] = 8
  with pytest.raises(ValueError, match="do not train on the same tokens"):
    bench_agreement.require_same_tokens(_plan(), summaries)
  # As many steps more, in the same proportion, are the same batch.
  counts = dict(places=30, tokens=18, supervised=9, pairs=60)
  same = _summaries(steps=3, counts=counts)
  bench_agreement.require_same_tokens(_plan(), same)
  other = _summaries(counts=dict(counts, places=32), steps=3)
  with pytest.raises(ValueError, match="the raw batches differ"):
    bench_agreement.require_same_tokens(_plan(), other)


# Our weights under Hugging Face's names.


def test_weights_are_transposed_and_unstacked():
  kernel = np.arange(2 * 3 * 4).reshape(2, 3, 4)
  scale = np.arange(6).reshape(2, 3)
  weights: dict[str, np.ndarray] = {
    f"layers/{name}": scale if name.endswith("scale") else kernel
    for name in bench_trl_inputs._LAYER_NAMES
  }
  weights["embed/embedding"] = np.ones((5, 3))
  weights["final_norm/scale"] = np.full(3, 2.0)
  named = bench_trl_inputs.hf_weights(weights)
  assert len(named) == 3 + 2 * 9
  up = named["model.layers.1.mlp.up_proj.weight"]
  assert up.shape == (4, 3) and up[3, 0] == kernel[1, 0, 3]
  norm = named["model.layers.0.input_layernorm.weight"]
  assert norm.tolist() == [0, 1, 2]
  # Tied: the head is the embedding.
  assert named["lm_head.weight"].shape == (5, 3)
  untied = dict(weights, **{"lm_head/kernel": np.zeros((3, 5))})
  assert not bench_trl_inputs.hf_weights(untied)["lm_head.weight"].any()


@pytest.mark.peers
def test_weights_fit_a_llama_of_transformers(tmp_path):
  pytest.importorskip("transformers")
  import dataclasses

  import jax

  from ramjax.models import llama

  params = llama.init_params(SHAPE, jax.random.key(0))
  leaves, _ = jax.tree_util.tree_flatten_with_path(params)
  named = {
    jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
    for path, leaf in leaves
  }
  np.savez(tmp_path / "weights.npz", allow_pickle=False, **named)
  spec = dict(folder=str(tmp_path), model=dataclasses.asdict(SHAPE))
  model = bench_trl_inputs.make_model(spec)
  num_parameters = sum(p.numel() for p in model.parameters())
  assert num_parameters == SHAPE.num_parameters
