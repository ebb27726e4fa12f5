# SPDX-License-Identifier: Apache-2.0
"""The modules that PEFT's patterns choose, and patterns for chosen modules.

A module is named as in the Hugging Face model: "lm_head", or
"model.layers.0.self_attn.q_proj". The rules are those of PEFT 0.21
(`check_target_module_exists`, `get_pattern_key`).
"""

import collections
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.models import json_fields, untrusted_patterns
from ramjax.models.json_fields import shown

_ALL_LINEAR = "all-linear"


def chosen(raw: Mapping[str, Any], modules: Sequence[str]) -> list[str]:
  """The modules that `target_modules` and the fields beside it choose."""
  given, layers = raw.get("target_modules"), raw.get("layers_to_transform")
  if isinstance(given, str):
    if layers or raw.get("layers_pattern"):
      raise ValueError(
        "layers_to_transform and layers_pattern need target_modules to be a"
        " list."
      )
    if given.lower() == _ALL_LINEAR:
      kept = {name for name in modules if "." in name}  # Not the LM head.
    else:
      (kept,) = untrusted_patterns.matches([given], modules)
  else:
    suffixes = names(raw, "target_modules")
    within = _of_layers(raw, modules)
    kept = {
      name
      for name in modules
      if name in suffixes or (name in within and _ends(name, suffixes))
    }
  excluded = raw.get("exclude_modules")
  if isinstance(excluded, str):
    kept -= untrusted_patterns.matches([excluded], modules)[0]
  else:
    suffixes = names(raw, "exclude_modules")
    kept = {name for name in kept if not _ends(name, suffixes)}
  if not kept:
    raise ValueError(
      f"target_modules={shown(given)} names no linear layer of the base."
    )
  return [name for name in modules if name in kept]


def _of_layers(raw: Mapping[str, Any], modules: Sequence[str]) -> set[str]:
  """The modules in the layers that `layers_to_transform` lists."""
  layers = raw.get("layers_to_transform")
  if layers is None or layers == []:
    return set(modules)
  layers = layers if isinstance(layers, list) else [layers]
  if not all(type(layer) is int for layer in layers):
    raise ValueError(
      f"layers_to_transform={shown(layers)} must be whole numbers."
    )
  numbers = set(layers)
  within = {
    name
    for name in modules
    if (found := re.search(r"\.(\d+)\.", name)) and int(found[1]) in numbers
  }
  patterns = raw.get("layers_pattern")
  patterns = [patterns] if isinstance(patterns, str) else patterns
  if patterns:
    patterns = names({"layers_pattern": patterns}, "layers_pattern")
    found = untrusted_patterns.matches(
      sorted(patterns), modules, wrapped=r"(?:^|.*?\.){}\.\d+\..*"
    )
    within &= set().union(*found)
  return within


def by_pattern(
  raw: Mapping[str, Any],
  field: str,
  default: str,
  targets: Sequence[str],
  path: pathlib.Path,
) -> dict[str, float]:
  """`default` for each target, or the first entry of `field` that matches."""
  pattern_of = raw.get(field) or {}
  if not isinstance(pattern_of, dict):
    raise ValueError(f"{field}={shown(pattern_of)} must be an object.")
  values = dict.fromkeys(targets, json_fields.number(raw, default, path))
  found = untrusted_patterns.matches(
    list(pattern_of), targets, wrapped=r"(.*\.)?({})$"
  )
  # The first match counts: earlier entries overwrite later ones.
  for pattern, names in reversed(list(zip(pattern_of, found, strict=True))):
    value = json_fields.number(pattern_of, pattern, path)
    values.update(dict.fromkeys(names, value))
  return values


def names(raw: Mapping[str, Any], field: str) -> set[str]:
  """A field that is a list of strings, or null."""
  value = raw.get(field)
  value = [] if value is None else value
  if not isinstance(value, list) or not all(isinstance(n, str) for n in value):
    raise ValueError(f"{field}={shown(value)} must be a list of names.")
  return set(value)


def _ends(name: str, suffixes: set[str]) -> bool:
  """Whether whole parts of `name` at its end are one of `suffixes`."""
  parts = name.split(".")
  ends = {".".join(parts[i:]) for i in range(len(parts))}
  return not ends.isdisjoint(suffixes)


def shortest_targets(
  names: Sequence[str], num_layers: int
) -> tuple[list[str], list[int] | None]:
  """`target_modules` and `layers_to_transform` for exactly these modules."""
  layers_of: dict[str, list[int]] = {}
  for name in names:
    found = re.search(r"\.(\d+)\.", name)
    layers = layers_of.setdefault(_kind(name), [])
    if found:
      layers.append(int(found[1]))
  # The LM head is named in full, and so chosen whatever the layers are.
  subsets = {tuple(layers) for layers in layers_of.values() if layers}
  if subsets <= {tuple(range(num_layers))}:
    return list(layers_of), None
  if len(subsets) == 1:
    return list(layers_of), list(subsets.pop())
  return list(names), None


def shortest_pattern(
  values: Mapping[str, Any],
) -> tuple[Any, dict[str, Any]]:
  """The commonest value, and by pattern the others."""
  ((default, _),) = collections.Counter(values.values()).most_common(1)
  of_kind: dict[str, dict[str, Any]] = {}
  for name, value in values.items():
    of_kind.setdefault(_kind(name), {})[name] = value
  pattern = {}
  for kind, inner in of_kind.items():
    if len(set(inner.values())) == 1:
      inner = {kind: next(iter(inner.values()))}
    pattern |= {n: value for n, value in inner.items() if value != default}
  return default, pattern


def _kind(name: str) -> str:
  """Last part of a name: "q_proj", "lm_head"."""
  return name.rpartition(".")[2]
