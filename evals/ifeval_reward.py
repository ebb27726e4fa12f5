# SPDX-License-Identifier: Apache-2.0
"""A reward for following the instructions that an IFEval record lists.

`ifeval_instructions` says what a record holds. With `share=False` it is the
prompt-level verdict that IFEval reports and that reinforcement learning with
verifiable rewards uses (Lambert et al. 2024, arXiv 2411.15124, section 6);
`share=True` pays for each instruction.
"""

from collections.abc import Sequence

from ramjax.evals import ifeval_instructions, ifeval_verdicts
from ramjax.evals.answers import Answer


def ifeval_reward(
  answers: Sequence[Answer], *, mode: str = "strict", share: bool = False
) -> list[float]:
  """Scores answers by the instructions of their records.

  Args:
    answers: Each with a record of `instruction_id_list` and `kwargs`.
    mode: "strict" or "loose", as in `ifeval_verdicts`.
    share: Whether to give the share of the instructions that is followed.

  Returns:
    For each answer 1.0 if every instruction is followed and 0.0 otherwise; with
    `share`, the share in [0, 1].

  Raises:
    ValueError: A field of a record is missing or wrong, or `mode` is neither.
  """
  if mode not in ifeval_verdicts.MODES:
    raise ValueError(
      f"rewards.ifeval.mode={mode!r} must be one of"
      f" {', '.join(ifeval_verdicts.MODES)}."
    )
  for index, answer in enumerate(answers):
    try:
      ifeval_instructions.check_record(answer.record)
    except ValueError as error:
      raise ValueError(
        f"rewards.ifeval: the row of answer {index} cannot be judged: {error}"
      ) from None
  rewards = []
  for answer in answers:
    followed = ifeval_verdicts.verdicts(
      answer.record, answer.response, mode=mode
    )
    mean = sum(followed) / len(followed)
    rewards.append(mean if share else float(all(followed)))
  return rewards
