# SPDX-License-Identifier: Apache-2.0
"""Spherical interpolation between two models, tensor by tensor."""

import math

import numpy as np

from ramjax.models import merged, tensors
from ramjax.models.merged import Merged
from ramjax.models.tensors import Source, TensorError, TensorSpec

# Below this sine of the angle the arc is a line to float32.
_MIN_SINE = 1e-6


def slerp(
  first: Source, second: Source, t: float, *, dtype: str | None = None
) -> Merged:
  """The model a share `t` of the way from one model to another, along the arc.

  Shoemake, Animating Rotation with Quaternion Curves, SIGGRAPH 1985: for each
  tensor, flattened, sin((1-t) o)/sin(o) a + sin(t o)/sin(o) b, with o the angle
  between a and b. As in mergekit, the angle comes from the directions alone and
  the formula is applied to the tensors themselves, so the norm goes from one to
  the other. Tensors that are parallel (sin o < 1e-6), or of which one is zero,
  are interpolated on the line, which is the limit of the formula. (mergekit
  takes the line from a cosine of 0.9995 on, where the two differ by 0.01 %.)

  Args:
    first: The result for t = 0.
    second: The result for t = 1.
    t: From 0 to 1.
    dtype: Of the result; None: of `first`.

  Raises:
    TensorError: On reading a tensor that is opposite in the two models, between
      which no arc is the shortest.
  """
  known: dict[str, tuple[float, float]] = {}

  def compute(name: str, start: int, stop: int) -> np.ndarray:
    if name not in known:
      known[name] = _coefficients(first, second, name, t)
    blocks = [(first, name, start, stop), (second, name, start, stop)]
    return merged.weighted_sum(blocks, known[name])

  return Merged(first, compute, dtype=dtype)


def _coefficients(
  first: Source, second: Source, name: str, t: float
) -> tuple[float, float]:
  """What the two tensors are multiplied with."""
  dot = squares = other_squares = 0.0
  # Blocks for float64, in which the sums are made.
  for start, stop in tensors.blocks(
    TensorSpec(first.specs[name].shape, "float64")
  ):
    a, b = (
      source.rows(name, start, stop).astype(np.float64).ravel()
      for source in (first, second)
    )
    dot += float(a @ b)
    squares += float(a @ a)
    other_squares += float(b @ b)
  # One root for each, because the product of the squares may overflow.
  norms = math.sqrt(squares) * math.sqrt(other_squares)
  if not norms:
    return 1 - t, t
  cosine = max(-1.0, min(1.0, dot / norms))
  angle = math.acos(cosine)
  sine = math.sin(angle)
  if sine < _MIN_SINE:
    if cosine < 0:
      raise TensorError(
        f"tensor {name!r} points in opposite directions in the two models:"
        " there is no one arc between them. Use linear."
      )
    return 1 - t, t
  return math.sin((1 - t) * angle) / sine, math.sin(t * angle) / sine
