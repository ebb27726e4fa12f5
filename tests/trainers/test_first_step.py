# SPDX-License-Identifier: Apache-2.0
"""The gates of the first step: what passes, and what each of them says."""

import math

import pytest

from ramjax.trainers import first_step

_GOOD = {
  "loss": math.log(2),
  "grad_norm": 1.5,
  "supervised_share": 0.3,
  "rewards/margin": 0.0,
  "gate/non_finite": 0.0,
  "gate/expected_loss": math.log(2),
  "gate/off_reference/chosen": 0.0,
  "gate/off_reference/rejected": 0.0,
}


def _of_reference(is_start=True, **changed):
  return first_step.check_against_reference({**_GOOD, **changed}, is_start)


def test_figures_of_a_sound_start_pass_every_gate():
  assert first_step.check(_GOOD) == []
  assert _of_reference() == []
  assert first_step.check_reward(_GOOD, False) == []


def test_figures_within_rounding_pass():
  near = {"loss": math.log(2) * 1.0009, "gate/off_reference/chosen": 0.049}
  assert _of_reference(**near) == []


@pytest.mark.parametrize(
  "changed,says",
  [
    ({"supervised_share": 0.0}, "0.00% of the tokens are supervised"),
    ({"grad_norm": 0.0}, "the gradient is exactly 0"),
    ({"gate/non_finite": 0.25}, "25.0% of the examples have a loss that"),
  ],
)
def test_each_general_gate_says_what_is_wrong(changed, says):
  for check in (
    lambda metrics: first_step.check(metrics),
    lambda metrics: first_step.check_against_reference(metrics, False),
    lambda metrics: first_step.check_reward(metrics, False),
  ):
    (sentence,) = check({**_GOOD, **changed})
    assert says in sentence


def test_an_answer_that_policy_and_reference_score_differently_is_named():
  (sentence,) = _of_reference(**{"gate/off_reference/rejected": 0.2})
  assert "of a rejected answer is 0.2 nats" in sentence
  assert "other rows or other weights" in sentence


def test_a_difference_that_is_no_number_is_named():
  nan = {"gate/off_reference/chosen": float("nan")}
  (sentence,) = _of_reference(**nan)
  assert "chosen answer is nan" in sentence


def test_a_loss_that_is_not_that_of_equal_models_is_named():
  (sentence,) = _of_reference(loss=0.75)
  assert "the loss is 0.750000" in sentence and "0.693147" in sentence


def test_several_sentences_come_together():
  wrong = _of_reference(
    **{"loss": 9.0, "grad_norm": 0.0, "gate/off_reference/chosen": 8.0}
  )
  assert len(wrong) == 3


def test_another_model_as_reference_may_differ_from_the_policy():
  assert _of_reference(False, loss=9.0) == []


def test_a_loss_without_reference_is_not_compared_with_one():
  without = {k: v for k, v in _GOOD.items() if k != "gate/expected_loss"}
  assert (
    first_step.check_against_reference({**without, "loss": 9.0}, True) == []
  )


@pytest.mark.parametrize("loss,passes", [(1.05, True), (1.1, False)])
def test_a_new_head_may_be_half_as_bad_again_as_one_that_says_nothing(
  loss, passes
):
  # ln 2 = 0.693; 1.5 times that and 0.05 is 1.09.
  wrong = first_step.check_reward({**_GOOD, "loss": loss}, True)
  assert (wrong == []) == passes
  assert passes or "lower reward.init_std" in wrong[0]


def test_a_head_that_was_loaded_may_know_better():
  assert first_step.check_reward({**_GOOD, "loss": 0.01}, False) == []


def test_answers_without_prompts_are_found():
  wrong = first_step.check_answers({**_GOOD, "supervised_share": 1.0})
  assert len(wrong) == 1 and "prompts are empty" in wrong[0]


_SAMPLED = {"gate/off_ratio": 1e-6, "ref_kl": 1e-6, "grad_norm": 0.0}


def _on_policy(metrics, at_start, dtype="float32"):
  return first_step.check_on_policy(metrics, at_start, dtype=dtype)


def test_ratios_may_be_rounded_as_the_dtype_rounds():
  metrics = {**_SAMPLED, "gate/off_ratio": 0.05}
  assert _on_policy(metrics, True, "bfloat16") == []
  assert len(_on_policy(metrics, True, "float32")) == 1
  assert len(_on_policy({"gate/off_ratio": 0.11}, True, "bfloat16")) == 1


def test_a_first_update_of_the_policy_that_sampled_passes():
  # Where all answers are worth the same there is nothing to learn: no gradient.
  assert _on_policy(_SAMPLED, True) == []
  without = {"gate/off_ratio": 0.0099}
  assert _on_policy(without, True) == []


@pytest.mark.parametrize("off", [0.02, math.nan])
def test_ratios_off_1_are_named(off):
  metrics = {**_SAMPLED, "gate/off_ratio": off}
  (sentence,) = _on_policy(metrics, False)
  assert f"ratios are {off:.4g} off 1" in sentence
  assert "another temperature" in sentence


@pytest.mark.parametrize("kl", [0.1, -0.1, math.nan])
def test_a_start_away_from_its_own_reference_is_named(kl):
  metrics = {**_SAMPLED, "ref_kl": kl}
  (sentence,) = _on_policy(metrics, True)
  assert f"is {kl:.4g} nats a token" in sentence
  # Another reference may be anywhere.
  assert _on_policy(metrics, False) == []
