# SPDX-License-Identifier: Apache-2.0
"""A preference from the probabilities of a judge's next token.

The judge names the better output by one token, "m" for the one that it sees
first and "M" for the other, and how sure it is of it is the preference: the
rule of AlpacaEval 2's `weighted_alpaca_eval_gpt4_turbo` (Dubois et al., arXiv
2404.04475).
"""

import math
from collections.abc import Sequence

FIRST, SECOND = "m", "M"


def preference(
  top_logprobs: Sequence[tuple[str, float]],
  *,
  swapped: bool,
  identifiers: tuple[str, str] = (FIRST, SECOND),
) -> float | None:
  """What a judge's next token says of a pair.

  Args:
    top_logprobs: The likeliest tokens, each with its natural log-probability.
      An identifier that is not among them counts as impossible.
    swapped: Whether the model's output was shown first (`shown_order`).
    identifiers: The tokens for the output shown first and second.

  Returns:
    From 1 (the baseline's output is better) to 2 (the model's); None if the
    list has neither identifier.

  Raises:
    ValueError: An identifier stands twice, or its number is no log-probability.
  """
  first, second = (_logprob(top_logprobs, name) for name in identifiers)
  if first == second == -math.inf:
    return None
  # p(first) / (p(first) + p(second)), without underflow.
  share = 1.0 / (1.0 + _exp(second - first))
  # In the order shown, 1 is the first output and 2 the second.
  shown = 2.0 - share
  return 3.0 - shown if swapped else shown


def _exp(value: float) -> float:
  # math.exp overflows where the share would be 0 anyway.
  return math.exp(value) if value < 700 else math.inf


def _logprob(top_logprobs: Sequence[tuple[str, float]], token: str) -> float:
  found = [logprob for name, logprob in top_logprobs if name == token]
  if len(found) > 1:
    raise ValueError(
      f"the token {token!r} stands {len(found)} times in top_logprobs, which"
      " leaves its probability open: keep one."
    )
  if not found:
    return -math.inf
  # Some servers round a certain token to just above 0.
  if math.isnan(found[0]) or found[0] > 1e-3:
    raise ValueError(
      f"top_logprobs has {found[0]!r} for {token!r}, and must have the natural"
      " logarithm of a probability: 0 or less."
    )
  return found[0]
