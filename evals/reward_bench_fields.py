# SPDX-License-Identifier: Apache-2.0
"""Fields of RewardBench's files, of both versions, read as hostile input."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def object_fields(record: object, where: str) -> Mapping[str, Any]:
  """Returns a record that is an object.

  Raises:
    ValueError: It is not, or it could not be read.
  """
  if isinstance(record, Exception):
    raise ValueError(f"{where}: {record}")
  if not isinstance(record, Mapping):
    raise ValueError(
      f"{where}: a {type(record).__name__}, not an object: write one JSON"
      " object for each item."
    )
  return record


def subset_name(
  fields: Mapping[str, Any], where: str, known: Sequence[str]
) -> str:
  """The record's `subset`, which has to be a known one.

  Raises:
    ValueError: It is not.
  """
  subset = fields.get("subset")
  if not isinstance(subset, str) or subset not in known:
    raise ValueError(
      f"{where}: subset={str(subset)[:80]!r} is not one of"
      f" {', '.join(known)}: is it a file of another benchmark, or another"
      " version?"
    )
  return subset


def item_id(fields: Mapping[str, Any], where: str) -> str | None:
  """The record's `id` as text, None where it has none.

  Raises:
    ValueError: It is neither text nor an integer.
  """
  given = fields.get("id")
  if given is None:
    return None
  if isinstance(given, bool) or not isinstance(given, str | int):
    raise ValueError(
      f"{where}: id is a {type(given).__name__}: write a string or an integer."
    )
  return str(given)


def number(value: object, name: str, where: str) -> float:
  """A field that is a number.

  Raises:
    ValueError: It is missing or none.
  """
  if isinstance(value, bool) or not isinstance(value, int | float):
    kind = "missing" if value is None else f"a {type(value).__name__}"
    raise ValueError(f"{where}: {name} is {kind}: write a number.")
  try:
    return float(value)
  except OverflowError:
    raise ValueError(
      f"{where}: {name} is too large: write a number below 1e308."
    ) from None


def refuse_doubles(
  places: Iterable[tuple[str, str, str | None]],
) -> int:
  """Refuses items that would count twice.

  Args:
    places: Of each item its place, subset and id.

  Returns:
    The number of items without an id, whose doubles cannot be told.

  Raises:
    ValueError: An id stands twice in one subset.
  """
  seen: dict[tuple[str, str], str] = {}
  unnamed = 0
  for where, subset, name in places:
    if name is None:
      unnamed += 1
    elif (first := seen.setdefault((subset, name), where)) != where:
      raise ValueError(
        f"{where}: id={name[:80]!r} of {subset} is also at {first}, and would"
        " count twice: keep one."
      )
  return unnamed


def read_results(
  results: Mapping[str, Any],
  where: str,
  known: Sequence[str],
  *,
  lowest: float = 0.0,
  highest: float = 1.0,
) -> dict[str, float]:
  """Accuracies of subsets from a file of results in the authors' format.

  Args:
    results: Subset -> accuracy, besides fields that are text, such as `model`.
    where: The file, for messages.
    known: Names that a subset may have.
    lowest: The least that a figure can be.
    highest: The most.

  Returns:
    Subset -> accuracy, in [lowest, highest].

  Raises:
    ValueError: A figure's name is unknown, or it is no share.
  """
  found = {}
  for name, value in results.items():
    if name in known:
      found[name] = number(value, name, where)
      if not lowest <= found[name] <= highest:
        raise ValueError(
          f"{where}: {name}={found[name]}: a figure is a share in [{lowest:g},"
          f" {highest:g}]; divide percentages by 100."
        )
    elif value is not None and not isinstance(value, str):
      raise ValueError(
        f"{where}: {name[:80]!r} is not one of {', '.join(known)}: is it a file"
        " of another benchmark, or another version?"
      )
  if not found:
    raise ValueError(
      f"{where}: no figure of {', '.join(known)}: name a file of results or of"
      " scores."
    )
  return found
