# SPDX-License-Identifier: Apache-2.0
"""A text longer than a model reads, in windows that predict each token once."""

from collections.abc import Sequence

from ramjax.evals.continuations import TokenPair


def rolling_windows(
  tokens: Sequence[int],
  *,
  prefix: int,
  max_length: int,
  context_length: int = 1,
) -> list[TokenPair]:
  """Splits a text as the Language Model Evaluation Harness does.

  The first window predicts `max_length` tokens from `prefix` and those before
  them. Each later one predicts `max_length - context_length + 1` more. The last
  reads as much as the others and predicts only what is left, so that its
  context is longer (`utils.get_rolling_token_windows` and
  `make_disjoint_window` of version 0.4.13, whose tasks have a context length
  of 1).

  Args:
    tokens: Of the text; without BOS, which is no part of it (the harness's
      Hugging Face model puts one there, and predicts it from `prefix`).
    prefix: What the first token is predicted from.
    max_length: Tokens the model reads at a time.
    context_length: Least number of tokens that any but those of the first
      window is predicted from; 1 to `max_length`.

  Returns:
    Pairs of a context and the tokens to predict, which together are `tokens`.
    None for an empty text.

  Raises:
    ValueError: A length out of range.

  >>> for pair in rolling_windows([5, 6, 7], prefix=1, max_length=2):
  ...   print(*pair)
  [1] [5, 6]
  [5, 6] [7]
  """
  if not 1 <= context_length <= max_length:
    raise ValueError(
      f"context_length={context_length} must lie in 1 to"
      f" max_length={max_length}."
    )
  tokens = list(tokens)
  if not tokens:
    return []
  windows = [TokenPair([prefix], tokens[:max_length])]
  step = max_length - context_length + 1
  for start in range(max_length, len(tokens), step):
    end = min(start + step, len(tokens))
    # The model reads tokens[end - max_length - 1 : end - 1].
    windows.append(
      TokenPair(tokens[end - max_length - 1 : start], tokens[start:end])
    )
  return windows
