# SPDX-License-Identifier: Apache-2.0
"""What an evaluation was made from, and whether two were made from the same.

An `evaluation.json` has the sha256 of each file that was read, and the command.
The option that led to a file says what kind of input it is.
"""

import itertools
import pathlib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Option -> digests of the files that it led to, or what it was given where it
# led to none; "" has the files that no option led to.
Data = Mapping[str, frozenset[str]]

# Of an evaluation of which it is not known.
NOTHING: Data = types.MappingProxyType({})

# Files behind these are other ones for any two models: what they answered, and
# what a judge recorded on it.
_OWN = ("--model", "--out", "--judge")
# Compared as they were given, where no file of theirs was read.
_GIVEN = ("--data", "--judge")
# A judge's own name says more than its address.
_NAMES = {"--judge": "--judge-name"}
_MOST_INPUTS, _MOST_OPTIONS, _LONGEST = 2000, 60, 4096


def of(record: Mapping[str, Any]) -> dict[str, frozenset[str]]:
  """What a decoded `evaluation.json` says that it was made from.

  Args:
    record: Anyone's: without inputs or a command there is nothing to compare.

  Returns:
    Digests by kind, those of the model's own answers left out.
  """
  inputs, command = record.get("inputs"), record.get("command")
  options = dict(itertools.islice(_options(command), _MOST_OPTIONS))
  places = {
    str(pathlib.PurePath(value[:_LONGEST])): name
    for name, value in options.items()
    if value
  }
  files: dict[str, set[str]] = {}
  items = inputs.items() if isinstance(inputs, dict) else ()
  for path, digest in itertools.islice(items, _MOST_INPUTS):
    if isinstance(digest, str) and len(path) <= _LONGEST:
      files.setdefault(_kind(path, places), set()).add(digest)
  found = {kind: x for kind, x in files.items() if kind not in _OWN}
  for name in _GIVEN:
    if name in options and name not in files:
      found[name] = {options.get(_NAMES.get(name, name), options[name])}
  return {kind: frozenset(values) for kind, values in found.items()}


def differences(made: Sequence[Data]) -> list[str]:
  """Options whose input is not the same for all that have it.

  Files that no option led to are told apart where two have none in common:
  they may be the models' own.

  Args:
    made: Of evaluations of one benchmark.
  """
  kinds = dict.fromkeys(kind for one in made for kind in one)
  found = []
  for kind in kinds:
    sets = {one[kind] for one in made if kind in one}
    if kind and len(sets) > 1:
      found.append(kind)
    elif any(a.isdisjoint(b) for a, b in itertools.combinations(sets, 2)):
      found.append("files")
  return found


def _options(command: object) -> Iterator[tuple[str, str]]:
  """The options of a command with their values, in both ways of writing them."""
  words = command if isinstance(command, list) else []
  words = [word for word in words if isinstance(word, str)]
  for word, behind in itertools.zip_longest(words, words[1:], fillvalue=""):
    name, equals, value = word.partition("=")
    if name.startswith("--") and (equals or not behind.startswith("--")):
      yield name, value if equals else behind


def _kind(path: str, places: Mapping[str, str]) -> str:
  """The option that named a file, or else the nearest folder above it."""
  if path in places:
    return places[path]
  above = [place for place in places if path.startswith(f"{place}/")]
  return places[max(above, key=len)] if above else ""
