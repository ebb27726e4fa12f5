# SPDX-License-Identifier: Apache-2.0
"""What every pair loss must do, and the pieces that they share."""

import importlib
import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses import pairwise

# Every loss of log-probability pairs, with options as a config gives them.
_OPTIONS = {
  "alphapo": dict(beta=2.0, gamma=0.5, alpha=0.25),
  "aot": dict(beta=0.1),
  "aot_unpaired": dict(beta=0.1),
  "apo_down": dict(beta=0.1),
  "apo_zero": dict(beta=0.1),
  "chosen_nll": dict(),
  "cpo": dict(beta=0.1),
  "discopop": dict(beta=0.1),
  "dno": dict(beta=0.1),
  "dpo": dict(beta=0.1),
  "dpo_norm": dict(beta=5.0),
  "exo": dict(beta=0.1, label_smoothing=1e-3),
  "hinge": dict(beta=0.1),
  "ipo": dict(beta=0.1, logp_reduction="mean"),
  "nca": dict(beta=0.1),
  "orpo": dict(odds_ratio_weight=0.1),
  "r_dpo": dict(beta=0.1, length_penalty=0.01),
  "robust_dpo": dict(beta=0.1, label_smoothing=0.1),
  "rpo": dict(beta=0.1, nll_weight=1.0),
  "simpo": dict(beta=2.0, gamma=0.5),
  "sppo": dict(beta=0.1),
}
# The loss where policy and reference agree, lengths are equal and
# probabilities 1; the derivation beside it.
_AT_REFERENCE = {
  "aot": math.log(2),  # -log sigma(0), as are those without a remark.
  "aot_unpaired": math.log(2),
  "apo_down": 1.0,  # sigma(0) + 1 - sigma(0).
  "apo_zero": 1.0,  # 1 - sigma(0) + sigma(0).
  "discopop": 0.5 * math.log(2) + 0.5,  # Half logistic, half exp(-0).
  "dno": math.log(2),
  "dpo": math.log(2),
  "dpo_norm": math.log(2),
  # KL from (1/2, 1/2) to (0.999, 0.001): log(1/2) - mean of the logs.
  "exo": math.log(0.5) - (math.log(0.999) + math.log(0.001)) / 2,
  "hinge": 1.0,  # max(0, 1 - 0).
  "ipo": 25.0,  # (0 - 1 / (2 x 0.1))^2.
  "nca": 2 * math.log(2),  # log 2 (1 + 1/2 + 1/2).
  "r_dpo": math.log(2),
  "robust_dpo": math.log(2),  # (0.9 - 0.1) log 2 / 0.8.
  "rpo": math.log(2) + 2.0,  # And the mean NLL, 8 nats over 4 tokens.
  "sppo": 50.0,  # 5^2 + 5^2.
}
# Not monotone: these aim at a margin, or push both responses down.
_WITH_A_GOAL = {"exo", "ipo", "sppo"}
_NAMES = sorted(_OPTIONS)


def _loss(name):
  return getattr(
    importlib.import_module(f"ramjax.losses.{name}"), f"{name}_loss"
  )


def _arrays(name, chosen, rejected, ref_chosen=None, ref_rejected=None, n=4):
  """Inputs of loss `name`; lengths `n`, certain preferences, own matches."""
  chosen, rejected = jnp.array(chosen), jnp.array(rejected)
  ref_chosen = chosen if ref_chosen is None else jnp.array(ref_chosen)
  ref_rejected = rejected if ref_rejected is None else jnp.array(ref_rejected)
  arrays = dict(
    chosen_logps=chosen,
    rejected_logps=rejected,
    ref_chosen_logps=ref_chosen,
    ref_rejected_logps=ref_rejected,
    chosen_lengths=jnp.full(chosen.shape, n, jnp.int32),
    rejected_lengths=jnp.full(chosen.shape, n, jnp.int32),
    preference_probs=jnp.ones(chosen.shape),
    matched_ref_margins=ref_chosen - ref_rejected,
    matched_chosen_ratios=chosen - ref_chosen,
    matched_rejected_ratios=rejected - ref_rejected,
  )
  wanted = inspect.signature(_loss(name)).parameters
  return {key: value for key, value in arrays.items() if key in wanted}


