# SPDX-License-Identifier: Apache-2.0
"""A delta on disk: a Hugging Face folder of differences, and what it belongs to.

`delta.json` has the checksums of the base and of the result, so that neither a
wrong base nor a damaged delta passes. `delta_exceptions.safetensors` has the
elements that no difference leads back to: for each tensor that has some,
`NAME.place` (in the flattened tensor) and `NAME.value`.
"""

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ramjax.models import hf_config, model_digest, model_folder, strict_json
from ramjax.models.config import LlamaConfig
from ramjax.models.delta import Delta, Plan
from ramjax.models.hf_folder import DELTA_FILE, FLOAT_DTYPES
from ramjax.models.hf_shards import ShardReader
from ramjax.models.model_digest import ModelDigest
from ramjax.models.safetensors_file import SafetensorsFile
from ramjax.models.safetensors_writer import SafetensorsWriter
from ramjax.models.tensors import TensorError, TensorSpec

FILE_NAME = DELTA_FILE
EXCEPTIONS_FILE = "delta_exceptions.safetensors"
_FORMAT = 1
# A tensor takes about 250 bytes.
_MAX_BYTES = 16 * 2**20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DELTA_DTYPES = (*FLOAT_DTYPES, "float64")


def save(folder: pathlib.Path, delta: Delta, chosen: Plan) -> None:
  """Writes all of a delta but the differences and the `config.json`.

  Args:
    folder: Of the delta.
    delta: The differences.
    chosen: What they were made by.
  """
  counts = {name: n for name, n in chosen.exceptions.items() if n}
  specs = {}
  for name, count in counts.items():
    dtype = chosen.result_dtypes[name]
    specs[f"{name}.place"] = TensorSpec((count,), "int64")
    specs[f"{name}.value"] = TensorSpec((count,), dtype)
  if counts:
    with SafetensorsWriter(folder / EXCEPTIONS_FILE, specs) as writer:
      for name in counts:
        places, values = delta.exceptions(name)
        writer.append(f"{name}.place", places)
        writer.append(f"{name}.value", values)
  fields = {
    "format": _FORMAT,
    "base": chosen.base.total,
    "result": chosen.result.total,
    "tensors": {
      name: {
        "base": chosen.base.tensors[name],
        "result": chosen.result.tensors[name],
        "dtype": chosen.result_dtypes[name],
        "exceptions": chosen.exceptions[name],
      }
      for name in chosen.dtypes
    },
  }
  text = json.dumps(fields, indent=2, sort_keys=True)
  (folder / FILE_NAME).write_text(text + "\n")


