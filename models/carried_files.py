# SPDX-License-Identifier: Apache-2.0
"""The files of a Hugging Face folder that travel with its weights, unread.

Tokenizer, chat template, generation defaults, licence. In a run's folder they
lie in `hf/`, with the `config.json` that the weights came with; on the way back
to Hugging Face they return to the top.
"""

import fnmatch
import json
import pathlib
import re
import shutil
from collections.abc import Mapping
from typing import Any

from ramjax.models import hf_config, model_folder, weights

FOLDER = "hf"

VOCABULARIES = ("tokenizer.json", "tokenizer.model")
TOKENIZER_FILES = (
  *VOCABULARIES,
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
  "chat_template.json",
)
_OTHERS = ("generation_config.json", "LICENSE*", "NOTICE*", "USE_POLICY*")
# A tokenizer of 2^20 tokens has some 50 MB; nothing carried is larger.
_MAX_BYTES = 2**28


def folder_of(model: pathlib.Path) -> pathlib.Path:
  """Where a model's carried files lie: `hf/` of a run, or the folder itself."""
  inner = model / FOLDER
  is_run = (model / weights.MODEL_FILE).is_file()
  return inner if is_run and inner.is_dir() else model


def tokenizer_folder(model: pathlib.Path) -> pathlib.Path | None:
  """Where a model's tokenizer lies; None if it has none.

  The one at the top of a run's folder is the one it was trained with, whatever
  came with the weights.
  """
  for place in (model, folder_of(model)):
    if any((place / name).is_file() for name in VOCABULARIES):
      return place
  return None


def carry(source: pathlib.Path, target: pathlib.Path) -> list[str]:
  """Copies the carried files of a model's folder.

  Args:
    source: A Hugging Face folder, or `folder_of` a run.
    target: An existing folder.

  Returns:
    The names of the files copied.

  Raises:
    ValueError: A link out of the folder, or a file too large to be one of
      these.
  """
  names = []
  for path in sorted(source.iterdir()):
    patterns = (*TOKENIZER_FILES, *_OTHERS)
    if not any(fnmatch.fnmatchcase(path.name, p) for p in patterns):
      continue
    # LICENSES, for instance, or "LICENSE (copy)".
    if path.is_dir() or not re.fullmatch(r"[A-Za-z0-9._-]+", path.name):
      continue
    safe = model_folder.safe_file(source, path.name)
    if safe.stat().st_size > _MAX_BYTES:
      raise ValueError(f"{safe} is over {_MAX_BYTES:,} bytes: not carried.")
    shutil.copyfile(safe, target / path.name)
    names.append(path.name)
  return names


def save_config(raw: Mapping[str, Any], target: pathlib.Path) -> None:
  """Keeps the `config.json` that weights came with, for the way back."""
  text = json.dumps(raw, indent=2, sort_keys=True)
  (target / hf_config.FILE_NAME).write_text(text + "\n")


def load_config(model: pathlib.Path) -> dict[str, Any] | None:
  """The `config.json` that a model's weights came with; None if none did."""
  folder = folder_of(model)
  # At the top of a run's folder, `config.json` is the run's own.
  is_run = folder == model and (model / weights.MODEL_FILE).exists()
  if is_run or not (folder / hf_config.FILE_NAME).is_file():
    return None
  return hf_config.read(folder)
