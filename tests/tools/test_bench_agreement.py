# SPDX-License-Identifier: Apache-2.0
"""Tests of the checks that both sides of a benchmark compute the same."""

import pytest

from ramjax.tools import bench_agreement
from ramjax.tools.bench_cases import Plan

DATA = dict(examples=2, tokens=9, supervised_tokens=4)


def _plan():
  facts = dict(data=dict(DATA, rows_truncated=0), model=dict(dtype="float32"))
  return Plan([], [], lambda counts: 0.0, facts, [])


def _summaries(**changes):
  """Of the four raw cases and TRL's default; `changes` are to "trl raw"."""
  counts = dict(places=20, padding=8, tokens=12, supervised=6, pairs=40)
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
  counts = dict(places=30, padding=12, tokens=18, supervised=9, pairs=60)
  same = _summaries(steps=3, counts=counts)
  bench_agreement.require_same_tokens(_plan(), same)
  other = _summaries(counts=dict(counts, places=32), steps=3)
  with pytest.raises(ValueError, match="the raw batches differ"):
    bench_agreement.require_same_tokens(_plan(), other)
