# SPDX-License-Identifier: Apache-2.0
"""Whether an answer keeps to bounds on its words and characters."""

from collections.abc import Sequence

from ramjax.evals.answers import Answer


def length_reward(
  answers: Sequence[Answer],
  *,
  min_words: int | None = None,
  max_words: int | None = None,
  min_characters: int | None = None,
  max_characters: int | None = None,
) -> list[float]:
  """1.0 for an answer within all the bounds, 0.0 for any other.

  A word is what white space separates; characters are counted without the
  white space around the answer. Bounds are inclusive; None is no bound.

  Raises:
    ValueError: No bound at all, a negative one, or a least above its most.
  """
  bounds = {
    "words": (min_words, max_words),
    "characters": (min_characters, max_characters),
  }
  if all(bound is None for pair in bounds.values() for bound in pair):
    raise ValueError(
      "rewards.length has no bound: set at least one of min_words, max_words,"
      " min_characters and max_characters."
    )
  for unit, (least, most) in bounds.items():
    low = 0 if least is None else least
    if low < 0 or (most is not None and most < low):
      raise ValueError(
        f"rewards.length.min_{unit}={least} and rewards.length.max_{unit}="
        f"{most} must be at least 0, and the first at most the second."
      )
  return [
    float(
      _within(len(answer.response.split()), *bounds["words"])
      and _within(len(answer.response.strip()), *bounds["characters"])
    )
    for answer in answers
  ]


def _within(count: int, least: int | None, most: int | None) -> bool:
  return (least is None or count >= least) and (most is None or count <= most)
