# SPDX-License-Identifier: Apache-2.0
"""What must hold at the first step, before anything was learned.

Most mistakes of data, masks and references show there: a DPO loss that is not
ln 2 means that policy and reference did not compute the same numbers.
"""

import math
from collections.abc import Mapping

from ramjax.trainers.step import GATE_PREFIX

# Relative difference between a loss and what it must be. The two sides are
# computed by programs that may round differently (bfloat16: 3 digits).
_LOSS_TOLERANCE = 1e-3
# Mean |log pi - log pi_ref| of an answer, in nats, where the two are equal.
_MOST_OFF_REFERENCE = 0.05
# Mean |ratio - 1| of an update by the policy that sampled, by the dtype that is
# computed in. With or without a gradient the compiler fuses, and so rounds, in
# its own way: in bfloat16 ratios of a random model were 0.03 off 1 on a CPU.
_MOST_OFF_RATIO = {"float32": 0.01}
_MOST_OFF_RATIO_ROUNDED = 0.1
# A new head is this near to its blank loss: relatively, and in any case.
_REWARD_TOLERANCE = 0.5
_REWARD_SLACK = 0.05
_LEAST_SUPERVISED = 1e-4
# Every answer follows a prompt, which is not supervised.
_MOST_OF_ANSWERS = 0.995


def check(metrics: Mapping[str, float]) -> list[str]:
  """Holds for every algorithm: something, but not padding, is supervised.

  Args:
    metrics: Of the first step, by name; with `supervised_share`.

  Returns:
    What is wrong, a sentence each.
  """
  share = metrics["supervised_share"]
  wrong = []
  if share < _LEAST_SUPERVISED:
    wrong.append(
      f"{share:.2%} of the tokens are supervised: the answers are missing from"
      " the rows, or the mask is wrong."
    )
  if metrics["grad_norm"] == 0:
    wrong.append(
      "the gradient is exactly 0, so nothing would be learned: look at the"
      " options of the loss (margin='scale' needs rows with margins)."
    )
  bad = metrics.get(GATE_PREFIX + "non_finite", 0.0)
  if bad > 0:
    wrong.append(
      f"{bad:.1%} of the examples have a loss that is not finite: look for"
      " empty answers, and for values of the rows that are out of range."
    )
  return wrong


def check_answers(metrics: Mapping[str, float]) -> list[str]:
  """Holds for every algorithm on answers: their prompts are not supervised."""
  wrong = check(metrics)
  share = metrics["supervised_share"]
  if share > _MOST_OF_ANSWERS:
    wrong.append(
      f"{share:.1%} of the tokens are supervised: prompts are empty, or the mask"
      " covers them too."
    )
  return wrong


def check_against_reference(
  metrics: Mapping[str, float], policy_is_reference: bool
) -> list[str]:
  """Policy and reference, where they are the same model, agree on each answer.

  Then every implicit reward is 0, and the loss is what the terms give for
  that: ln 2 for DPO.

  Args:
    metrics: Of the first step.
    policy_is_reference: Whether the two are the same model before any update.
  """
  wrong = check_answers(metrics)
  expected = metrics.get(GATE_PREFIX + "expected_loss")
  if not policy_is_reference or expected is None:
    return wrong
  for name, value in metrics.items():
    if name.startswith(GATE_PREFIX + "off_reference/") and not (
      value <= _MOST_OFF_REFERENCE
    ):
      side = name.rpartition("/")[2]
      wrong.append(
        f"policy and reference are the same model, yet log pi - log pi_ref of a"
        f" {side} answer is {value:.4g} nats on average, not 0: the reference's"
        " log-probabilities are of other rows or other weights."
      )
  if not math.isclose(
    metrics["loss"], expected, rel_tol=_LOSS_TOLERANCE, abs_tol=_LOSS_TOLERANCE
  ):
    wrong.append(
      f"the loss is {metrics['loss']:.6f}, and where policy equals reference it"
      f" must be {expected:.6f}."
    )
  return wrong


def check_on_policy(
  metrics: Mapping[str, float], at_start: bool, *, dtype: str
) -> list[str]:
  """The first update is of the very policy that sampled: every ratio is 1.

  Args:
    metrics: Of the first step.
    at_start: Whether policy and reference are the same model before any update;
      then their KL divergence is 0.
    dtype: That the model is computed in.
  """
  wrong = []
  off = metrics[GATE_PREFIX + "off_ratio"]
  if not off <= _MOST_OFF_RATIO.get(dtype, _MOST_OFF_RATIO_ROUNDED):
    wrong.append(
      f"the policy is the one that sampled, yet its ratios are {off:.4g} off 1 on"
      " average: the log-probabilities before the update are of other tokens or"
      " another temperature."
    )
  kl = metrics.get("ref_kl", 0.0)
  if at_start and not abs(kl) <= _MOST_OFF_REFERENCE:
    wrong.append(
      f"policy and reference are the same model, yet their KL divergence is"
      f" {kl:.4g} nats a token, not 0: the reference is another model."
    )
  return wrong


def check_reward(metrics: Mapping[str, float], head_is_new: bool) -> list[str]:
  """A new head knows nothing: the loss is near that of equal scores.

  Args:
    metrics: Of the first step; `gate/expected_loss` is the loss of scores that
      are all 0. Something must be supervised, or there is no answer to score;
      that prompts are not is not asked, for scores have no targets.
    head_is_new: Whether the head starts anew; a loaded one may know better.
  """
  wrong = check(metrics)
  expected = metrics.get(GATE_PREFIX + "expected_loss")
  if not head_is_new or expected is None:
    return wrong
  if abs(metrics["loss"] - expected) > (
    _REWARD_TOLERANCE * expected + _REWARD_SLACK
  ):
    wrong.append(
      f"the loss is {metrics['loss']:.4f}, and a new head that says the same of"
      f" every answer has {expected:.4f}: lower reward.init_std, or look at the"
      " rows."
    )
  return wrong
