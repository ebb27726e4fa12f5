# SPDX-License-Identifier: Apache-2.0
"""Files of RewardBench, of either version: scores, results, the questions."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from ramjax.data import read, strict_json
from ramjax.evals import (
  bounded_records,
  replaced_file,
  reward_bench,
  reward_bench_2,
  reward_bench_fields,
)

# In the authors' format; their tool names it after the model.
RESULTS_FILE = "results.json"
# Fields of a file of results that say what was run.
_TEXTS = ("model", "model_type", "chat_template", "ref_model")
VERSIONS = {1: reward_bench, 2: reward_bench_2}
# Rows with their places.
_Rows = list[tuple[str, Any]]


class File(NamedTuple):
  """A file of any kind.

  Attributes:
    path: Where it is.
    texts: What it says of the model.
    rows: Records, each with its place; None in a file of results.
    results: Subset -> figure; None in a file of items.
  """

  path: pathlib.Path
  texts: dict[str, str]
  rows: _Rows | None
  results: dict[str, Any] | None


def find_version(file: File) -> int:
  """The version whose subset a file names first."""
  if file.rows is None:
    names = list(file.results or {})
  else:
    names = [
      reward_bench_fields.object_fields(record, where).get("subset")
      for where, record in file.rows
    ]
  for name in names:
    for version, rules in VERSIONS.items():
      if isinstance(name, str) and name in rules.NUM_ITEMS:
        return version
  raise ValueError(
    f"{file.path}: it names no subset of RewardBench 1"
    f" ({', '.join(reward_bench.NUM_ITEMS)}) or 2"
    f" ({', '.join(reward_bench_2.NUM_ITEMS)})."
  )


def read_file(path: pathlib.Path) -> File:
  """Reads a file of whatever kind.

  Raises:
    ValueError: It is none of this benchmark.
    OSError: It cannot be read.
  """
  # Longest first, so that .jsonl.gz goes as a whole.
  suffix = next(
    (x for x in sorted(read.SUFFIXES, key=len)[::-1] if path.name.endswith(x)),
    "",
  )
  texts = {"model": path.name.removesuffix(suffix)}
  if suffix == ".json" and path.is_file():
    with path.open("rb") as file:
      start = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"{"):
      found = _one_object(path)
      texts |= {k: found[k] for k in _TEXTS if isinstance(found.get(k), str)}
      columns = {k: x for k, x in found.items() if isinstance(x, list)}
      if "subset" in columns:
        return File(path, texts, _rows(columns, path), None)
      figures = {k: x for k, x in found.items() if k not in _TEXTS}
      return File(path, texts, None, figures)
  records = bounded_records.read_records(path)
  rows = [(record.where, record.value) for record in records]
  return File(path, texts, rows, None)


def _one_object(path: pathlib.Path) -> Mapping[str, Any]:
  if path.stat().st_size > read.MAX_JSON_BYTES:
    raise ValueError(
      f"{path}: larger than {read.MAX_JSON_BYTES} bytes: write its items as"
      " JSONL, one a line."
    )
  try:
    text = path.read_text("utf-8-sig")
    start = strict_json.skip_space(text, 0)
    value, end = strict_json.StrictDecoder().decode(text, start)
  except ValueError as error:
    raise ValueError(
      f"{path}: not one JSON object ({error}): mend it, or name a file with one"
      ' object a line ".jsonl".'
    ) from None
  if isinstance(value, Exception):
    raise ValueError(f"{path}: {value}")
  if strict_json.skip_space(text, end) < len(text):
    raise ValueError(
      f"{path}: more follows its first object: name a file with one object a"
      ' line ".jsonl".'
    )
  return value


def _rows(columns: Mapping[str, list[Any]], path: pathlib.Path) -> _Rows:
  """Rows from the authors' files of scores, which hold a list for each field."""
  lengths = {name: len(values) for name, values in columns.items()}
  if len(set(lengths.values())) > 1:
    told = ", ".join(f"{name} {n}" for name, n in lengths.items())
    raise ValueError(f"{path}: lists of different lengths: {told}.")
  return [
    (
      f"{path.name}: row {row + 1}",
      {name: values[row] for name, values in columns.items()},
    )
    for row in range(lengths["subset"])
  ]


def write_results(
  results: Mapping[str, float | str], folder: pathlib.Path
) -> pathlib.Path:
  """Writes the file of results as the authors' tool does."""
  text = json.dumps(results, indent=4, sort_keys=True, allow_nan=False)
  path = folder / RESULTS_FILE
  replaced_file.replace_file(path, [text, "\n"])
  return path
