# SPDX-License-Identifier: Apache-2.0
"""Verdicts on pairs in Chatbot Arena's format, from a file (arXiv 2403.04132)."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ramjax.evals import bounded_records
from ramjax.evals.bradley_terry import Verdicts

_BOTH_BAD = "tie (bothbad)"
# A verdict, as what the first model won.
SHARES = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5, _BOTH_BAD: 0.5}

_KEPT = ("model_a", "model_b", "winner", "category")


@dataclasses.dataclass(frozen=True)
class Battles:
  """What a file of verdicts holds.

  Attributes:
    verdicts: In the file's order.
    categories: Of each verdict; None where it has none.
    both_bad: Ties that were called bad on both sides.
  """

  verdicts: Verdicts
  categories: tuple[str | None, ...]
  both_bad: int

  @property
  def num_categories(self) -> int:
    """How many there are."""
    return len(set(self.categories) - {None})

  def by_category(self, most: int) -> Iterator[tuple[str, Verdicts]]:
    """The verdicts of each category, by name, on the models it has.

    Args:
      most: Categories; where there are more, those with most verdicts.
    """
    places: dict[str, list[int]] = {}
    for place, category in enumerate(self.categories):
      if category is not None:
        places.setdefault(category, []).append(place)
    largest = sorted(places, key=lambda name: (-len(places[name]), name))
    whole = self.verdicts
    for category in sorted(largest[:most]):
      rows = np.array(places[category])
      first, second = whole.first[rows], whole.second[rows]
      used = np.unique(np.concatenate([first, second]))
      yield (
        category,
        Verdicts(
          models=tuple(whole.models[i] for i in used),
          first=np.searchsorted(used, first),
          second=np.searchsorted(used, second),
          share=whole.share[rows],
          weight=whole.weight[rows],
        ),
      )


def read_battles(path: pathlib.Path) -> Battles:
  """Verdicts in Chatbot Arena's format.

  Raises:
    ValueError: A record is none, or stands twice with its `question_id`; or
      there are more than `bounded_records` allows.
  """
  index: dict[str, int] = {}
  rows: list[tuple[int, int, float]] = []
  categories: list[str | None] = []
  both_bad = 0
  seen: dict[bytes, str] = {}
  what = "objects of model_a, model_b and winner"
  for where, record in bounded_records.read_objects(path, what, _KEPT):
    _refuse_double(record, where, seen)
    names = [_text(record, name, where) for name in ("model_a", "model_b")]
    if names[0] == names[1]:
      raise ValueError(
        f"{where}: model_a and model_b are both {names[0][:80]!r}: drop it."
      )
    winner = _text(record, "winner", where)
    if winner not in SHARES:
      raise ValueError(
        f"{where}: winner={winner[:80]!r} is not one of {', '.join(SHARES)}."
      )
    first, second = (index.setdefault(name, len(index)) for name in names)
    rows.append((first, second, SHARES[winner]))
    both_bad += winner == _BOTH_BAD
    with_category = record.get("category") is not None
    categories.append(
      _text(record, "category", where) if with_category else None
    )
  table = np.array(rows, np.float64)
  verdicts = Verdicts(
    models=tuple(index),
    first=table[:, 0].astype(int),
    second=table[:, 1].astype(int),
    share=table[:, 2],
    weight=np.ones(len(rows)),
  )
  return Battles(verdicts, tuple(categories), both_bad)


def _refuse_double(
  record: Mapping[str, Any], where: str, seen: dict[bytes, str]
) -> None:
  """Refuses a record that stands twice; without an id it may be two verdicts.

  One question may have verdicts of several judges, or in several turns.
  """
  if record.get("question_id") is None:
    return
  text = json.dumps(record, sort_keys=True, default=str)
  first = seen.setdefault(hashlib.sha256(text.encode()).digest(), where)
  if first != where:
    raise ValueError(
      f"{where}: the same record as {first}, and would count twice: keep one, or"
      ' tell them apart, as by "judge".'
    )


def _text(record: Mapping[str, Any], name: str, where: str) -> str:
  value = record.get(name)
  if not isinstance(value, str):
    kind = "missing" if value is None else f"a {type(value).__name__}"
    raise ValueError(f"{where}: {name} is {kind}: write a string.")
  # Names are printed on terminals.
  if not value or not value.isprintable():
    raise ValueError(
      f"{where}: {name}={value[:80]!a}: write printable characters, one or more."
    )
  return value
