# SPDX-License-Identifier: Apache-2.0
"""Reads the JSON of a model's files: strict where Python's decoder is lenient.

Python's decoder takes NaN, keeps the last of two equal keys (so that two
readers may see two files in one), and turns a few megabytes of brackets into
hundreds of megabytes of lists.
"""

import json
from typing import Any, NoReturn

# Objects and lists of one file. A tensor takes three (its entry, its shape, its
# offsets), so this is more than the largest header allowed has.
MAX_CONTAINERS = 2**18


def parse_object(data: bytes, *, what: str) -> dict[str, Any]:
  """Parses one JSON object.

  Args:
    data: UTF-8 text. The caller has capped its length.
    what: What it is, with its file, to begin error messages with.

  Returns:
    The object. Its numbers are finite or ints; its values' types are unchecked.

  Raises:
    ValueError: Not one JSON object in strict JSON, or one that nests or holds
      too much.
  """
  # Brackets inside strings count, too: a bound is needed before the parse.
  containers = data.count(b"{") + data.count(b"[")
  if containers > MAX_CONTAINERS:
    raise ValueError(
      f"{what} has {containers:,} opening brackets; at most"
      f" {MAX_CONTAINERS:,} are read."
    )
  try:
    value = json.loads(
      data.decode("utf-8"),
      object_pairs_hook=_object,
      parse_constant=_constant,
      parse_float=_float,
    )
  except RecursionError as error:
    raise ValueError(f"{what} nests too deeply to be read.") from error
  except ValueError as error:
    raise ValueError(f"{what} is not valid JSON: {error}") from error
  if not isinstance(value, dict):
    raise ValueError(
      f"{what} holds a JSON {type(value).__name__}; it must be an object."
    )
  return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  value = dict(pairs)
  if len(value) < len(pairs):
    seen: set[str] = set()
    for name, _ in pairs:
      if name in seen:
        raise ValueError(f"the key {name[:80]!a} stands twice in one object")
      seen.add(name)
  return value


def _constant(name: str) -> NoReturn:
  raise ValueError(f"{name} is not a JSON number")


def _float(digits: str) -> float:
  value = float(digits)
  if abs(value) == float("inf"):
    raise ValueError(f"the number {digits[:40]} is too large")
  return value
