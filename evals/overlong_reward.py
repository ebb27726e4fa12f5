# SPDX-License-Identifier: Apache-2.0
"""A penalty that grows over the last tokens an answer may have."""

from collections.abc import Sequence

from ramjax.evals.answers import Answer


def overlong_reward(
  answers: Sequence[Answer], *, max_tokens: int, cache: int
) -> list[float]:
  """Soft overlong punishment of DAPO (arXiv 2503.14476, eq. 13).

  0 up to `max_tokens - cache` tokens, then down a straight line to -1 at
  `max_tokens`, and -1 beyond.

  Args:
    answers: What is scored, by `num_tokens`.
    max_tokens: L_max, from where on an answer has the full penalty.
    cache: L_cache, tokens over which the penalty grows.

  Returns:
    One number in [-1, 0] an answer.

  Raises:
    ValueError: Not 1 <= cache <= max_tokens.
  """
  if not 1 <= cache <= max_tokens:
    raise ValueError(
      f"rewards.overlong.cache={cache} must be between 1 and"
      f" rewards.overlong.max_tokens={max_tokens}: DAPO has 4096 and 20480."
    )
  over = (answer.num_tokens - (max_tokens - cache) for answer in answers)
  return [0.0 - min(max(tokens, 0) / cache, 1.0) for tokens in over]
