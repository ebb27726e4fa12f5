# SPDX-License-Identifier: Apache-2.0
"""What holds of every loss of answers judged one by one."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses import unpaired
from ramjax.losses.bco import bco_loss
from ramjax.losses.cringe import cringe_loss
from ramjax.losses.kto import kto_loss
from ramjax.losses.unlikelihood import unlikelihood_loss

_ARRAYS = dict(
  logps=jnp.array([-3.0, -3.0, 0.0, 0.0]),
  ref_logps=jnp.array([-4.0, -4.0, 0.0, 0.0]),
  lengths=jnp.array([2, 2, 0, 0]),
  labels=jnp.array([True, False, True, False]),
  gap_losses=jnp.array([2.0, 2.0, 0.0, 0.0]),
  unlikelihoods=jnp.array([2.0, 2.0, 0.0, 0.0]),
)
_REFERENCE, _TOKENS = ["logps", "ref_logps"], ["logps", "lengths"]
# Loss -> the arrays it takes besides the labels, and the rest.
_LOSSES: dict[Any, tuple[list[str], dict[str, Any]]] = {
  kto_loss: (
    _REFERENCE,
    dict(kl=jnp.float32(0.5), beta=0.1, desirable_weight=1.0)
    | dict(undesirable_weight=1.0),
  ),
  bco_loss: (_REFERENCE, dict(log_ratio_mean=jnp.float32(0.5), beta=0.1)),
  cringe_loss: (
    [*_TOKENS, "gap_losses"],
    dict(alpha=0.5, contrast_positives=True, logp_reduction="mean"),
  ),
  unlikelihood_loss: (
    [*_TOKENS, "unlikelihoods"],
    dict(alpha=0.5, logp_reduction="mean"),
  ),
}
_every_loss = pytest.mark.parametrize(
  "loss", _LOSSES, ids=lambda loss: loss.__name__
)


def _run(loss, **changes):
  names, options = _LOSSES[loss]
  arrays = {name: _ARRAYS[name] for name in [*names, "labels"]}
  return loss(**arrays | options | changes)


@_every_loss
def test_rows_of_padding_are_finite_in_value_and_gradient(loss):
  floats = {n for n in _LOSSES[loss][0] if n != "lengths"}

  def total(arrays):
    out = _run(loss, **arrays)
    return jnp.sum(out.losses), out

  grads, out = jax.grad(total, has_aux=True)({n: _ARRAYS[n] for n in floats})
  for values in [out.losses, out.rewards, *grads.values()]:
    assert values.shape == (4,) and np.isfinite(values).all()


@_every_loss
def test_likelihood_raises_a_reward_whatever_the_label(loss):
  better = _run(loss, logps=_ARRAYS["logps"] + 1)
  assert (better.rewards > _run(loss).rewards).all()


@_every_loss
def test_no_gradient_flows_through_rewards(loss):
  grad = jax.grad(lambda logps: jnp.sum(_run(loss, logps=logps).rewards))
  assert not grad(_ARRAYS["logps"]).any()


@_every_loss
def test_arrays_that_would_broadcast_are_refused(loss):
  with pytest.raises(TypeError, match="logps"):
    _run(loss, logps=_ARRAYS["logps"][:, None])


@_every_loss
def test_labels_that_are_not_booleans_are_refused(loss):
  with pytest.raises(TypeError, match="labels"):
    _run(loss, labels=jnp.ones(4))


def test_with_rewards_keeps_both_values():
  out = unpaired.with_rewards(jnp.array([1.0]), jnp.array([2.0]))
  assert out.losses == 1 and out.rewards == 2
