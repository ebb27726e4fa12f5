# SPDX-License-Identifier: Apache-2.0
"""What a tokenizer library must do for `Tokenizer`, and what it must not.

The two libraries are reached through `Backend` alone; the limits here hold for
the files of both.
"""

import json
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

MAX_FILE_BYTES = 64 * 2**20
MAX_VOCAB_SIZE = 2**20

# Added tokens and user-defined symbols of this shape are special, whatever
# their file says; others (runs of spaces, say) stay part of ordinary text.
SPECIAL_SHAPE = re.compile(r"<[^<>\s]+>")


class Prefix(NamedTuple):
  """What a tokenizer was trained to put before the first word of a text.

  Attributes:
    text: One space as a rule; empty for none.
    unless_spaced: Whether a text that starts with a space gets none.
  """

  text: str = ""
  unless_spaced: bool = False

  def before(self, text: str) -> str:
    """`text` with its prefix."""
    if self.unless_spaced and text.startswith((" ", "▁")):
      return text
    return self.text + text


class Backend(NamedTuple):
  """One loaded tokenizer, as its library serves it.

  Attributes:
    encode: Text to ids: no special token added, no prefix.
    decode: Ids (none of them special) to text: nothing stripped.
    vocab_size: One more than the largest id.
    specials: The special tokens, by name.
    bos: The name of the token that starts a sequence, if there is one.
    eos: The name of the token that ends a sequence, if there is one.
    unk_id: The id of what cannot be encoded, if there is one.
    prefix: What is due before the first word of a sequence.
  """

  encode: Callable[[str], list[int]]
  decode: Callable[[list[int]], str]
  vocab_size: int
  specials: Mapping[str, int]
  bos: str | None
  eos: str | None
  unk_id: int | None
  prefix: Prefix


def read_capped(path: pathlib.Path) -> bytes:
  """The bytes of a file of at most `MAX_FILE_BYTES`."""
  size = path.stat().st_size
  if size > MAX_FILE_BYTES:
    raise ValueError(
      f"{path} is {size:,} bytes; a tokenizer file may have at most"
      f" {MAX_FILE_BYTES:,}."
    )
  return path.read_bytes()


def check_vocab_size(path: pathlib.Path, vocab_size: int) -> None:
  """Refuses a vocabulary that no model of ours could have."""
  if not 0 < vocab_size <= MAX_VOCAB_SIZE:
    raise ValueError(
      f"{path} has vocab_size={vocab_size:,}; it must be in 1 to"
      f" {MAX_VOCAB_SIZE:,}."
    )


def read_object(path: pathlib.Path) -> dict[str, Any]:
  """The JSON object in a tokenizer's file.

  Raises:
    ValueError: No JSON object, or a file that is too large.
  """
  try:
    value = json.loads(read_capped(path))
  except (ValueError, RecursionError) as error:
    raise ValueError(f"{path} is not valid JSON: {error}") from error
  if not isinstance(value, dict):
    raise ValueError(f"{path} holds a JSON {type(value).__name__}, no object.")
  return value
