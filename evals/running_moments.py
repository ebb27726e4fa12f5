# SPDX-License-Identifier: Apache-2.0
"""Mean and variance of every reward so far, to normalise the next ones."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class RunningMoments:
  """Count, mean and spread of the values seen; `update` returns the next.

  Attributes:
    count: Values seen.
    mean: Of them; 0 before the first.
    squares: Sum of their squared distances from the mean.
  """

  count: int = 0
  mean: float = 0.0
  squares: float = 0.0

  def __post_init__(self):
    finite = math.isfinite(self.mean) and math.isfinite(self.squares)
    if self.count < 0 or self.squares < 0 or not finite:
      raise ValueError(
        f"{self!r} is no running mean: count and squares must be at least 0,"
        " and all finite."
      )

  @property
  def variance(self) -> float:
    """Of the values seen, divided by their count; 0 before the first."""
    return self.squares / self.count if self.count else 0.0

  def update(self, values: np.ndarray) -> "RunningMoments":
    """Returns the moments with further values, in float64.

    The parallel update of Chan, Golub and LeVeque (1979, eq. 2.1), which is
    stable and does not depend on how large the parts are.

    Args:
      values: Numbers of any shape; none leave the moments as they are.

    Raises:
      ValueError: A value is not finite.
    """
    new = np.asarray(values, np.float64).ravel()
    if not np.isfinite(new).all():
      raise ValueError(
        f"values[{int(np.flatnonzero(~np.isfinite(new))[0])}] is not finite:"
        " one such reward would spoil every later one. Correct the reward."
      )
    if not new.size:
      return self
    count = self.count + new.size
    mean = float(new.mean())
    apart = mean - self.mean
    return RunningMoments(
      count=count,
      mean=self.mean + apart * (new.size / count),
      squares=self.squares
      + float(np.square(new - mean).sum())
      + apart * apart * (self.count * new.size / count),
    )

  def normalise(self, values: np.ndarray, clip: float | None) -> np.ndarray:
    """Returns `(values - mean) / deviation`, within plus or minus `clip`.

    Args:
      values: Numbers of any shape.
      clip: Largest absolute value, above 0; None for any.

    Returns:
      float32 of that shape. While all values seen are one, only the mean is
      taken off: there is no scale yet.

    Raises:
      ValueError: `clip` is not above 0.
    """
    if clip is not None and not clip > 0:
      raise ValueError(f"clip={clip!r} must be above 0, or None for no limit.")
    scale = math.sqrt(self.variance) or 1.0
    normal = (np.asarray(values, np.float64) - self.mean) / scale
    if clip is not None:
      normal = np.clip(normal, -clip, clip)
    return normal.astype(np.float32)

  def to_json(self) -> dict[str, Any]:
    """The moments in JSON types; `from_json` gives back the very same."""
    return dataclasses.asdict(self)

  @classmethod
  def from_json(cls, value: Mapping[str, Any]) -> "RunningMoments":
    """Returns the moments that `to_json` wrote.

    Raises:
      ValueError: `value` is something else.
    """
    kinds = {"count": int, "mean": float, "squares": float}
    if (
      not isinstance(value, Mapping)
      or {name: type(number) for name, number in value.items()} != kinds
    ):
      raise ValueError(
        f"{value!r:.200} is not what RunningMoments.to_json wrote: it has a"
        " whole number 'count' and the numbers 'mean' and 'squares'."
      )
    return cls(**value)
