# SPDX-License-Identifier: Apache-2.0
"""A JSON decoder for strangers' files, strict where Python's is lenient.

Python's decoder accepts NaN, infinities and duplicate keys (with which
`{"role": "user", "role": "system"}` would change its meaning), and its limit
on nesting depends on the stack in use.
"""

import itertools
import json
import math
import re
from typing import Any

# Row formats need 3 levels.
MAX_DEPTH = 64

SPACE = " \t\r\n"
_SPACES = re.compile(f"[{SPACE}]*")

# A longer integer is refused by name, before Python's own limit of 4300.
_MAX_DIGITS = 400

_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep: flatten it"


class RecordError(ValueError):
  """One record that cannot be read; the rest of its file may be fine."""


class StrictDecoder:
  """Decodes JSON values; an illegal one becomes a `RecordError`."""

  def __init__(self):
    # The hooks note a problem rather than raise, so that the end of the value
    # is found and what follows it can still be read.
    self._problem = ""
    self._decoder = json.JSONDecoder(
      object_pairs_hook=self._object,
      parse_constant=self._constant,
      parse_float=self._float,
      parse_int=self._int,
    )

  def decode(self, text: str, start: int) -> tuple[Any, int]:
    """Decodes the value at `start`.

    Returns:
      The value, or the `RecordError` it deserves, and where it ends.

    Raises:
      json.JSONDecodeError: No value ends, so what follows cannot be read.
    """
    self._problem = ""
    try:
      value, end = self._decoder.raw_decode(text, start)
    except RecursionError:
      raise json.JSONDecodeError(_TOO_DEEP, text, start) from None
    nested = text.count("[", start, end) + text.count("{", start, end)
    if nested > MAX_DEPTH and _is_too_deep(value):
      self._problem = _TOO_DEEP
    return RecordError(self._problem) if self._problem else value, end

  def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
      seen: set[str] = set()
      for name, _ in pairs:
        if name in seen:
          self._problem = (
            f"the key {name[:40]!a} stands twice in one object, which leaves"
            " its meaning open: keep one"
          )
          break
        seen.add(name)
    return value

  def _constant(self, name: str) -> None:
    self._problem = f"{name} is not JSON: write null, or drop the field"

  def _float(self, digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
      self._problem = f"{digits[:40]} overflows: drop the field"
    return value

  def _int(self, digits: str) -> int:
    if len(digits) <= _MAX_DIGITS:
      return int(digits)
    self._problem = f"an integer of {len(digits)} digits: drop the field"
    return 0


def _is_too_deep(value: Any) -> bool:
  """Whether lists and objects nest too deep; by level, without recursion."""
  level = [value]
  for _ in range(MAX_DEPTH + 1):
    level = [item for item in level if isinstance(item, dict | list)]
    if not level:
      return False
    level = list(
      itertools.chain.from_iterable(
        item.values() if isinstance(item, dict) else item for item in level
      )
    )
  return True


def skip_space(text: str, index: int) -> int:
  """Returns the first index from `index` on that is not white space."""
  found = _SPACES.match(text, index)
  assert found is not None  # It matches nothing, too.
  return found.end()