def _call(name, arrays):
  return _loss(name)(**arrays, **_OPTIONS[name])


def _gradients(name, arrays):
  """Of the sum of losses, by each log-probability."""
  logps = {k: v for k, v in arrays.items() if k.endswith("logps")}
  return jax.grad(lambda x: jnp.sum(_call(name, arrays | x).losses))(logps)


@pytest.mark.parametrize("name", sorted(_AT_REFERENCE))
def test_value_where_policy_and_reference_agree(name):
  out = _call(name, _arrays(name, [-8.0, -40.0], [-9.0, -12.0]))
  np.testing.assert_allclose(out.losses[0], _AT_REFERENCE[name], rtol=1e-6)
  if name != "rpo":  # Its second term knows no reference.
    np.testing.assert_allclose(out.losses[1], _AT_REFERENCE[name], rtol=1e-6)
  assert out.chosen_rewards.tolist() == [0, 0]
  assert out.rejected_rewards.tolist() == [0, 0]


@pytest.mark.parametrize("name", sorted({*_NAMES} - _WITH_A_GOAL))
def test_a_larger_margin_costs_less(name):
  # The rejected response loses likelihood, the chosen one keeps its own.
  rejected = np.float32([-4.0, -8.0, -12.0, -16.0])
  chosen = np.full(4, -8.0, np.float32)
  arrays = _arrays(name, chosen, rejected, chosen, chosen)
  for key in ("matched_chosen_ratios", "matched_rejected_ratios"):
    if key in arrays:
      arrays[key] = jnp.zeros(4)
  losses = _call(name, arrays).losses
  if name == "chosen_nll":
    assert losses.tolist() == [2.0] * 4
  elif name in ("discopop", "hinge"):
    # DiscoPOP has a bump at small margins; the hinge is flat past its margin.
    assert losses[0] > losses[3]
  else:
    assert np.all(np.diff(losses) < 0)


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("scale", [1.0, 60.0, 1e4])
def test_far_margins_stay_finite(name, scale):
  zero = np.zeros(2, np.float32)
  a, b = np.float32([-1.0, -2.0]) * scale, np.float32([-2.0, -1.0]) * scale
  for n in (1, 64):
    arrays = _arrays(name, a, b, zero - scale, zero - scale, n=n)
    out, grads = _call(name, arrays), _gradients(name, arrays)
    assert all(np.isfinite(x).all() for x in [*out, *grads.values()])


@pytest.mark.parametrize("name", _NAMES)
def test_padding_rows_are_finite(name):
  zero = np.zeros(3, np.float32)
  arrays = _arrays(name, zero, zero, n=0)
  if "preference_probs" in arrays:
    arrays["preference_probs"] = jnp.zeros(3)
  out, grads = _call(name, arrays), _gradients(name, arrays)
  assert all(np.isfinite(x).all() for x in [*out, *grads.values()])


@pytest.mark.parametrize("name", _NAMES)
def test_rewards_and_references_carry_no_gradient(name):
  arrays = _arrays(name, [-8.0], [-9.0], [-7.5], [-9.5])
  floats = {k: v for k, v in arrays.items() if v.dtype == jnp.float32}

  def rewards(floats):
    out = _call(name, arrays | floats)
    return jnp.sum(out.chosen_rewards + 2 * out.rejected_rewards)

  for grad in jax.grad(rewards)(floats).values():
    assert grad.tolist() == [0]

  grads = jax.grad(lambda x: jnp.sum(_call(name, arrays | x).losses))(floats)
  for key, grad in grads.items():
    if key not in ("chosen_logps", "rejected_logps"):
      assert grad.tolist() == [0], key
  assert grads["chosen_logps"].tolist() != [0]


@pytest.mark.parametrize("name", _NAMES)
def test_each_array_must_have_the_declared_shape(name):
  arrays = _arrays(name, [-8.0, -9.0], [-9.0, -8.0])
  for key, value in arrays.items():
    with pytest.raises(TypeError, match=key):
      _call(name, arrays | {key: value[:, None]})


