# SPDX-License-Identifier: Apache-2.0
"""AOT, paired: the formula of the whole batch, whatever the split."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.aot import aot_loss, batch_statistics

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
  """Melnyk et al.: sort both log-odds over the batch, subtract rank by rank."""
  policy = jnp.sort(arrays["chosen_logps"] - arrays["rejected_logps"])
  ref = jnp.sort(arrays["ref_chosen_logps"] - arrays["ref_rejected_logps"])
  return jnp.sum(jnp.log1p(jnp.exp(-0.25 * (policy - ref))))


def _by_rows(arrays, statistics, size):
  """Sum of losses and its gradients, `size` rows at a time."""
  total, grads = 0.0, {k: [] for k in _LOGPS}
  for start in range(0, len(arrays["chosen_logps"]), size):
    part = {
      k: v[start : start + size] for k, v in (arrays | statistics).items()
    }

    def loss(logps, part=part):
      return jnp.sum(aot_loss(**part | logps, beta=0.25).losses)

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
  # Log-odds 5 and 1 of the policy, 0 and 3 of the reference: 5 meets 3.
  arrays = dict(
    chosen_logps=jnp.array([-1.0, -1.0]),
    rejected_logps=jnp.array([-6.0, -2.0]),
    ref_chosen_logps=jnp.array([-4.0, -1.0]),
    ref_rejected_logps=jnp.array([-4.0, -4.0]),
  )
  statistics = batch_statistics(mask=jnp.ones(2, bool), **arrays)
  assert statistics["matched_ref_margins"].tolist() == [3.0, 0.0]
  out = aot_loss(**arrays, **statistics, beta=1.0)
  expected = [np.log1p(np.exp(-2.0)), np.log1p(np.exp(-1.0))]
  np.testing.assert_allclose(out.losses, expected, rtol=1e-6)
  # Rewards know no order: 3 and 0 nats for the chosen responses.
  assert out.chosen_rewards.tolist() == [3.0, 0.0]
  assert out.rejected_rewards.tolist() == [-2.0, 2.0]
