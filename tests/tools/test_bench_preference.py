# SPDX-License-Identifier: Apache-2.0
"""Tests of what `ramjax bench preference` measures."""

import itertools

import numpy as np
import pytest

from ramjax.data.tokenize_groups import Group
from ramjax.tools import (
  bench_preference,
  bench_preference_ours,
  bench_preference_pairs,
  bench_trl,
)
from ramjax.tools.bench_cases import Plan


def _pair(prompt, chosen, rejected):
  """Tokens 10, 11, ... of the prompt; 50, ... and 80, ... of the answers."""
  starts = zip((10, 50, 80), (prompt, chosen, rejected), strict=True)
  parts = [np.arange(a, a + n, dtype=np.int32) for a, n in starts]
  return Group(
    prompts=(parts[0],),
    responses=(parts[1], parts[2]),
    response_masks=(np.ones(chosen, bool), np.ones(rejected, bool)),
    features={
      "margins": np.array([0.5], np.float32),
      "preference_probs": np.array([0.9], np.float32),
    },
    num_truncated=0,
  )


PAIRS = [_pair(3, 2, 4), _pair(5, 1, 1)]
# 2 (3 + 5) of prompts and 8 of answers; lengths 5, 7, 6 and 6.
TOKENS, SUPERVISED, ATTENDED = 24, 8, 15 + 28 + 21 + 21


def _batch(*, share_prompt, pack, row_length=32):
  (batch,) = bench_preference_ours.group_batches.eval_batches(
    PAIRS,
    row_length=row_length,
    share_prompt=share_prompt,
    batch_size=1 if pack else 2,
    pack=pack,
  )
  return batch


def test_pairs_survive_the_file(tmp_path):
  bench_preference_pairs.save(tmp_path / "p.npz", PAIRS)
  loaded = bench_preference_pairs.load(tmp_path / "p.npz")
  assert len(loaded) == 2
  for before, after in zip(PAIRS, loaded, strict=True):
    for name in ("prompts", "responses", "response_masks"):
      pairs = zip(getattr(before, name), getattr(after, name), strict=True)
      for expected, found in pairs:
        np.testing.assert_array_equal(expected, found)
    assert before.features == after.features


def test_a_pair_pads_to_its_longer_answer():
  lengths = [bench_preference_pairs.longest_answer(pair) for pair in PAIRS]
  assert lengths == [7, 6]


@pytest.mark.parametrize(
  ("share_prompt", "pack", "places", "padding"),
  [
    (False, False, 64, 40),
    (False, True, 32, 8),
    # Prompts but their last token, that token and the answer for each answer:
    # 2 + 3 + 5 and 4 + 2 + 2.
    (True, True, 32, 14),
  ],
)
def test_a_prompt_counts_once_an_answer_however_it_is_computed(
  share_prompt, pack, places, padding
):
  batch = _batch(share_prompt=share_prompt, pack=pack)
  assert bench_preference_ours.count_batches([batch, batch], PAIRS) == dict(
    places=2 * places,
    padding=2 * padding,
    tokens=2 * TOKENS,
    supervised=2 * SUPERVISED,
    pairs=2 * ATTENDED,
  )


def test_both_sides_count_the_same_raw_batch_alike():
  # TRL: an answer a row of 8; ours: a pair a row of 16.
  rows = [(5, 2), (6, 1), (7, 4), (6, 1)]
  place = np.arange(8)
  attended = np.array([place < n for n, _ in rows])
  supervised = np.array([(n - a <= place) & (place < n) for n, a in rows])
  theirs = bench_trl.count_batches([(attended, supervised)])
  ours = bench_preference_ours.count_batches(
    [_batch(share_prompt=False, pack=False, row_length=16)], PAIRS
  )
  assert ours == theirs


def test_every_place_reaches_the_head_and_only_answers_are_summed():
  batch = _batch(share_prompt=False, pack=True)
  every = bench_preference_ours.with_every_token(batch)
  assert every.response_mask.all()
  for number in (1, 2, 3, 4):
    np.testing.assert_array_equal(
      every.response_ids == number,
      batch.response_mask & (batch.response_ids == number),
    )