class DeltaFolder:
  """A delta, checked on opening.

  Attributes:
    path: The folder.
    config: The shape of the tuned model.
    specs: The differences; some may be float64.
    base: Checksums that the base must have.
    result: Checksums that the tuned model must have.
    result_dtypes: Dtype of each tensor of the tuned model.
  """

  path: pathlib.Path
  config: LlamaConfig
  specs: Mapping[str, TensorSpec]
  base: ModelDigest
  result: ModelDigest
  result_dtypes: Mapping[str, str]

  def __init__(self, path: str | pathlib.Path):
    """Opens a folder that `save` completed.

    Raises:
      FileNotFoundError: A file is missing.
      ValueError: A file that may not be read, is damaged, or disagrees with
        the others.
    """
    self.path = pathlib.Path(path)
    fields = _read(self.path)
    records = fields["tensors"]
    self.base = _digest(self.path, records, "base", fields["base"])
    self.result = _digest(self.path, records, "result", fields["result"])
    self.result_dtypes = {n: record["dtype"] for n, record in records.items()}
    self.config = hf_config.from_hf(
      hf_config.read(self.path), path=self.path / hf_config.FILE_NAME
    )
    self._shards = ShardReader(self.path)
    self.specs = self._shards.tensors
    odd = sorted(self.specs.keys() ^ records.keys()) or [
      name
      for name, spec in self.specs.items()
      if spec.dtype not in _DELTA_DTYPES
    ]
    if odd:
      raise TensorError(
        f"{self.path}: tensor {odd[0]!r} is not the difference that"
        f" {FILE_NAME} describes ({len(odd)} such). The delta is damaged."
      )
    self._counts = {n: record["exceptions"] for n, record in records.items()}
    self._exceptions_file = None
    if any(self._counts.values()):
      self._exceptions_file = SafetensorsFile(
        model_folder.safe_file(self.path, EXCEPTIONS_FILE)
      )
    self._kept = "", (np.empty(0), np.empty(0))

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of a difference."""
    return self._shards.rows(name, start, stop)

  def exceptions(self, name: str) -> tuple[np.ndarray, np.ndarray]:
    """As `Delta.exceptions`.

    Raises:
      TensorError: The file does not hold those that `delta.json` counts.
    """
    # Every block of a tensor asks for them.
    if self._kept[0] != name:
      self._kept = name, self._read_exceptions(name)
    return self._kept[1]

  def close(self) -> None:
    """Closes the files."""
    self._shards.close()
    if self._exceptions_file is not None:
      self._exceptions_file.close()

  def _read_exceptions(self, name: str) -> tuple[np.ndarray, np.ndarray]:
    count, dtype = self._counts[name], self.result_dtypes[name]
    file = self._exceptions_file
    if file is None or not count:
      return np.empty(0, np.int64), np.empty(0, np.dtype(dtype))
    expected = {
      f"{name}.place": TensorSpec((count,), "int64"),
      f"{name}.value": TensorSpec((count,), dtype),
    }
    if any(file.tensors.get(n) != spec for n, spec in expected.items()):
      raise TensorError(
        f"{file.path} does not hold the {count} exceptions of tensor {name!r}"
        f" that {FILE_NAME} counts. The delta is damaged."
      )
    places, values = (file.rows(n, 0, count) for n in expected)
    size = int(np.prod(self.specs[name].shape, dtype=np.int64))
    if places[0] < 0 or places[-1] >= size or np.any(np.diff(places) <= 0):
      raise TensorError(
        f"{file.path}: the exceptions of tensor {name!r} must be ascending"
        f" places below {size}. The delta is damaged."
      )
    return places, values


def _read(folder: pathlib.Path) -> dict[str, Any]:
  """`delta.json`, its types checked."""
  if not (folder / FILE_NAME).is_file():
    raise FileNotFoundError(
      f"{folder / FILE_NAME} does not exist: {folder} is not what `ramjax"
      " convert delta make` writes."
    )
  path = model_folder.safe_file(folder, FILE_NAME)
  data = model_folder.read_capped(path, max_bytes=_MAX_BYTES)
  fields = strict_json.parse_object(data, what=str(path))
  if fields.get("format") != _FORMAT:
    raise ValueError(
      f"{path}: format={fields.get('format')!r}, and this version reads"
      f" {_FORMAT}."
    )
  records = fields.get("tensors")
  if (
    set(fields) != {"format", "base", "result", "tensors"}
    or not isinstance(records, dict)
    or not all(_is_digest(fields[key]) for key in ("base", "result"))
    or not all(_is_record(record) for record in records.values())
  ):
    raise ValueError(
      f"{path} must have format, base, result and tensors, and each tensor its"
      " base, result (SHA-256), dtype and exceptions."
    )
  return fields


def _is_digest(value: Any) -> bool:
  return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _is_record(value: Any) -> bool:
  return (
    isinstance(value, dict)
    and set(value) == {"base", "result", "dtype", "exceptions"}
    and _is_digest(value["base"])
    and _is_digest(value["result"])
    and value["dtype"] in FLOAT_DTYPES
    and type(value["exceptions"]) is int
    and value["exceptions"] >= 0
  )


def _digest(
  folder: pathlib.Path, records: Mapping[str, Any], key: str, total: str
) -> ModelDigest:
  found = model_digest.combine(
    {n: record[key] for n, record in records.items()}
  )
  if found.total != total:
    raise ValueError(
      f"{folder / FILE_NAME}: {key}={total} is not the checksum of the"
      " tensors' checksums. The file is damaged."
    )
  return found