@pytest.mark.parametrize(
  "name,option,value",
  [
    *((n, "beta", v) for n in _NAMES if "beta" in _OPTIONS[n] for v in (0.0,)),
    *(("dpo", "beta", v) for v in (-0.1, math.inf, math.nan)),
    *(("dpo", "label_smoothing", v) for v in (-0.1, 0.5)),
    *(("robust_dpo", "label_smoothing", v) for v in (-0.1, 0.5)),
    *(("exo", "label_smoothing", v) for v in (0.0, 0.5)),
    ("ipo", "logp_reduction", "max"),
    *(("discopop", "tau", v) for v in (0.0, 1.5)),
    *(("simpo", "gamma", v) for v in (-0.1, math.inf, math.nan)),
    *(("alphapo", "gamma", v) for v in (-0.1,)),
    *(("alphapo", "alpha", v) for v in (0.0, math.inf, math.nan)),
    *(("orpo", "odds_ratio_weight", v) for v in (-0.1,)),
    *(("cpo", "nll_weight", v) for v in (-0.1,)),
    *(("rpo", "nll_weight", v) for v in (-0.1,)),
    *(("r_dpo", "length_penalty", v) for v in (-0.1,)),
  ],
)
def test_an_option_out_of_range_is_refused_by_name(name, option, value):
  arrays = _arrays(name, [-8.0], [-9.0])
  with pytest.raises(ValueError, match=f"{option}="):
    _loss(name)(**arrays, **_OPTIONS[name] | {option: value})


@pytest.mark.parametrize("name", _NAMES)
def test_jit_gives_the_same(name):
  arrays = _arrays(name, [-8.0, -3.0], [-9.0, -2.0], [-7.0, -4.0], [-9.0, -2.0])
  compiled = jax.jit(lambda arrays: _call(name, arrays))(arrays)
  for a, b in zip(compiled, _call(name, arrays), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_weights_of_zero_leave_their_terms_out():
  for name, option in [("rpo", "nll_weight"), ("r_dpo", "length_penalty")]:
    arrays = _arrays(name, [-8.0], [-9.0], [-7.0], [-9.5])
    out = _loss(name)(**arrays, **_OPTIONS[name] | {option: 0.0})
    # m = 0.1 (-1 - 0.5) = -0.15.
    np.testing.assert_allclose(out.losses, math.log1p(math.exp(0.15)), 1e-6)


def test_the_mean_of_no_tokens_is_the_sum():
  means = pairwise.length_mean(jnp.array([-6.0, 0.0]), jnp.array([4, 0]))
  assert means.tolist() == [-1.5, 0.0]


def test_smoothing_weighs_the_flipped_label():
  # -0.9 log sigma(log 3) - 0.1 log sigma(-log 3), sigma(log 3) = 3/4.
  expected = -0.9 * math.log(0.75) - 0.1 * math.log(0.25)
  found = pairwise.logistic_link(jnp.log(jnp.array([3.0])), 0.1)
  np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_a_bounded_exponent_ends_at_80():
  x = jnp.array([1e-6, 1.0, 79.0, 80.0, 81.0, 1e6])
  found = pairwise.bounded_expm1(x)
  expected = [math.expm1(min(float(v), 80.0)) for v in x]
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  grads = jax.grad(lambda x: jnp.sum(pairwise.bounded_expm1(x)))(x)
  assert grads[-2:].tolist() == [0, 0] and grads[2] > 0


def test_ranks_are_matched_among_real_rows_only():
  matched = pairwise.matched_by_rank(
    jnp.array([3.0, 0.0, 1.0, 2.0]),
    jnp.array([-5.0, 0.0, 9.0, 4.0]),
    jnp.array([True, False, True, True]),
  )
  # Ranks 2, -, 0, 1 of (-5, 4, 9).
  assert matched.tolist() == [9.0, 0.0, -5.0, 4.0]


def test_ties_share_their_ranks_out():
  ones = jnp.ones(2)
  matched = pairwise.matched_by_rank(ones, jnp.array([2.0, 1.0]), ones > 0)
  assert sorted(matched.tolist()) == [1.0, 2.0]
