# SPDX-License-Identifier: Apache-2.0
"""The fields of a JSON body, each read once and checked; none is overlooked."""

import math
from collections.abc import Mapping
from typing import Any

from ramjax.tools.serve_errors import ApiError, invalid

# They say who asks, not what: nothing depends on them.
_IGNORED = ("user", "metadata", "safety_identifier", "prompt_cache_key")
# Fields that change the answer in ways that are not offered here, and what they
# are when they change nothing.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
  "audio": (),
  "best_of": (1,),
  "frequency_penalty": (0,),
  "function_call": ("none", "auto"),
  "functions": ([],),
  "modalities": (["text"],),
  "parallel_tool_calls": (True, False),
  "presence_penalty": (0,),
  "response_format": ({"type": "text"},),
  "service_tier": ("auto", "default"),
  "store": (False,),
  "suffix": ("",),
  "tool_choice": ("none", "auto"),
  "tools": ([],),
}


class Fields:
  """One JSON object; a field that is null counts as absent."""

  def __init__(self, body: Mapping[str, Any], where: str = ""):
    """Takes the object.

    Args:
      body: As parsed.
      where: What stands before its fields' names in messages.
    """
    self._left = {k: v for k, v in body.items() if v is not None}
    self._where = where

  def take(self, name: str) -> Any:
    """A field as it is; None if absent."""
    return self._left.pop(name, None)

  def flag(self, name: str) -> bool:
    """A boolean, False if absent."""
    value = self.take(name)
    if value is None or isinstance(value, bool):
      return bool(value)
    raise invalid(self._where + name, f"{name} must be true or false.")

  def number(self, name: str, default: float) -> float:
    """A finite number."""
    value = self.take(name)
    if value is None:
      return default
    if isinstance(value, bool) or not isinstance(value, int | float):
      raise invalid(self._where + name, f"{name} must be a number.")
    if not -1e300 < value < 1e300 or not math.isfinite(value):
      raise invalid(self._where + name, f"{name} is too large.")
    return value

  def whole(self, name: str, low: int, high: int) -> int | None:
    """An integer in a range, both ends included; None if absent."""
    value = self.take(name)
    if value is None:
      return None
    if (
      isinstance(value, bool)
      or not isinstance(value, int)
      or not low <= value <= high
    ):
      raise invalid(
        self._where + name, f"{name} must be an integer from {low} to {high}."
      )
    return value

  def done(self) -> None:
    """Refuses what nobody took, unless it changes nothing.

    Raises:
      ApiError: A field that is unknown, or not offered.
    """
    for name, value in self._left.items():
      if name in _IGNORED:
        continue
      full = self._where + name
      if name not in _NEUTRAL:
        raise ApiError(
          400,
          f"the field {full[:80]!r} is not known here: leave it out.",
          param=full[:80],
          code="unknown_field",
        )
      if value not in _NEUTRAL[name]:
        raise ApiError(
          400,
          f"{full} is not offered here with that value: leave it out.",
          param=full,
          code="unsupported_value",
        )


def text(value: Any, name: str) -> str:
  """A string that can be encoded."""
  if not isinstance(value, str):
    raise invalid(name, f"{name} must be a string.")
  try:
    value.encode()
  except UnicodeEncodeError as error:
    raise invalid(
      name,
      f"{name} has a lone surrogate at character {error.start}: it is no text.",
    ) from error
  return value
