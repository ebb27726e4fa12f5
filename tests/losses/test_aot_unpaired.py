# SPDX-License-Identifier: Apache-2.0
"""AOT, unpaired: the formula of the whole batch, whatever the split."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.aot_unpaired import aot_unpaired_loss, batch_statistics

_LOGPS = ("chosen_logps", "rejected_logps")


def _batch(num_rows, seed=0):
  keys = (
    "chosen_logps",
    "rejected_logps",
    "ref_chosen_logps",
    "ref_rejected_logps",
  )
  rng = np.random.default_rng(seed)
  return {
    k: jnp.asarray(rng.normal(-20, 5, num_rows), jnp.float32) for k in keys
  }


def _whole_batch(arrays):
  """Melnyk et al.: sort the log-ratios of each side, subtract by rank."""
  chosen = jnp.sort(arrays["chosen_logps"] - arrays["ref_chosen_logps"])
  rejected = jnp.sort(arrays["rejected_logps"] - arrays["ref_rejected_logps"])
  return jnp.sum(jnp.log1p(jnp.exp(-0.25 * (chosen - rejected))))


def _by_rows(arrays, statistics, size):
  """Sum of losses and its gradients, `size` rows at a time."""
  total, grads = 0.0, {k: [] for k in _LOGPS}
  for start in range(0, len(arrays["chosen_logps"]), size):
    part = {
      k: v[start : start + size] for k, v in (arrays | statistics).items()
    }

    def loss(logps, part=part):
      return jnp.sum(aot_unpaired_loss(**part | logps, beta=0.25).losses)

    value, grad = jax.value_and_grad(loss)({k: part[k] for k in _LOGPS})
    total += value
    for k in _LOGPS:
      grads[k].extend(grad[k].tolist())
  return total, grads


@pytest.mark.parametrize("size", [1, 3, 4, 12])
def test_any_split_of_the_batch_sums_to_the_formula(size):
  arrays = _batch(12)
  statistics = batch_statistics(mask=jnp.ones(12, bool), **arrays)
  total, grads = _by_rows(arrays, statistics, size)

  def formula(logps):
    return _whole_batch(arrays | logps)

  value, expected = jax.value_and_grad(formula)({k: arrays[k] for k in _LOGPS})
  np.testing.assert_allclose(total, value, rtol=1e-5)
  for k in _LOGPS:
    np.testing.assert_allclose(grads[k], expected[k], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("padding", [0.0, -1e4])
def test_padding_takes_no_part_in_the_order(padding):
  arrays = _batch(5)
  mask = jnp.array([True, False, True, True, False, True, False, True])
  real = np.flatnonzero(mask)
  padded = {
    k: jnp.full(8, padding * (i % 2)).at[real].set(v)
    for i, (k, v) in enumerate(arrays.items())
  }
  alone = batch_statistics(mask=jnp.ones(5, bool), **arrays)
  among = batch_statistics(mask=mask, **padded)
  assert set(alone) == set(among)
  for name, values in among.items():
    assert values[real].tolist() == alone[name].tolist()
    assert values[~np.asarray(mask)].tolist() == [0] * 3


def test_an_update_of_padding_alone_is_finite():
  zero = jnp.zeros(2)
  arrays = {k: zero for k in _batch(2)}
  found = batch_statistics(mask=zero > 0, **arrays)
  assert all(v.tolist() == [0, 0] for v in found.values())


def test_hand_value():
  # Chosen log-ratios 5 and 1, rejected 0 and 3: 5 meets 3, 1 meets 0.
  zero = jnp.zeros(2)
  arrays = dict(
    chosen_logps=jnp.array([5.0, 1.0]),
    rejected_logps=jnp.array([0.0, 3.0]),
    ref_chosen_logps=zero,
    ref_rejected_logps=zero,
  )
  statistics = batch_statistics(mask=jnp.ones(2, bool), **arrays)
  assert statistics["matched_rejected_ratios"].tolist() == [3.0, 0.0]
  assert statistics["matched_chosen_ratios"].tolist() == [1.0, 5.0]
  out = aot_unpaired_loss(**arrays, **statistics, beta=1.0)
  # Each row: half of the rank of its chosen, half of that of its rejected.
  half = (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.0))) / 2
  np.testing.assert_allclose(out.losses, [half, half], rtol=1e-6)
  assert out.chosen_rewards.tolist() == [5.0, 1.0]
  assert out.rejected_rewards.tolist() == [0.0, 3.0]


def test_who_stood_beside_whom_does_not_matter():
  arrays = _batch(6)
  turned = arrays | {
    k: jnp.roll(arrays[k], 1) for k in ("rejected_logps", "ref_rejected_logps")
  }
  totals = [
    _by_rows(a, batch_statistics(mask=jnp.ones(6, bool), **a), 2)[0]
    for a in (arrays, turned)
  ]
  np.testing.assert_allclose(totals[0], totals[1], rtol=1e-6)
