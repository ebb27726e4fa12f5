# SPDX-License-Identifier: Apache-2.0
"""The tokenizer and the chat format that travel with a model's weights."""

import json
import pathlib
from typing import Any

from ramjax.data import (
  template_recognition,
  templates,
  tokenizer_export,
  tokenizer_probe,
  tokenizers,
)
from ramjax.data.tokenizers import Tokenizer
from ramjax.models import carried_files, model_folder, strict_json, weights

_MAX_BYTES = 2**24


def describe(model: pathlib.Path) -> str:
  """One line on the tokenizer and the chat template that a model brings."""
  folder = carried_files.tokenizer_folder(model)
  if folder is None:
    return "tokenizer: none came with the model; name one in tokenizer.path"
  try:
    tokenizer = load_tokenizer(folder)
  except ValueError as error:
    return f"tokenizer: carried along, but not usable here: {error}"
  line = f"tokenizer: {tokenizer.vocab_size} tokens"
  try:
    text = chat_template(folder)
    name = None if text is None else _recognised(text, tokenizer)
  # RuntimeError: the sandbox cannot start on this machine.
  except (ValueError, RuntimeError) as error:
    return f"{line}; chat template: carried along, but refused here: {error}"
  if text is None:
    return f"{line}; no chat template"
  if name is None:
    return f"{line}; chat template: carried along, none of data.template's"
  return f"{line}; chat template: data.template={name}"


def stage(
  model: pathlib.Path, target: pathlib.Path, *, max_positions: int
) -> dict[str, Any]:
  """Puts all that travels with a model's weights into a folder.

  The carried files come as they are. A run's own tokenizer takes the place of
  theirs, made such that transformers loads it; the chat template is the one
  the run was trained with, and generation stops where its turns end.

  Args:
    model: A run's folder or a Hugging Face one.
    target: An existing folder; existing files of the same names are replaced.
    max_positions: Of the model.

  Returns:
    Fields for `config.json`: those that came with the weights, and the ids at
    which a text begins and ends. transformers would else take its own, 1 and 2.

  Raises:
    ValueError: The tokenizer cannot be exported, or a file is refused.
  """
  carried_files.carry(carried_files.folder_of(model), target)
  fields = dict(carried_files.load_config(model) or {})
  folder, template = _own_tokenizer(model), trained_template(model)
  if folder is None or template is None:
    return fields
  if folder == model:  # Not the one that came with the weights.
    for name in carried_files.TOKENIZER_FILES:
      (target / name).unlink(missing_ok=True)
  tokenizer = load_tokenizer(folder)
  same = _spells_the_same(folder, tokenizer, template)
  if not same:
    (target / "chat_template.json").unlink(missing_ok=True)
  tokenizer_export.export_tokenizer(
    folder,
    target,
    template=None if same else template,
    max_length=max_positions,
  )
  ids = {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id}
  stops = [
    tokenizer.special_id(name, template=template)
    for name in templates.end_of_turn_tokens(template)
  ]
  # A sequence classifier of transformers finds the last token of a padded row
  # by this id, and refuses a batch without it.
  pad_id = _pad_id(target)
  if pad_id is not None and fields.get("pad_token_id") is None:
    ids["pad_token_id"] = pad_id
  path = target / "generation_config.json"
  generation = _object(path) if path.is_file() else {}
  generation |= {**ids, "eos_token_id": sorted(set(stops))}
  path.write_text(json.dumps(generation, indent=2, sort_keys=True) + "\n")
  return fields | ids


def _pad_id(folder: pathlib.Path) -> int | None:
  """The id of the padding token of a tokenizer that was exported there."""
  name = _object(folder / "tokenizer_config.json").get("pad_token")
  added = _object(folder / "tokenizer.json").get("added_tokens")
  known = {token["content"]: token["id"] for token in added or ()}
  return known.get(name) if isinstance(name, str) else None


def load_tokenizer(folder: pathlib.Path) -> Tokenizer:
  """Loads a tokenizer, perhaps a stranger's: in a process with limits first.

  Raises:
    ValueError: It is refused, or crashed that process.
  """
  tokenizer_probe.probe_tokenizer(folder)
  return tokenizers.load_tokenizer(folder)


def _own_tokenizer(model: pathlib.Path) -> pathlib.Path | None:
  """Where the tokenizer of a run is: at its top, or among the carried files.

  At the top lies a copy of what the run was trained with. Where that is what
  came with the weights, the carried files say more about it.
  """
  found = carried_files.tokenizer_folder(model)
  carried = carried_files.folder_of(model)
  if found is None or found == carried:
    return found
  for name in carried_files.VOCABULARIES:
    top, other = found / name, carried / name
    if top.is_file():
      same = other.is_file() and other.read_bytes() == top.read_bytes()
      return carried if same else found
  return found


def trained_template(model: pathlib.Path) -> str | None:
  """The chat template a run was trained with; None if it was not.

  Raises:
    ValueError: The run's manifest is damaged.
  """
  path = model / "manifest.json"
  is_run = (model / weights.MODEL_FILE).is_file()
  if not is_run or not path.exists():
    return None
  template = _object(path).get("template")
  name = template.get("name") if isinstance(template, dict) else None
  if not isinstance(name, str):
    raise ValueError(f"{path} names no template: it is no manifest of a run.")
  return name


def chat_template(folder: pathlib.Path) -> str | None:
  """The text of the chat template in a folder of tokenizer files."""
  path = folder / "chat_template.jinja"
  if path.is_file():
    model_folder.safe_file(folder, path.name)
    data = model_folder.read_capped(path, max_bytes=_MAX_BYTES)
    return data.decode("utf-8", "replace")
  path = folder / "tokenizer_config.json"
  if not path.is_file():
    return None
  model_folder.safe_file(folder, path.name)
  text = _object(path).get("chat_template")
  return text if isinstance(text, str) else None


def _spells_the_same(
  folder: pathlib.Path, tokenizer: Tokenizer, template: str
) -> bool:
  """Whether the chat template in a folder is the one named, or as good."""
  try:
    text = chat_template(folder)
    return text is not None and _recognised(text, tokenizer) == template
  except (ValueError, RuntimeError):
    return False  # Refused: ours is written in its place.


def _recognised(text: str, tokenizer: Tokenizer) -> str | None:
  """The template of ours that spells the same, or None."""

  def name(id_: int | None) -> str:
    return "" if id_ is None else tokenizer.decode([id_], keep_special=True)

  return template_recognition.recognise(
    text, bos_token=name(tokenizer.bos_id), eos_token=name(tokenizer.eos_id)
  )


def _object(path: pathlib.Path) -> dict[str, Any]:
  data = model_folder.read_capped(path, max_bytes=_MAX_BYTES)
  return strict_json.parse_object(data, what=str(path))
