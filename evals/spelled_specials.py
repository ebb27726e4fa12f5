# SPDX-License-Identifier: Apache-2.0
"""Text in which special tokens stand by name, as serving tools hand it over.

A prompt that a chat template has rendered into one string, for instance. Only
for strings that whoever wrote them may put special tokens into: everywhere else
text is only ever text.
"""

import re

from ramjax.data.tokenizers import Tokenizer


class SpelledTokenizer:
  """A tokenizer that reads the name of a special token as that token.

  Attributes:
    path: The file it was loaded from.
    bos_id: The id that starts a sequence; None where there is none.
    eos_id: The id that ends a sequence; None where there is none.
  """

  def __init__(self, tokenizer: Tokenizer):
    """Takes any tokenizer."""
    self.path = tokenizer.path
    self.bos_id = tokenizer.bos_id
    self.eos_id = tokenizer.eos_id
    self._tokenizer = tokenizer
    # Of names that begin alike the longest, as Hugging Face's tokenizers do.
    names = sorted(tokenizer.specials, key=len, reverse=True)
    self._names = re.compile("|".join(map(re.escape, names)) or r"(?!)")

  def encode(self, text: str, *, at_start: bool) -> list[int]:
    """Encodes text, adding no special token.

    Args:
      text: Any text. No token crosses the name of a special one.
      at_start: Whether a sequence starts here; see `Tokenizer.encode`. After
        BOS one starts, too.

    Returns:
      The ids; an empty list for empty text.
    """
    ids: list[int] = []
    end = 0
    for name in self._names.finditer(text):
      ids += self._tokenizer.encode(text[end : name.start()], at_start=at_start)
      ids.append(self._tokenizer.specials[name[0]])
      at_start, end = ids[-1] == self.bos_id, name.end()
    return ids + self._tokenizer.encode(text[end:], at_start=at_start)

  def encode_whole(self, text: str) -> list[int]:
    """Encodes a text from its start, with BOS first and once, if there is one.

    Args:
      text: Any text; it may begin with the name of BOS.

    Returns:
      The ids.
    """
    ids = self.encode(text, at_start=True)
    bos = self.bos_id
    return ids if bos is None or ids[:1] == [bos] else [bos, *ids]

  def without_bos(self, text: str) -> str:
    """Text without the name of BOS at its start."""
    return text.removeprefix(self.name(self.bos_id) or "")

  def name(self, id_: int | None) -> str | None:
    """A special token as it stands in text; None for None."""
    if id_ is None:
      return None
    return self._tokenizer.decode([id_], keep_special=True)
