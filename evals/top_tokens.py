# SPDX-License-Identifier: Apache-2.0
"""The likeliest first tokens of an answer: what a judge of one token says."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

from ramjax.evals.engine import ChatRequest

# What OpenAI's API offers, and `ramjax serve`.
MOST_TOP = 20

Arrived = Callable[[int, "NextTokens | OSError"], None]


@dataclasses.dataclass(frozen=True)
class NextTokens:
  """What an answer may begin with.

  Attributes:
    top: The likeliest tokens, each spelling once, with natural log-probabilities
      under the model as it is; the likeliest first. Empty where a server tells
      of no token, because the answer ended at once.
    num_prompt_tokens: Tokens of the conversation; None where it is not told.
    num_tokens: Tokens that were written to learn this.
  """

  top: tuple[tuple[str, float], ...]
  num_prompt_tokens: int | None
  num_tokens: int


@runtime_checkable
class TopTokens(Protocol):
  """An engine that tells the likeliest first tokens of answers."""

  def top_tokens(
    self,
    requests: Sequence[ChatRequest],
    *,
    num: int,
    arrived: Arrived | None = None,
  ) -> list[NextTokens | OSError]:
    """Those of each request, in their order.

    Args:
      requests: Any number; only their messages matter.
      num: How many tokens, from 1 to `MOST_TOP`.
      arrived: Told the index of each request and what came of it, at once.

    Returns:
      Of each request its tokens, or why a server gave none: one that fails
      does not keep others from being answered.
    """
    ...


def merged(
  pairs: Iterable[tuple[str, float]],
) -> tuple[tuple[str, float], ...]:
  """Each spelling once, the likeliest first.

  Two ids may have one spelling, such as a word with and without the space that
  is not shown at the start of an answer: it has the probability of both.
  """
  found: dict[str, float] = {}
  for text, logp in pairs:
    found[text] = _log_sum(found[text], logp) if text in found else logp
  return tuple(sorted(found.items(), key=lambda pair: -pair[1]))


def check_num(num: int) -> None:
  """Refuses a number of tokens that cannot be had.

  Raises:
    ValueError: It is not from 1 to `MOST_TOP`.
  """
  if not 1 <= num <= MOST_TOP:
    raise ValueError(
      f"num={num} of the likeliest tokens must be from 1 to {MOST_TOP}."
    )


def _log_sum(x: float, y: float) -> float:
  high, low = max(x, y), min(x, y)
  if low == -math.inf:
    return high
  return min(high + math.log1p(math.exp(low - high)), 0.0)
