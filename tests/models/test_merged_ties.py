# SPDX-License-Identifier: Apache-2.0
"""TIES by hand, and against the algorithm on whole arrays."""

import numpy as np
import pytest

from ramjax.models import merged_ties, tensors


def _source(tiny, config, values, dtype="float32"):
  return tiny.ArraySource(config, {"x": np.array(values, dtype)})


def _read(source):
  spec = source.specs["x"]
  blocks = [source.rows("x", *at) for at in tensors.blocks(spec)]
  return np.concatenate(blocks)


def _reference(base, models, density, scale):
  """Algorithm 1 of arXiv 2306.01708, on flat float32 vectors."""
  kept = []
  for model in models:
    change = model - base
    k = max(1, round(density * change.size))
    threshold = np.sort(np.abs(change))[::-1][k - 1]
    kept.append(np.where(np.abs(change) >= threshold, change, 0))
  kept = np.stack(kept)
  elected = np.sign(kept.sum(axis=0))
  agree = (np.sign(kept) == elected) & (kept != 0)
  merged = np.zeros_like(base)
  for place in range(base.size):
    if agree[:, place].any():
      merged[place] = kept[agree[:, place], place].mean()
  return base + scale * merged


def test_by_hand(tiny, config):
  base = _source(tiny, config, [1.0, 1.0, 1.0, 1.0])
  models = [
    _source(tiny, config, [4.0, 1.5, -1.0, 1.0]),  # 3, 0.5, -2, 0
    _source(tiny, config, [2.0, 1.0, 5.0, 1.1]),  # 1, 0, 4, 0.1
    _source(tiny, config, [-1.0, 3.0, 1.0, 1.0]),  # -2, 2, 0, 0
  ]
  # The larger half: (3, 0, -2, 0), (1, 0, 4, 0), (-2, 2, 0, 0). Sums 2, 2, 2,
  # 0: means of the positive ones 2, 2, 4.
  found = merged_ties.ties(base, models, density=0.5, scale=0.5)
  assert _read(found).tolist() == [2.0, 2.0, 3.0, 1.0]


def test_a_sum_of_0_leaves_the_base(tiny, config):
  base = _source(tiny, config, [1.0, 1.0])
  models = [_source(tiny, config, v) for v in ([3.0, 2.0], [-1.0, 2.0])]
  found = merged_ties.ties(base, models, density=1)
  assert _read(found).tolist() == [1.0, 2.0]


def test_all_that_equal_the_threshold_are_kept(tiny, config):
  base = _source(tiny, config, [0.0] * 4)
  model = _source(tiny, config, [1.0, -1.0, 1.0, 0.5])
  found = merged_ties.ties(base, [model], density=0.25)
  assert _read(found).tolist() == [1.0, -1.0, 1.0, 0.0]


def test_one_element_is_kept_at_least(tiny, config):
  base = _source(tiny, config, [0.0] * 4)
  model = _source(tiny, config, [1.0, -4.0, 2.0, 0.5])
  found = merged_ties.ties(base, [model], density=0.01)
  assert _read(found).tolist() == [0.0, -4.0, 0.0, 0.0]


def test_one_model_in_full_is_that_model(tiny, config):
  rng = np.random.default_rng(0)
  base, model = (_source(tiny, config, rng.random((9, 5))) for _ in range(2))
  found = _read(merged_ties.ties(base, [model], density=1))
  np.testing.assert_allclose(found, model.arrays["x"], atol=3e-7)


def test_an_unchanged_tensor_stays_to_the_bit(tiny, config):
  base = _source(tiny, config, [0.5, -1.1, 3.0])
  found = merged_ties.ties(base, [base, base])
  assert _read(found).tobytes() == base.arrays["x"].tobytes()


@pytest.mark.parametrize("block_bytes", [64, 2**20])
@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("density", [0.001, 0.2, 0.77, 1.0])
def test_it_agrees_with_whole_arrays(
  tiny, config, density, rounded, block_bytes, monkeypatch
):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", block_bytes)
  rng = np.random.default_rng(2)
  base = rng.standard_normal((37, 11)).astype(np.float32)
  changes = rng.standard_normal((4, 37, 11))
  if rounded:  # Many ties, zeros, and sums of 0.
    base, changes = np.round(base), np.round(changes)
  models = [(base + change).astype(np.float32) for change in changes]
  found = merged_ties.ties(
    _source(tiny, config, base),
    [_source(tiny, config, m) for m in models],
    density=density,
    scale=0.6,
  )
  expected = _reference(
    base.ravel(), [m.ravel() for m in models], density, np.float32(0.6)
  )
  np.testing.assert_allclose(
    _read(found).ravel(), expected, rtol=1e-6, atol=1e-6
  )


def test_nothing_reads_more_than_a_block(tiny, config, monkeypatch):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 64)
  rng = np.random.default_rng(1)
  base, *models = (_source(tiny, config, rng.random((31, 6))) for _ in range(3))
  _read(merged_ties.ties(base, models))
  # Two passes for the threshold, one for the result.
  assert models[0].num_bytes_read == 3 * 31 * 6 * 4
  for source in (base, *models):
    for _, start, stop in source.reads:
      assert stop - start <= tensors.block_rows(source.specs["x"])


def test_nan_in_a_model_is_not_passed_over(tiny, config):
  base = _source(tiny, config, [1.0, 1.0, 1.0])
  models = [
    _source(tiny, config, [np.nan, 2.0, 3.0]),
    _source(tiny, config, [2.0, np.inf, 3.0]),
  ]
  found = _read(merged_ties.ties(base, models, density=1))
  assert not np.isfinite(found[:2]).any() and found[2] == 3
