# SPDX-License-Identifier: Apache-2.0
"""The text of an answer while it grows: where it ends, what can be shown.

The tokens so far may end inside a character, or inside a text that would end
the answer; such an end is held back until it is decided.
"""

from collections.abc import Collection

import numpy as np

from ramjax.data.tokenizers import Tokenizer


class AnswerText:
  """Text of one answer, asked for again and again as it grows."""

  def __init__(
    self,
    tokenizer: Tokenizer,
    *,
    ends: Collection[int],
    stop: Collection[str] = (),
    strip: bool = False,
  ):
    """Remembers how the answer may end.

    Args:
      tokenizer: Of the model.
      ends: Ids that end it and are no part of its text.
      stop: Texts, not empty, that end it and are no part of it.
      strip: Leave out white space around it, which some templates put there.
    """
    self._tokenizer = tokenizer
    self._ends = frozenset(ends)
    self._stop = tuple(stop)
    self._strip = strip
    self._num_given = 0

  def cut(self, tokens: np.ndarray) -> int | None:
    """The fewest tokens whose text holds a stop text; None if none do."""

    def holds(count: int) -> bool:
      text = self._tokenizer.decode(tokens[:count])
      return any(stop in text for stop in self._stop)

    if not self._stop or not holds(len(tokens)):
      return None
    # The text of more tokens holds what that of fewer does.
    low, high = 1, len(tokens)
    while low < high:
      middle = (low + high) // 2
      low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low

  def whole(self, tokens: np.ndarray) -> str:
    """The text of all tokens of an answer that has ended."""
    text = self._decoded(tokens)
    return text.strip() if self._strip else text

  def piece(self, tokens: np.ndarray, *, ended: bool) -> str:
    """What has become certain since the last call; all pieces make `whole`.

    Args:
      tokens: [n] ids of the answer so far.
      ended: Whether there will be no more.
    """
    text = self._decoded(tokens)
    if not ended:
      text = self._certain(text)
    if self._strip:
      text = text.strip()
    piece = text[self._num_given :]
    self._num_given = max(self._num_given, len(text))
    return piece

  def _decoded(self, tokens: np.ndarray) -> str:
    if len(tokens) and int(tokens[-1]) in self._ends:
      tokens = tokens[:-1]
    text = self._tokenizer.decode(tokens)
    found = [at for stop in self._stop if (at := text.find(stop)) >= 0]
    return text[: min(found)] if found else text

  def _certain(self, text: str) -> str:
    """`text` without an end that more tokens might change or take away."""
    text = text.rstrip("\N{REPLACEMENT CHARACTER}")
    begun = [
      size
      for stop in self._stop
      for size in range(1, min(len(stop), len(text) + 1))
      if text.endswith(stop[:size])
    ]
    return text[: len(text) - max(begun, default=0)]
