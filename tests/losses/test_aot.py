# SPDX-License-Identifier: Apache-2.0
"""AOT: both forms are the formula of the whole batch, whatever the split."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses import aot, aot_unpaired

_LOGPS = ("chosen_logps", "rejected_logps")
_ARRAYS = (*_LOGPS, "ref_chosen_logps", "ref_rejected_logps")


def _logistic(gaps):
  return jnp.sum(jnp.log1p(jnp.exp(-0.25 * gaps)))


def _paired(arrays):
  """Melnyk et al.: sort both log-odds over the batch, subtract rank by rank."""
  policy = jnp.sort(arrays["chosen_logps"] - arrays["rejected_logps"])
  ref = jnp.sort(arrays["ref_chosen_logps"] - arrays["ref_rejected_logps"])
  return _logistic(policy - ref)


def _unpaired(arrays):
  """Melnyk et al.: sort the log-ratios of each side, subtract by rank."""
  chosen = jnp.sort(arrays["chosen_logps"] - arrays["ref_chosen_logps"])
  rejected = jnp.sort(arrays["rejected_logps"] - arrays["ref_rejected_logps"])
  return _logistic(chosen - rejected)


def _form(loss, statistics, formula):
  """The statistics; the sums of the loss and the formula, with gradients."""

  @jax.jit
  @jax.value_and_grad
  def total(logps, arrays):
    return jnp.sum(loss(**arrays | logps, beta=0.25).losses)

  @jax.jit
  @jax.value_and_grad
  def whole(logps, arrays):
    return formula(arrays | logps)

  return types.SimpleNamespace(
    statistics=jax.jit(statistics), loss=total, formula=whole
  )


_PAIRED = _form(aot.aot_loss, aot.batch_statistics, _paired)
_UNPAIRED = _form(
  aot_unpaired.aot_unpaired_loss, aot_unpaired.batch_statistics, _unpaired
)
both_forms = pytest.mark.parametrize(
  "form", [_PAIRED, _UNPAIRED], ids=["paired", "unpaired"]
)


def _batch(num_rows, seed=0):
  rng = np.random.default_rng(seed)
  return {k: rng.normal(-20, 5, num_rows).astype(np.float32) for k in _ARRAYS}


def _by_rows(form, arrays, size):
  """Sum of losses and its gradients, `size` rows at a time."""
  num_rows = len(arrays["chosen_logps"])
  statistics = form.statistics(mask=np.ones(num_rows, bool), **arrays)
  statistics = jax.device_get(statistics)
  total, grads = 0.0, {k: [] for k in _LOGPS}
  for start in range(0, num_rows, size):
    part = {
      k: v[start : start + size] for k, v in (arrays | statistics).items()
    }
    value, grad = form.loss({k: part[k] for k in _LOGPS}, part)
    total += value
    for k in _LOGPS:
      grads[k].extend(grad[k].tolist())
  return total, grads


@both_forms
@pytest.mark.parametrize("size", [1, 3, 4, 12])
def test_any_split_of_the_batch_sums_to_the_formula(form, size):
  arrays = _batch(12)
  total, grads = _by_rows(form, arrays, size)
  value, expected = form.formula({k: arrays[k] for k in _LOGPS}, arrays)
  np.testing.assert_allclose(total, value, rtol=1e-5)
  for k in _LOGPS:
    np.testing.assert_allclose(grads[k], expected[k], rtol=1e-5, atol=1e-6)


@both_forms
@pytest.mark.parametrize("padding", [0.0, -1e4])
def test_padding_takes_no_part_in_the_order(form, padding):
  arrays = _batch(5)
  mask = np.array([True, False, True, True, False, True, False, True])
  real = np.flatnonzero(mask)
  padded = {}
  for i, (k, v) in enumerate(arrays.items()):
    padded[k] = np.full(8, padding * (i % 2), np.float32)
    padded[k][real] = v
  alone = form.statistics(mask=np.ones(5, bool), **arrays)
  among = form.statistics(mask=mask, **padded)
  assert set(alone) == set(among)
  for name, values in jax.device_get(among).items():
    assert values[real].tolist() == alone[name].tolist()
    assert values[~mask].tolist() == [0] * 3


@both_forms
def test_an_update_of_padding_alone_is_finite(form):
  zero = np.zeros(2, np.float32)
  found = form.statistics(mask=zero > 0, **dict.fromkeys(_ARRAYS, zero))
  assert all(v.tolist() == [0, 0] for v in found.values())


def test_hand_value():
  # Log-odds 5 and 1 of the policy, 0 and 3 of the reference: 5 meets 3.
  arrays = dict(
    chosen_logps=np.float32([-1.0, -1.0]),
    rejected_logps=np.float32([-6.0, -2.0]),
    ref_chosen_logps=np.float32([-4.0, -1.0]),
    ref_rejected_logps=np.float32([-4.0, -4.0]),
  )
  statistics = _PAIRED.statistics(mask=np.ones(2, bool), **arrays)
  assert statistics["matched_ref_margins"].tolist() == [3.0, 0.0]
  loss = jax.jit(aot.aot_loss, static_argnames="beta")
  out = loss(**arrays, **statistics, beta=1.0)
  expected = [np.log1p(np.exp(-2.0)), np.log1p(np.exp(-1.0))]
  np.testing.assert_allclose(out.losses, expected, rtol=1e-6)
  # Rewards know no order: 3 and 0 nats for the chosen responses.
  assert out.chosen_rewards.tolist() == [3.0, 0.0]
  assert out.rejected_rewards.tolist() == [-2.0, 2.0]
