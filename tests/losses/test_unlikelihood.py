# SPDX-License-Identifier: Apache-2.0
"""Unlikelihood: -log(1 - p) of bad tokens, to the last digit and finite."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.unlikelihood import token_unlikelihoods, unlikelihood_loss

_LOGPS = [-80.0, -20.0, -5.0, -0.6931472, -0.5, -0.49, -0.125, -2e-3, -2e-5]


def _loss(**changes):
  arrays = dict(
    logps=jnp.array([-3.0, -3.0]),
    unlikelihoods=jnp.array([8.0, 8.0]),
    lengths=jnp.array([2, 4]),
    labels=jnp.array([True, False]),
  )
  options = dict(alpha=0.5, logp_reduction="sum")
  return unlikelihood_loss(**arrays | options | changes)


@pytest.mark.parametrize("logp", _LOGPS)
def test_value_and_gradient_keep_their_digits(logp):
  logp = float(np.float32(logp))
  value, grad = jax.value_and_grad(lambda x: token_unlikelihoods(x[None])[0])(
    jnp.float32(logp)
  )
  assert value == pytest.approx(-math.log(-math.expm1(logp)), rel=2e-6)
  assert grad == pytest.approx(math.exp(logp) / -math.expm1(logp), rel=2e-6)


@pytest.mark.parametrize("logp", [-9e-6, -1e-7, 0.0, 1e-6])
def test_a_certain_token_costs_as_at_the_clip_and_is_still_pushed(logp):
  value, grad = jax.value_and_grad(lambda x: token_unlikelihoods(x[None])[0])(
    jnp.float32(logp)
  )
  assert value == pytest.approx(-math.log(1e-5), rel=1e-5)
  assert grad == pytest.approx(1e5, rel=1e-4)


def test_an_impossible_token_costs_nothing():
  value, grad = jax.value_and_grad(lambda x: token_unlikelihoods(x[None])[0])(
    jnp.float32(-jnp.inf)
  )
  assert value == 0 and grad == 0


def test_a_good_answer_costs_its_likelihood_and_a_bad_one_its_unlikelihood():
  out = _loss()
  np.testing.assert_allclose(out.losses, [3.0, 0.5 * 8.0])
  np.testing.assert_allclose(out.rewards, [-3.0, -3.0])


def test_mean_divides_everything_by_the_answers_own_length():
  out = _loss(logp_reduction="mean")
  np.testing.assert_allclose(out.losses, [1.5, 0.5 * 2.0])
  np.testing.assert_allclose(out.rewards, [-1.5, -0.75])


@pytest.mark.parametrize(
  "change,match",
  [
    (dict(alpha=-1.0), "alpha=-1.0"),
    (dict(logp_reduction="max"), "logp_reduction='max'"),
  ],
)
def test_bad_hyperparameters_are_refused(change, match):
  with pytest.raises(ValueError, match=match):
    _loss(**change)
