# SPDX-License-Identifier: Apache-2.0
"""What a model folder says of its tokenizer and its chat format."""

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
from ramjax.models import carried_files, model_folder, strict_json

_MAX_BYTES = 2**24


def describe(model: pathlib.Path) -> str:
  """One line on the tokenizer and the chat template that a model brings.

  A tokenizer from a stranger is first loaded in a child process with limits.
  """
  folder = tokenizer_folder(model)
  if folder is None:
    return "tokenizer: none came with the model; name one in tokenizer.path"
  try:
    tokenizer_probe.probe_tokenizer(folder)
    tokenizer = tokenizers.load_tokenizer(folder)
  except ValueError as error:
    return f"tokenizer: carried along, but not usable here: {error}"
  line = f"tokenizer: {tokenizer.vocab_size} tokens"
  text = chat_template(folder)
  if text is None:
    return f"{line}; no chat template"
  name = _recognised(text, tokenizer)
  if name is None:
    return f"{line}; chat template: carried along, none of data.template's"
  return f"{line}; chat template: data.template={name}"


def export(
  model: pathlib.Path, target: pathlib.Path, *, max_positions: int
) -> None:
  """Writes the tokenizer of a run beside its exported weights.

  A run's own tokenizer becomes one that transformers loads, the chat template
  is the one it was trained with, and generation stops where its turns end. A
  model that was only converted keeps what it came with.

  Args:
    model: The run's folder.
    target: The exported folder, with the carried files in it.
    max_positions: Of the model.

  Raises:
    ValueError: The tokenizer cannot be exported.
  """
  folder = tokenizer_folder(model)
  template = trained_template(model)
  if folder is None or template is None:
    return
  tokenizer = tokenizers.load_tokenizer(folder)
  carried = chat_template(folder)
  same = carried is not None and _recognised(carried, tokenizer) == template
  tokenizer_export.export_tokenizer(
    folder,
    target,
    template=None if same else template,
    max_length=max_positions,
  )
  path = target / "generation_config.json"
  generation = _object(path) if path.is_file() else {}
  stops = [
    tokenizer.special_id(name, template=template)
    for name in templates.end_of_turn_tokens(template)
  ]
  generation = {**token_ids(model), **generation, "eos_token_id": stops}
  path.write_text(json.dumps(generation, indent=2, sort_keys=True) + "\n")


def token_ids(model: pathlib.Path) -> dict[str, int]:
  """`bos_token_id` and `eos_token_id` for a model that was trained here.

  Without them transformers would take its own defaults, 1 and 2.
  """
  folder = tokenizer_folder(model)
  if folder is None or trained_template(model) is None:
    return {}
  tokenizer = tokenizers.load_tokenizer(folder)
  ids = {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id}
  return {name: id_ for name, id_ in ids.items() if id_ is not None}


def tokenizer_folder(model: pathlib.Path) -> pathlib.Path | None:
  """Where a model's tokenizer files lie: among the carried, or at the top."""
  for place in (carried_files.folder_of(model), model):
    for name in ("tokenizer.json", "tokenizer.model"):
      if (place / name).is_file():
        return place
  return None


def trained_template(model: pathlib.Path) -> str | None:
  """The chat template a run was trained with; None if it was not."""
  path = model / "manifest.json"
  if not path.is_file():
    return None
  return _object(path)["template"]["name"]


def chat_template(folder: pathlib.Path) -> str | None:
  """The text of the chat template in a folder of tokenizer files."""
  path = folder / "chat_template.jinja"
  if path.is_file():
    model_folder.safe_file(folder, path.name)
    return path.read_bytes()[:_MAX_BYTES].decode("utf-8", "replace")
  path = folder / "tokenizer_config.json"
  if not path.is_file():
    return None
  model_folder.safe_file(folder, path.name)
  text = _object(path).get("chat_template")
  return text if isinstance(text, str) else None


def _recognised(text: str, tokenizer: Tokenizer) -> str | None:
  """The template of ours that spells the same; None also for a hostile one."""

  def name(id_: int | None) -> str:
    return "" if id_ is None else tokenizer.decode([id_], keep_special=True)

  try:
    return template_recognition.recognise(
      text, bos_token=name(tokenizer.bos_id), eos_token=name(tokenizer.eos_id)
    )
  except ValueError:
    return None


def _object(path: pathlib.Path) -> dict[str, Any]:
  data = path.read_bytes()
  if len(data) > _MAX_BYTES:
    raise ValueError(f"{path} is over {_MAX_BYTES:,} bytes.")
  return strict_json.parse_object(data, what=str(path))
