# SPDX-License-Identifier: Apache-2.0
"""Adds special tokens to the tokenizer.json of a folder.

The tokens are appended to the file's list of added tokens, which is all that
`Tokenizer.add_special_tokens` does; saving through that library would also
rewrite the rest of the file in the newest format, which older releases of
`transformers` do not read. That the result is right is checked by loading it.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from ramjax.data import tokenizers
from ramjax.data.tokenizer_backend import read_object
from ramjax.data.tokenizers import Tokenizer

_FILE = "tokenizer.json"
_MAX_LENGTH = 100


def add_special_tokens(
  folder: str | pathlib.Path, names: Sequence[str]
) -> Tokenizer:
  """Gives new special tokens the ids after the largest, in their order.

  Args:
    folder: Holds a `tokenizer.json`, which is replaced; as are
      `tokenizer_config.json` and `added_tokens.json` where they list the added
      tokens.
    names: The tokens as they are written, "<|tool|>".

  Returns:
    The new tokenizer. All other ids mean what they meant.

  Raises:
    FileNotFoundError: The folder has no tokenizer.
    ValueError: A tokenizer that is refused or is only a sentencepiece model, a
      name that is a token already, twice given, or unfit.
  """
  folder = pathlib.Path(folder)
  before = tokenizers.load_tokenizer(folder)
  if before.path.name != _FILE:
    raise ValueError(
      f"{before.path} is a sentencepiece model, to which no token can be added."
      f" Put a {_FILE} of the same model beside it: its publisher's, or what"
      " AutoTokenizer.from_pretrained(...).save_pretrained(...) of transformers"
      " writes."
    )
  spec = read_object(folder / _FILE)
  _check_names(folder / _FILE, names, spec)
  first = before.vocab_size
  entries = {
    first + i: {
      "content": name,
      "single_word": False,
      "lstrip": False,
      "rstrip": False,
      "normalized": False,
      "special": True,
    }
    for i, name in enumerate(names)
  }
  spec["added_tokens"] = [
    *(spec.get("added_tokens") or []),
    *({"id": id_, **entry} for id_, entry in entries.items()),
  ]
  _write(folder / _FILE, spec)
  _extend_neighbours(folder, entries)
  after = tokenizers.load_tokenizer(folder)
  _check_ids(before, after, names)
  return after


def _check_names(
  path: pathlib.Path, names: Sequence[str], spec: dict[str, Any]
) -> None:
  vocab = spec["model"]["vocab"]
  known = set(vocab if isinstance(vocab, dict) else (row[0] for row in vocab))
  known.update(token["content"] for token in spec.get("added_tokens") or [])
  for i, name in enumerate(names):
    if (
      not 2 <= len(name) <= _MAX_LENGTH
      or not name.isprintable()
      or any(character.isspace() for character in name)
    ):
      raise ValueError(
        f"token {name[:_MAX_LENGTH]!a} must have from 2 to {_MAX_LENGTH}"
        " printable characters and no space, as <|tool|> has."
      )
    if name in known:
      raise ValueError(
        f"{path} has the token {name!r} already: leave it out, or choose"
        " another name."
      )
    if name in names[:i]:
      raise ValueError(f"token {name!r} is given twice.")


def _extend_neighbours(
  folder: pathlib.Path, entries: dict[int, dict[str, Any]]
) -> None:
  """Adds to the two other files that may list the added tokens."""
  config_path = folder / "tokenizer_config.json"
  if config_path.is_file():
    config = read_object(config_path)
    listed = config.get("added_tokens_decoder")
    if isinstance(listed, dict):
      listed.update({str(id_): entry for id_, entry in entries.items()})
      _write(config_path, config)
  names_path = folder / "added_tokens.json"
  if names_path.is_file():
    ids = {entry["content"]: id_ for id_, entry in entries.items()}
    _write(names_path, read_object(names_path) | ids)


def _check_ids(
  before: Tokenizer, after: Tokenizer, names: Sequence[str]
) -> None:
  """Old ids must mean the same, and new ones what they were given for."""
  first = before.vocab_size
  moved = [
    id_
    for id_ in range(first)
    if before.decode([id_], keep_special=True)
    != after.decode([id_], keep_special=True)
  ]
  if moved or [after.special_id(name) for name in names] != list(
    range(first, after.vocab_size)
  ):
    raise ValueError(
      f"{after.path}: adding tokens would change the ids of others (its ids"
      " have gaps, perhaps), so the model would read other words. Add them with"
      " the library that made the tokenizer, and convert its folder."
    )


def _write(path: pathlib.Path, value: dict[str, Any]) -> None:
  text = json.dumps(value, indent=2, ensure_ascii=False)
  path.write_text(text + "\n", encoding="utf-8")
