# SPDX-License-Identifier: Apache-2.0
"""Estimates of a divergence: hand values, exact averages, extremes."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.kl_estimators import kl_estimate

_KINDS = ("k1", "k2", "k3", "abs", "k1_clamped")
_LOG2 = math.log(2)


# Jitted: each operation by itself would be a program to compile.
_jitted = jax.jit(kl_estimate, static_argnames="kind")


def _estimate(logps, ref_logps, kind):
  arrays = dict(logps=np.float32(logps), ref_logps=np.float32(ref_logps))
  return np.asarray(_jitted(**arrays, kind=kind))


@functools.partial(jax.jit, static_argnames="kind")
def _of_total(logps, ref_logps, kind):

  def total(logps, ref_logps):
    return jnp.sum(_jitted(logps=logps, ref_logps=ref_logps, kind=kind))

  return jax.value_and_grad(total, (0, 1))(logps, ref_logps)


def _gradients(logps, ref_logps, kind):
  """The sum of the estimates, and its gradients by both."""
  return _of_total(np.float32(logps), np.float32(ref_logps), kind)


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

  _, grads = _gradients(np.array(deltas) - 5, np.full(4, -5.0), kind)
  np.testing.assert_allclose(
    grads[0], [derivative(d) for d in deltas], rtol=1e-5
  )
  np.testing.assert_array_equal(grads[1], np.zeros(4))


@pytest.mark.parametrize("kind", _KINDS)
def test_a_policy_does_not_diverge_from_itself(kind):
  value, (grad, _) = _gradients(np.full(4, -2.0), np.full(4, -2.0), kind)
  assert value == 0.0
  np.testing.assert_array_equal(grad, np.full(4, float(kind == "k1")))


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
    _, (weights, _) = _gradients(np.log(_POLICY), np.log(_REFERENCE), kind)
    return (_POLICY * np.asarray(weights)) @ score

  def forward(logits):
    policy = jax.nn.softmax(logits)
    return jnp.sum(policy * jnp.log(policy / _REFERENCE))

  def backward(logits):
    return -jnp.sum(_REFERENCE * jax.nn.log_softmax(logits))

  logits = np.log(np.float32(_POLICY))
  close = dict(rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(by_logits("k1"), np.zeros(4), **close)
  np.testing.assert_allclose(
    by_logits("k2"), jax.jit(jax.grad(forward))(logits), **close
  )
  np.testing.assert_allclose(
    by_logits("k3"), jax.jit(jax.grad(backward))(logits), **close
  )


def test_equals_a_loop_in_float64():
  rng = np.random.default_rng(0)
  logps, refs = -rng.gamma(1.0, 2.0, (2, 50)).astype(np.float32)
  found = {kind: _estimate(logps, refs, kind) for kind in _KINDS}
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
  value, (grad, _) = _gradients(
    [-1e4, 0.0, -1e4, -9.9e3], [0.0, -1e4, -1e4, -1e4], kind
  )
  assert np.isfinite(value) and np.all(np.isfinite(grad))


def test_k3_never_pulls_a_far_token_further_away():
  # The exponential bounded alone would leave a derivative of +1.
  _, (grad, _) = _gradients([-19.0, -21.0, -300.0], np.zeros(3), "k3")
  np.testing.assert_allclose(grad, [1 - math.exp(19), 0.0, 0.0], rtol=1e-6)


def test_an_unknown_kind_is_refused():
  with pytest.raises(ValueError, match=r"kind='k4' must be one of \('k1'"):
    _estimate([0.0], [0.0], "k4")
