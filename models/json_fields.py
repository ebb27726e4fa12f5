# SPDX-License-Identifier: Apache-2.0
"""Typed reads of one field of a parsed JSON object, with errors that name it."""

import pathlib
import sys
from collections.abc import Mapping
from typing import Any


def shown(value: Any) -> str:
  """A value as an error message shows it: one short line of ASCII."""
  text = ascii(value)
  return text if len(text) <= 200 else text[:200] + "..."


def integer(raw: Mapping[str, Any], name: str, path: pathlib.Path) -> int:
  """A whole number; a missing field, a float and a boolean are refused."""
  value = raw.get(name)
  if isinstance(value, bool) or not isinstance(value, int):
    raise ValueError(
      f"{path}: {name}={shown(value)} must be a whole number"
      + ("." if name in raw else ", and is missing.")
    )
  return value


def number(
  raw: Mapping[str, Any],
  name: str,
  path: pathlib.Path,
  default: float | None = None,
) -> float:
  """A finite number, or `default` where the field is missing or null."""
  value = raw.get(name)
  if value is None and default is not None:
    return default
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise ValueError(
      f"{path}: {name}={shown(value)} must be a number"
      + ("." if name in raw else ", and is missing.")
    )
  if not abs(value) <= sys.float_info.max:
    raise ValueError(f"{path}: {name}={shown(value)} must be a finite number.")
  return float(value)


def boolean(raw: Mapping[str, Any], name: str, path: pathlib.Path) -> bool:
  """True or false; a missing field is false."""
  value = raw.get(name, False)
  if not isinstance(value, bool):
    raise ValueError(f"{path}: {name}={shown(value)} must be true or false.")
  return value
