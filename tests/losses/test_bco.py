# SPDX-License-Identifier: Apache-2.0
"""BCO: a classifier of answers whose zero is the running mean reward."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses import bco
from ramjax.losses.bco import batch_statistics, bco_loss


def _loss(**changes):
  arrays: dict[str, Any] = dict(
    logps=jnp.array([-3.0, -3.0]),
    ref_logps=jnp.array([-7.0, -7.0]),
    labels=jnp.array([True, False]),
    log_ratio_mean=jnp.float32(2.0),
    beta=0.5,
  )
  return bco_loss(**arrays | changes)


def _start():
  return {name: jnp.float32(value) for name, value in bco.CARRIED.items()}


def _update(carried, log_ratios, mask=None):
  return batch_statistics(
    mask=jnp.ones(len(log_ratios), bool) if mask is None else jnp.array(mask),
    logps=jnp.array(log_ratios),
    ref_logps=jnp.zeros(len(log_ratios)),
    **carried,
  )


def test_a_reward_above_the_mean_is_good_or_bad_by_label():
  # 0.5 (4 - 2) = 1: -log sigmoid(1) and -log sigmoid(-1).
  out = _loss()
  np.testing.assert_allclose(out.losses, [0.31326169, 1.31326169], rtol=1e-6)
  np.testing.assert_allclose(out.rewards, [2.0, 2.0])


def test_extreme_rewards_stay_finite():
  out = _loss(logps=jnp.array([1e4, 1e4]))
  np.testing.assert_allclose(out.losses, [0, 0.5 * 10005], rtol=1e-6)


def test_the_mean_is_a_constant():
  grad = jax.grad(lambda mean: jnp.sum(_loss(log_ratio_mean=mean).losses))
  assert grad(jnp.float32(2.0)) == 0


def test_the_first_batch_is_centered_by_its_own_mean():
  carried = _update(_start(), [1.0, 5.0])
  assert carried == {"log_ratio_mean": 3, "log_ratio_count": 2}


def test_the_mean_is_of_every_log_ratio_seen():
  carried = _update(_start(), [1.0, 5.0])
  carried = _update(carried, [-3.0])
  carried = _update(carried, [0.0, 100.0, 2.0], [True, False, True])
  assert carried == {"log_ratio_mean": 1, "log_ratio_count": 5}
  assert set(carried) == set(bco.CARRIED)


def test_a_batch_of_padding_changes_nothing():
  carried = _update(_start(), [1.0, 5.0])
  assert _update(carried, [np.nan], [False]) == carried
  assert _update(_start(), [7.0], [False]) == _start()


def test_no_gradient_flows_through_the_mean():
  grad = jax.grad(lambda x: _update(_start(), x)["log_ratio_mean"])
  assert not grad(jnp.ones(3)).any()


def test_what_is_carried_cannot_be_changed():
  with pytest.raises(TypeError):
    bco.CARRIED["log_ratio_mean"] = 1.0  # pyright: ignore


@pytest.mark.parametrize("beta", [0.0, -0.1, float("nan")])
def test_a_bad_beta_is_refused(beta):
  with pytest.raises(ValueError, match=f"beta={beta}"):
    _loss(beta=beta)
