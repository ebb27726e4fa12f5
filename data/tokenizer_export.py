# SPDX-License-Identifier: Apache-2.0
"""Writes a tokenizer so that `transformers` and serving tools load it.

A folder for them holds `tokenizer.json`, which encodes, and
`tokenizer_config.json`, which names the special tokens and carries the chat
template. What a checkpoint brought along is kept; nothing of it is run.
"""

import json
import pathlib
from typing import Any

from ramjax.data import (
  jinja_templates,
  sentencepiece_json,
  templates,
  tokenizer_sentencepiece,
  tokenizers,
)
from ramjax.data.rows import Message
from ramjax.data.tokenizer_backend import read_capped, read_object
from ramjax.data.tokenizers import Tokenizer

_CONFIG = "tokenizer_config.json"
_JINJA_FILE = "chat_template.jinja"
_VOCABULARIES = ("tokenizer.json", "tokenizer.model")
_NAMES = ("special_tokens_map.json", "added_tokens.json")

_PAD_NAMES = ("<pad>", "<|finetune_right_pad_id|>", "<|endoftext|>", "[PAD]")


def export_tokenizer(
  source_dir: pathlib.Path,
  target_dir: pathlib.Path,
  *,
  template: str | None,
  max_length: int | None,
) -> None:
  """Writes what `transformers.AutoTokenizer.from_pretrained(target_dir)` needs.

  The tokenizer's files are copied as they are where the source's own
  `tokenizer_config.json` says by what class they are read. Otherwise the class
  is the one that reads `tokenizer.json` and nothing else: a sentencepiece BPE
  model is converted to one that gives the same ids, and every text starts with
  BOS, if the tokenizer has one.

  Fields of a `tokenizer_config.json` of the source are kept, except "auto_map",
  which names code to run.

  Args:
    source_dir: Holds `tokenizer.model` or `tokenizer.json`, or both.
    target_dir: Where to write; the folder must exist. Files of the same names
      are replaced.
    template: The chat template of ours to write, in place of any that the
      source carries; None keeps the source's.
    max_length: The model's context in tokens; None keeps the source's figure.

  Raises:
    FileNotFoundError: `source_dir` has no tokenizer, or `target_dir` is no
      folder.
    ValueError: An unknown template, or one that needs special tokens which the
      tokenizer does not have; `max_length` below 1; a tokenizer that is refused
      or cannot be converted; the same folder twice.
  """
  source_dir, target_dir = pathlib.Path(source_dir), pathlib.Path(target_dir)
  _check_arguments(source_dir, target_dir, max_length)
  tokenizer = tokenizers.load_tokenizer(source_dir)
  config = _read_object(source_dir / _CONFIG)
  made = None
  if not config.get("tokenizer_class"):
    made = _tokenizer_json(source_dir, tokenizer)
    config = _defaults(made, tokenizer) | config
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
  config.pop("auto_map", None)
  if max_length is not None:
    config["model_max_length"] = max_length
  copied = [*_VOCABULARIES, *_NAMES]
  if template is None:
    copied.append(_JINJA_FILE)
  else:
    _check_specials(template, tokenizer)
    config["chat_template"] = jinja_templates.jinja_template(template)
    (target_dir / _JINJA_FILE).unlink(missing_ok=True)  # It would win.
  for name in copied:
    if (source_dir / name).is_file():
      (target_dir / name).write_bytes(read_capped(source_dir / name))
  if made is not None:
    _write(target_dir / "tokenizer.json", made)
  _write(target_dir / _CONFIG, config)


def _check_arguments(
  source_dir: pathlib.Path, target_dir: pathlib.Path, max_length: int | None
) -> None:
  if not target_dir.is_dir():
    raise FileNotFoundError(
      f"target_dir={str(target_dir)!r} is no folder. Create it first."
    )
  if not source_dir.is_dir():
    raise FileNotFoundError(
      f"source_dir={str(source_dir)!r} is no folder. Give the one that holds"
      " tokenizer.json or tokenizer.model."
    )
  if source_dir.samefile(target_dir):
    raise ValueError(
      f"source_dir and target_dir are the same folder, {str(source_dir)!r}."
      " Give another to write to."
    )
  if max_length is not None and max_length < 1:
    raise ValueError(
      f"max_length={max_length} must be at least 1: it is the number of tokens"
      " that the model can read."
    )


def _check_specials(template: str, tokenizer: Tokenizer) -> None:
  """Refuses a template whose special tokens the tokenizer does not have."""
  turns = [Message("user", ""), Message("assistant", "")]
  for span in templates.render(turns, template=template):
    if span.special:
      tokenizer.special_id(span.text, template=template)


def _tokenizer_json(
  source_dir: pathlib.Path, tokenizer: Tokenizer
) -> dict[str, Any]:
  """The content of a `tokenizer.json` that puts BOS before every text."""
  bos = _name(tokenizer, tokenizer.bos_id)
  if tokenizer.path.suffix != ".json":
    model = tokenizer_sentencepiece.read_model(
      tokenizer.path, read_capped(tokenizer.path)
    )
    return sentencepiece_json.convert(model, bos=bos)
  spec = _read_object(source_dir / "tokenizer.json")
  processor = spec.get("post_processor") or {"type": "ByteLevel"}
  # ByteLevel adds no token; any other kind is there to add some.
  if processor.get("type") == "ByteLevel" and bos is not None:
    assert tokenizer.bos_id is not None
    spec["post_processor"] = sentencepiece_json.starts_with(
      bos, tokenizer.bos_id
    )
  return spec


def _defaults(spec: dict[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
  """The fields of a `tokenizer_config.json` for a tokenizer without one."""
  added = {token["content"] for token in spec.get("added_tokens") or []}
  return {
    "add_bos_token": tokenizer.bos_id is not None,
    "add_eos_token": False,
    "bos_token": _name(tokenizer, tokenizer.bos_id),
    "clean_up_tokenization_spaces": False,
    "eos_token": _name(tokenizer, tokenizer.eos_id),
    "pad_token": next((name for name in _PAD_NAMES if name in added), None),
    "unk_token": spec["model"].get("unk_token"),
  }


def _name(tokenizer: Tokenizer, id_: int | None) -> str | None:
  """A special token as it is written."""
  return None if id_ is None else tokenizer.decode([id_], keep_special=True)


def _read_object(path: pathlib.Path) -> dict[str, Any]:
  """The JSON object in a file; empty where there is no file."""
  return read_object(path) if path.is_file() else {}


def _write(path: pathlib.Path, value: dict[str, Any]) -> None:
  text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
  path.write_text(text + "\n", encoding="utf-8")
