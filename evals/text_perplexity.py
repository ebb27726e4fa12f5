# SPDX-License-Identifier: Apache-2.0
"""Perplexity of texts, by word, byte and token.

Only those by word and byte can be compared between models whose tokenizers
differ. Names and rules are those of the Language Model Evaluation Harness
(version 0.4.13, `PerplexityTask`); `token_ppl` is none of its figures.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

# exp of more overflows.
_LARGEST = 700.0


class TextLogp(NamedTuple):
  """How likely a text is.

  Attributes:
    text: As it stands.
    logp: Natural log-probability of all its tokens.
    num_tokens: How many those are.
  """

  text: str
  logp: float
  num_tokens: int


def num_words(text: str) -> int:
  r"""Pieces between runs of whitespace.

  As in the harness, whitespace at an end of the text has an empty word behind
  it that counts.

  >>> num_words("two words"), num_words("two words\n")
  (2, 3)
  """
  return len(re.split(r"\s+", text))


def num_bytes(text: str) -> int:
  """Bytes of UTF-8."""
  return len(text.encode("utf-8"))


def text_perplexity(texts: Sequence[TextLogp]) -> dict[str, float | None]:
  """Figures of some texts together: sums are divided, never averages averaged.

  Args:
    texts: At least one; none is empty.

  Returns:
    `word_perplexity`, `byte_perplexity` and `token_ppl`, each exp of the mean
    of -log p over words, bytes or tokens, and `bits_per_byte`. None where the
    exponential overflows, as it does by words in a script without spaces.

  Raises:
    ValueError: No text, or an empty one.
  """
  if not texts or not all(scored.text for scored in texts):
    raise ValueError("perplexity is of at least one text, and none is empty.")
  nll = -math.fsum(scored.logp for scored in texts)
  words = sum(num_words(scored.text) for scored in texts)
  bytes_ = sum(num_bytes(scored.text) for scored in texts)
  tokens = sum(scored.num_tokens for scored in texts)
  return {
    "word_perplexity": _exp(nll / words),
    "byte_perplexity": _exp(nll / bytes_),
    "bits_per_byte": nll / bytes_ / math.log(2),
    "token_ppl": _exp(nll / tokens),
  }


def _exp(value: float) -> float | None:
  return math.exp(value) if value < _LARGEST else None
