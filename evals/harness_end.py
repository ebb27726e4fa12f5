# SPDX-License-Identifier: Apache-2.0
"""Where a generated text ends that a task of the harness has asked for.

Tasks write the names of special tokens into `until`, such as <|eot_id|>, though
these are no part of a text. The rules are those of the harness's Hugging Face
model with one text at a time: what ends a text is looked for with such tokens
by name, too, and then taken from the text without them.
"""

from collections.abc import Sequence

import numpy as np

from ramjax.data.tokenizers import Tokenizer


class TextEnd:
  """Finds the end of one text while it grows."""

  def __init__(self, tokenizer: Tokenizer, until: Sequence[str]):
    """Remembers how the text may end.

    Args:
      tokenizer: Of the model.
      until: Texts, not empty, that end it and are no part of it; names of
        special tokens may stand in them.
    """
    self._tokenizer = tokenizer
    self._until = tuple(until)
    self._specials = frozenset(tokenizer.specials.values())

  def cut(self, tokens: np.ndarray) -> int | None:
    """The fewest tokens that hold an end; None if none do.

    Args:
      tokens: [n] ids of the text so far.
    """
    if not self._holds(tokens):
      return None
    # More tokens hold what fewer do.
    low, high = 1, len(tokens)
    while low < high:
      middle = (low + high) // 2
      if self._holds(tokens[:middle]):
        high = middle
      else:
        low = middle + 1
    return low

  def text(self, tokens: np.ndarray) -> str:
    """The text up to what ended it, without special tokens.

    Args:
      tokens: [n] ids of the whole.
    """
    bos = self._tokenizer.bos_id
    # After BOS, for it is as the start of a text that theirs is decoded: a
    # space that some tokenizers put there is no part of it.
    ids = [
      *([] if bos is None else [bos]),
      *map(int, tokens[: self.cut(tokens)]),
    ]
    text = self._tokenizer.decode(ids)
    for end in self._until:
      text = text.partition(end)[0]
    return text

  def _holds(self, tokens: np.ndarray) -> bool:
    texts = [self._tokenizer.decode(tokens)]
    if not self._specials.isdisjoint(tokens.tolist()):
      texts.append(self._tokenizer.decode(tokens, keep_special=True))
    return any(end in text for end in self._until for text in texts)
