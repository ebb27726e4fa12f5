# SPDX-License-Identifier: Apache-2.0
"""A tokenizer to count by: one token a character."""

import numpy as np

_SPECIALS = {
  "bos": 1,
  "eos": 2,
  "<|im_start|>": 3,
  "<|im_end|>": 4,
  "<|start_header_id|>": 5,
  "<|end_header_id|>": 6,
  "<|eot_id|>": 7,
}
_SHOWN = {1: "[", 2: "]", 3: "<", 4: ">", 5: "{", 6: "}", 7: "|"}


class Letters:
  """Stands in for a `Tokenizer`; BOS is 1, EOS 2.

  Attributes:
    bos_id: 1, or None where there is no BOS.
    eos_id: 2.
    encoded: (text, at_start) of every call of `encode`.
  """

  eos_id = 2

  def __init__(self, bos_id: int | None = 1):
    self.bos_id = bos_id
    self.encoded: list[tuple[str, bool]] = []

  def encode(self, text: str, *, at_start: bool) -> list[int]:
    self.encoded.append((text, at_start))
    return [ord(letter) for letter in text]

  def special_id(self, name: str, *, template: str = "") -> int:
    del template
    return _SPECIALS[name]

  def read(self, tokens: np.ndarray) -> str:
    """The text, with BOS as "[" and EOS as "]"."""
    return "".join(_SHOWN.get(t, chr(t)) for t in np.asarray(tokens).tolist())