def test_loss_is_the_same_with_every_place_through_the_head():
  import jax
  import tiny_groups

  from ramjax.evals.response_likelihood import response_likelihood
  from ramjax.models.config import LlamaConfig

  config = LlamaConfig(
    vocab_size=100,
    width=4,
    mlp_width=6,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_dim=2,
  )
  params = tiny_groups.params(config)
  batch = _batch(share_prompt=False, pack=True)

  @jax.jit
  def likelihood(params, batch):
    return response_likelihood(params, config, batch, chunk_size=8)

  supervised, every = (
    likelihood(params, one)
    for one in (batch, bench_preference_ours.with_every_token(batch))
  )
  np.testing.assert_allclose(supervised.logps, every.logps, rtol=1e-6)
  np.testing.assert_array_equal(supervised.lengths, every.lengths)
  assert np.asarray(every.tokens.mask).sum() > SUPERVISED


def _plan(tmp_path, rows="task_pairs:300?seed=0", against="trl"):
  return bench_preference.prepare(
    tmp_path,
    rows=rows,
    size="tiny",
    against=against,
    device="cpu",
    steps=3,
    seconds=5.0,
  )


def test_plan_adds_one_technique_at_a_time(tmp_path):
  plan = _plan(tmp_path)
  names = [case.name for case in plan.cases]
  assert names == [
    *("ours plain", "ours +supervised", "ours +packed", "ours +shared"),
    *("trl default", "ours +cached", "ours raw", "trl raw"),
  ]
  assert all(len(name) <= 17 for name in names)
  specs = {case.name: case.spec for case in plan.cases}
  ladder = [specs[name] for name in bench_preference._LADDER]
  changed = [
    {name for name in before if before[name] != after[name]}
    for before, after in itertools.pairwise(ladder)
  ]
  assert changed[0] == {"every_token"} and changed[3] == {"cached"}
  assert changed[1] <= {"pack", "rows"} and "pack" in changed[1]
  assert changed[2] <= {"share_prompt", "rows", "row_length"}
  pairs = bench_preference_pairs.load(tmp_path / "pairs.npz")
  assert len(pairs) == plan.facts["data"]["examples"]
  tokens = sum(pair.num_tokens for pair in pairs)
  assert tokens == plan.facts["data"]["tokens"]
  raw = bench_preference_pairs.load(tmp_path / "raw.npz")
  rows, length = plan.facts["raw_batch"]
  longest = max(map(bench_preference_pairs.longest_answer, raw))
  assert rows == 2 * len(raw) == 16 and 0 <= length - longest < 8
  assert specs["ours raw"]["row_length"] == 2 * length


def test_alone_there_is_no_case_of_the_peer(tmp_path):
  plan = _plan(tmp_path, against="")
  assert [c.name for c in plan.cases] == [*bench_preference._LADDER, "ours raw"]
  assert len(plan.setup) == 3


def test_rows_hold_as_many_pairs_as_the_batch_of_trl():
  # With the prompt twice 600 tokens each, eight are 6.25 rows of 768; with it
  # once 401 (its last token is in both branches), 6.27 rows of 512.
  pairs = [_pair(200, 100, 100)] * 9
  rows = bench_preference._rows_like_trl(pairs, share_prompt=False)
  assert rows == [6, 768]
  rows = bench_preference._rows_like_trl(pairs, share_prompt=True)
  assert rows == [6, 512]


def test_too_few_pairs_are_refused(tmp_path):
  with pytest.raises(ValueError, match="has 7 rows: a batch needs 8"):
    _plan(tmp_path, rows="task_pairs:7?seed=0")


def test_answers_supervised_in_part_are_refused():
  mask = np.array([True, False])
  pair = PAIRS[0]._replace(response_masks=(mask, np.ones(4, bool)))
  with pytest.raises(ValueError, match="supervised in part"):
    bench_preference._require_whole_answers([pair], "rows")


def test_gains_are_over_the_case_before_and_an_epoch_pays_for_its_cache():
  rates = (100.0, 200.0, 300.0, 600.0, 1200.0)
  summaries = {
    name: dict(tokens_per_s=rate)
    for name, rate in zip(bench_preference._LADDER, rates, strict=True)
  }
  gains = bench_preference._gains(summaries)
  assert gains.sentence.endswith(
    "+supervised 2.00, +packed 1.50, +shared 2.00, +cached 2.00"
  )
  plan = Plan([], [], lambda counts: 0.0, dict(data=dict(tokens=1200)), [])
  reference = dict(seconds=2.0, pairs=5)
  # 1 s of training and 2 s before it.
  epoch = bench_preference._epoch(plan, summaries, reference)
  assert epoch.figures["tokens_per_s"] == pytest.approx(400)
  assert "over_trl" not in epoch.figures
  summaries["trl default"] = dict(tokens_per_s=100.0)
  epoch = bench_preference._epoch(plan, summaries, reference)
  assert epoch.sentence.endswith("400 tokens/s, 4.00 of trl default")
