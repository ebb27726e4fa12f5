# SPDX-License-Identifier: Apache-2.0
"""Which files hold a model's tensors: one, or those that an index names.

The index, `model.safetensors.index.json`, maps each tensor to its shard. It is
a stranger's list of files to open, so each name is checked.
"""

import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from ramjax.models import model_folder, strict_json
from ramjax.models.tensors import TensorError

SINGLE = "model.safetensors"
FILE_NAME = "model.safetensors.index.json"

# Far above those of the largest Llama: 191 shards, and an index below 1 MiB.
MAX_INDEX_BYTES = 16 * 2**20
MAX_SHARDS = 4096

_SHARD_NAME = re.compile(r"[A-Za-z0-9._-]+\.safetensors")
_PICKLED = (".bin", ".pth", ".pt", ".ckpt")


def read(directory: pathlib.Path) -> Mapping[str, set[str] | None]:
  """Finds the shards of a folder.

  Args:
    directory: A model's folder.

  Returns:
    The shards' names, each with the tensors that it must hold; for a single
    file without an index, None.

  Raises:
    FileNotFoundError: No such folder, or neither kind of file in it.
    ValueError: An index that is damaged, too large or names other folders;
      both kinds; or pickle files alone.
  """
  if not directory.is_dir():
    raise FileNotFoundError(
      f"{directory} is not a folder. Give the folder of a model, with"
      f" {SINGLE} or {FILE_NAME} in it."
    )
  # A link to nothing counts as there: `safe_file` then says what is wrong.
  found = [n for n in (SINGLE, FILE_NAME) if os.path.lexists(directory / n)]
  if len(found) == 2:
    raise TensorError(
      f"{directory} has both {SINGLE} and {FILE_NAME}, which may hold two"
      " different models. Remove the one that is out of date."
    )
  if found == [SINGLE]:
    return {SINGLE: None}
  if found == [FILE_NAME]:
    return _read_index(model_folder.safe_file(directory, FILE_NAME))
  pickled = sorted(p.name for p in directory.iterdir() if p.suffix in _PICKLED)
  if pickled:
    raise TensorError(
      f"{directory} holds {pickled[0]} but no {SINGLE}. Pickle files run"
      " whatever code they bring, so by default they are never read: convert"
      " the model to safetensors once, on a machine that may be lost, or"
      " download a copy in safetensors."
    )
  raise FileNotFoundError(f"{directory} has neither {SINGLE} nor {FILE_NAME}.")


def _read_index(path: pathlib.Path) -> dict[str, set[str]]:
  try:
    data = model_folder.read_capped(path, max_bytes=MAX_INDEX_BYTES)
    index = strict_json.parse_object(data, what=str(path))
  except ValueError as error:
    raise TensorError(str(error)) from error
  weight_map: Any = index.get("weight_map")
  if (
    not isinstance(weight_map, dict)
    or not weight_map
    or not all(isinstance(shard, str) for shard in weight_map.values())
  ):
    raise TensorError(
      f"{path}: weight_map must be an object that says for each tensor the"
      " name of its shard."
    )
  shards: dict[str, set[str]] = {}
  for name, shard in weight_map.items():
    if not _SHARD_NAME.fullmatch(shard):
      raise TensorError(
        f"{path} puts tensor {name[:80]!a} into {shard[:300]!a}, which is"
        " refused: a shard is named by letters, digits, '.', '_' and '-'"
        " alone, ends in .safetensors and lies beside the index."
      )
    shards.setdefault(shard, set()).add(name)
  if len(shards) > MAX_SHARDS:
    raise TensorError(
      f"{path} names {len(shards):,} shards; at most {MAX_SHARDS:,} are read."
    )
  return shards


def write(
  directory: pathlib.Path, weight_map: Mapping[str, str], *, total_bytes: int
) -> None:
  """Writes an index and waits until it is on disk.

  Args:
    directory: The model's folder.
    weight_map: The shard of every tensor.
    total_bytes: Bytes of all tensors together.
  """
  index = {"metadata": {"total_size": total_bytes}, "weight_map": weight_map}
  with open(directory / FILE_NAME, "x", encoding="utf-8") as file:
    file.write(json.dumps(index, indent=2, sort_keys=True) + "\n")
    file.flush()
    os.fsync(file.fileno())
