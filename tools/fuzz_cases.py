# SPDX-License-Identifier: Apache-2.0
"""Damage that any file can suffer: flipped bytes, and JSON of wrong types."""

import pathlib
import random
from typing import Any, NamedTuple


class Case(NamedTuple):
  """One input, made but not yet read.

  Attributes:
    folder: What to give to the reader.
    mutation: How it was made.
    must_refuse: Whether to load it would be wrong.
    must_load: Whether to refuse it would be wrong.
  """

  folder: pathlib.Path
  mutation: str
  must_refuse: bool = False
  must_load: bool = False


def flip_bytes(rng: random.Random, data: bytes) -> bytes:
  """`data` with up to eight bytes changed, put in or left out."""
  damaged = bytearray(data)
  for _ in range(rng.randint(1, 8)):
    at = rng.randrange(len(damaged))
    how = rng.randrange(4)
    if how == 0:
      damaged[at] ^= 1 << rng.randrange(8)
    elif how == 1:
      damaged[at] = rng.randrange(256)
    elif how == 2:
      damaged.insert(at, rng.randrange(256))
    elif len(damaged) > 1:
      del damaged[at]
  return bytes(damaged)


def hostile_value(rng: random.Random) -> Any:
  """A JSON value that the reader may not expect in its place."""
  return rng.choice(
    [
      *(None, True, False, 0, -1, 1.5, 1e300, float("nan"), float("inf")),
      *(2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400),
      *("", "a", "0", "\0", "\ud800", "../../etc/x", "x" * 100_000, "(a+)+$"),
      *(
        [],
        {},
        [None],
        [[]],
        {"type": "Sequence"},
        {"content": "a"},
        [0] * 999,
      ),
      nested(rng),
    ]
  )


def nested(rng: random.Random) -> Any:
  """Lists or objects inside each other; three deep ones can still be written."""
  value: Any = 0
  for _ in range(rng.choice((10, 100, 300))):
    value = [value] if rng.random() < 0.5 else {"type": "Sequence", "a": value}
  return value


def damage_json(rng: random.Random, value: Any) -> None:
  """Changes, removes or doubles random members of a JSON value, in place."""
  for _ in range(rng.randint(1, 3)):
    places = list(_places(value))
    if not places:
      return
    holder, key = rng.choice(places)
    how = rng.randrange(4)
    if how == 0:
      del holder[key]
    elif how == 1:
      holder[key] = hostile_value(rng)
    elif how == 2:
      other, other_key = rng.choice(places)
      if not _holds(other[other_key], holder):
        holder[key] = other[other_key]
    elif isinstance(holder, list):
      holder.insert(key, holder[key])
    else:
      holder[str(key) + rng.choice(("", "x", "\0", "é"))] = holder[key]


def _places(value: Any) -> list[tuple[Any, Any]]:
  """All (holder, key) pairs; those deeper down are not drowned in long lists."""
  places, todo = [], [value]
  while todo:
    holder = todo.pop()
    if isinstance(holder, dict):
      keys: list[Any] = list(holder)[:40]
    elif isinstance(holder, list):
      keys = list(range(min(len(holder), 10)))
    else:
      continue
    for key in keys:
      places.append((holder, key))
      todo.append(holder[key])
  return places


def _holds(value: Any, sought: Any) -> bool:
  """Whether `sought` is `value` or inside it: to put it there makes a loop."""
  return value is sought or any(
    holder[key] is sought for holder, key in _places(value)
  )
