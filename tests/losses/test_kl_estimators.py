# SPDX-License-Identifier: Apache-2.0
"""Estimates of a divergence: hand values, exact averages, extremes."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.kl_estimators import kl_estimate

_KINDS = ("k1", "k2", "k3", "abs", "k1_clamped")
_LOG2 = math.log(2)


def _estimate(logps, ref_logps, kind):
  return kl_estimate(
    logps=jnp.asarray(logps, jnp.float32),
    ref_logps=jnp.asarray(ref_logps, jnp.float32),
    kind=kind,
  )


@pytest.mark.parametrize(
  "kind,twice,half",
  [
    # delta = log 2 and -log 2.
    ("k1", _LOG2, -_LOG2),
    ("k2", _LOG2**2 / 2, _LOG2**2 / 2),
    ("k3", 0.5 - 1 + _LOG2, 2 - 1 - _LOG2),
    ("abs", _LOG2, _LOG2),
    ("k1_clamped", _LOG2, 0.0),
  ],
)
def test_tokens_twice_and_half_as_likely(kind, twice, half):
  found = _estimate(np.log([0.5, 0.25]), np.log([0.25, 0.5]), kind)
  np.testing.assert_allclose(found, [twice, half], rtol=1e-6)


@pytest.mark.parametrize(
  "kind,derivative",
  [
    ("k1", lambda d: 1.0),
    ("k2", lambda d: d),
    ("k3", lambda d: 1 - math.exp(-d)),
    ("abs", lambda d: math.copysign(1.0, d)),
    ("k1_clamped", lambda d: float(d > 0)),
  ],
)
def test_gradients_are_the_derivatives_and_of_the_policy_only(kind, derivative):
  deltas = [-3.0, -0.5, 0.25, 2.0]

  def total(logps, ref_logps):
    return jnp.sum(_estimate(logps, ref_logps, kind))

  grads = jax.grad(total, (0, 1))(jnp.array(deltas) - 5, jnp.full(4, -5.0))
  np.testing.assert_allclose(
    grads[0], [derivative(d) for d in deltas], rtol=1e-5
  )
  np.testing.assert_array_equal(grads[1], np.zeros(4))


@pytest.mark.parametrize("kind", _KINDS)
def test_a_policy_does_not_diverge_from_itself(kind):
  def total(logps):
    return jnp.sum(_estimate(logps, np.full(3, -2.0), kind))

  value, grads = jax.value_and_grad(total)(jnp.full(3, -2.0))
  assert value == 0.0
  np.testing.assert_array_equal(grads, np.full(3, float(kind == "k1")))


_POLICY = np.array([0.5, 0.3, 0.15, 0.05])
_REFERENCE = np.array([0.25, 0.25, 0.25, 0.25])
_EXACT = float(np.sum(_POLICY * np.log(_POLICY / _REFERENCE)))


@pytest.mark.parametrize("kind", ["k1", "k3"])
def test_on_average_over_the_policy_it_is_the_divergence(kind):
  found = _estimate(np.log(_POLICY), np.log(_REFERENCE), kind)
  np.testing.assert_allclose(np.sum(_POLICY * found), _EXACT, rtol=1e-6)


@pytest.mark.parametrize("kind", ["abs", "k1_clamped"])
def test_on_average_the_other_two_overestimate(kind):
  found = _estimate(np.log(_POLICY), np.log(_REFERENCE), kind)
  assert np.sum(_POLICY * found) > _EXACT


def test_average_gradients_are_those_the_docstring_names():
  # Sum over v of pi(v) (d k / d log pi) (d log pi(v) / d logits), with
  # d log pi(v) / d logit w = 1[v = w] - pi(w).
  score = np.eye(4) - _POLICY

  def by_logits(kind):
    def total(logps):
      return jnp.sum(_estimate(logps, np.log(_REFERENCE), kind))

    weights = jax.grad(total)(jnp.log(jnp.asarray(_POLICY, jnp.float32)))
    return (_POLICY * np.asarray(weights)) @ score

  def forward(logits):
    policy = jax.nn.softmax(logits)
    return jnp.sum(policy * jnp.log(policy / _REFERENCE))

  def backward(logits):
    return -jnp.sum(_REFERENCE * jax.nn.log_softmax(logits))

  logits = jnp.log(jnp.asarray(_POLICY, jnp.float32))
  close = dict(rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(by_logits("k1"), np.zeros(4), **close)
  np.testing.assert_allclose(
    by_logits("k2"), jax.grad(forward)(logits), **close
  )
  np.testing.assert_allclose(
    by_logits("k3"), jax.grad(backward)(logits), **close
  )


def test_equals_a_loop_in_float64():
  rng = np.random.default_rng(0)
  logps, refs = -rng.gamma(1.0, 2.0, (2, 50)).astype(np.float32)
  found = {k: np.asarray(_estimate(logps, refs, k)) for k in _KINDS}
  for i in range(50):
    delta = float(logps[i]) - float(refs[i])
    for kind, expected in dict(
      k1=delta,
      k2=delta * delta / 2,
      k3=math.exp(-delta) - 1 + delta,
      abs=abs(delta),
      k1_clamped=max(delta, 0.0),
    ).items():
      np.testing.assert_allclose(found[kind][i], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", _KINDS)
def test_extremes_are_finite_with_their_gradients(kind):
  def total(logps):
    return jnp.sum(_estimate(logps, [0.0, -1e4, -1e4, -1e4], kind))

  logps = jnp.array([-1e4, 0.0, -1e4, -9.9e3])
  value, grads = jax.value_and_grad(total)(logps)
  assert np.isfinite(value) and np.all(np.isfinite(grads))


def test_k3_never_pulls_a_far_token_further_away():
  # The exponential bounded alone would leave a derivative of +1.
  def total(logps):
    return jnp.sum(_estimate(logps, np.zeros(3), "k3"))

  grads = jax.grad(total)(jnp.array([-19.0, -21.0, -300.0]))
  np.testing.assert_allclose(grads, [1 - math.exp(19), 0.0, 0.0], rtol=1e-6)


def test_an_unknown_kind_is_refused():
  with pytest.raises(ValueError, match=r"kind='k4' must be one of \('k1'"):
    _estimate([0.0], [0.0], "k4")
