# SPDX-License-Identifier: Apache-2.0
"""CUT: the judgement tells the tokens to unlearn from those to keep."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.cut import cut_loss

_GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "losses" / "cut.json"
_CASES = json.loads(_GOLDEN.read_text("utf-8"))["cases"]
_LOG = {p: float(np.log(p)) for p in (0.1, 0.2, 0.4)}


# Jitted: each operation by itself would be a program to compile.
_jitted = jax.jit(cut_loss, static_argnames=("alpha", "threshold"))


def _loss(plain, conditioned, flagged=True, alpha=2.0, threshold=1.5):
  return _jitted(
    token_logps=np.float32([plain]),
    conditioned_token_logps=np.float32([conditioned]),
    flagged=np.array([flagged]),
    alpha=alpha,
    threshold=threshold,
  )


def test_a_token_that_the_judgement_explains_is_unlearned():
  # Twice as probable with the judgement: (log 5 - 2 log 0.9) / 2 of 0.1, 0.2.
  expected = (np.log(5) - 2 * np.log(0.9)) / 2
  loss = _loss(_LOG[0.1], _LOG[0.2])
  np.testing.assert_allclose(loss, [expected], rtol=1e-6)


def test_a_token_that_it_makes_less_probable_is_learned_under_both_prompts():
  loss = _loss(_LOG[0.2], _LOG[0.1])
  np.testing.assert_allclose(loss, [(np.log(5) + np.log(10)) / 2], rtol=1e-6)


def test_an_approved_answer_is_learned_under_the_plain_prompt_alone():
  loss = _loss(_LOG[0.1], _LOG[0.4], flagged=False)
  np.testing.assert_allclose(loss, [np.log(10)], rtol=1e-6)


@pytest.mark.parametrize("threshold,unlearned", [(1.9, True), (2.1, False)])
def test_the_threshold_is_a_ratio_of_probabilities(threshold, unlearned):
  loss = _loss(_LOG[0.1], _LOG[0.2], threshold=threshold)[0]
  learned = (np.log(5) + np.log(10)) / 2
  assert (abs(loss - learned) > 0.1) == unlearned


@pytest.mark.parametrize("case", _CASES)
def test_values_and_gradients_are_the_derived_ones(case):
  inputs = {name: np.array(x) for name, x in case["inputs"].items()}
  names = list(case["gradients"])

  def total(arrays):
    losses = _jitted(**inputs | arrays, **case["options"])
    return jnp.sum(losses), losses

  grads, losses = jax.jit(jax.grad(total, has_aux=True))(
    {n: inputs[n] for n in names}
  )
  np.testing.assert_allclose(losses, case["losses"], rtol=1e-5, atol=1e-6)
  for name in names:
    np.testing.assert_allclose(
      grads[name], case["gradients"][name], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
  "change,match",
  [(dict(alpha=-1.0), "alpha=-1.0"), (dict(threshold=0.0), "threshold=0.0")],
)
def test_bad_hyperparameters_are_refused(change, match):
  with pytest.raises(ValueError, match=match):
    _loss(-1.0, -2.0, **change)


def test_arrays_that_would_broadcast_are_refused():
  with pytest.raises(TypeError, match="conditioned_token_logps"):
    _loss(-1.0, [-1.0])
