# SPDX-License-Identifier: Apache-2.0
"""A penalty for answers that the model did not end itself."""

from collections.abc import Sequence

from ramjax.evals.answers import Answer


def no_eos_reward(answers: Sequence[Answer]) -> list[float]:
  """-1.0 for an answer cut off at its most tokens, 0.0 for one that ended.

  The weight scales it: Tulu 3 (arXiv 2411.15124, section 6) takes 10.
  """
  return [0.0 if answer.finished else -1.0 for answer in answers]
