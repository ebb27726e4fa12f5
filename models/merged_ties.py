# SPDX-License-Identifier: Apache-2.0
"""TIES: trim, elect signs, merge (arXiv 2306.01708, algorithm 1)."""

from collections.abc import Iterator, Sequence

import numpy as np

from ramjax.models import kth_largest, merged, tensors
from ramjax.models.merged import Merged
from ramjax.models.tensors import Source, TensorSpec

# The paper's k: 20 %.
DENSITY = 0.2


def ties(
  base: Source,
  models: Sequence[Source],
  *,
  density: float = DENSITY,
  scale: float = 1.0,
  dtype: str | None = None,
) -> Merged:
  """Base plus what most models, by weight of their changes, agree on.

  Of each task vector (model - base, in float32) the largest are kept, and the
  others set to 0. At each place the sign of the sum of what was kept is
  elected, and the kept values of that sign are averaged over the models that
  have one; where the sum is 0, the base stays.

  What is kept is chosen in each tensor by itself, which needs no second look at
  the whole model (the paper states the algorithm for a vector). It is
  `density` of the elements, rounded, and at least one; those as large as the
  smallest of them are all kept.

  Args:
    base: What the models were tuned from.
    models: The tuned models.
    density: The share that is kept.
    scale: The paper's lambda.
    dtype: Of the result; None: the first model's.
  """
  thresholds: dict[str, list[np.float32]] = {}

  def compute(name: str, start: int, stop: int) -> np.ndarray:
    if name not in thresholds:
      thresholds[name] = [
        _threshold(base, model, name, density) for model in models
      ]
    base_rows = merged.floats(base, name, start, stop)
    sums = np.zeros((2, *base_rows.shape), np.float32)
    counts = np.zeros((2, *base_rows.shape), np.uint16)
    damaged = np.zeros(base_rows.shape, bool)
    for model, threshold in zip(models, thresholds[name], strict=True):
      change = merged.difference(model, base_rows, name, start, stop)
      # NaN has no sign, and would be passed over.
      damaged |= ~np.isfinite(change)
      change[np.abs(change) < threshold] = 0
      for sign, agreeing in enumerate((change > 0, change < 0)):
        np.add(sums[sign], change, out=sums[sign], where=agreeing)
        counts[sign] += agreeing
    total = sums[0] + sums[1]
    np.divide(sums, counts, out=sums, where=counts > 0)
    elected = np.where(total > 0, sums[0], sums[1])
    elected[total == 0] = 0
    elected *= np.float32(scale)
    elected += base_rows
    elected[damaged] = np.nan
    return elected

  return Merged(models[0], compute, dtype=dtype)


def _threshold(
  base: Source, model: Source, name: str, density: float
) -> np.float32:
  """The smallest magnitude of a task vector's tensor that is kept."""
  shape = base.specs[name].shape
  size = int(np.prod(shape))

  def changes() -> Iterator[np.ndarray]:
    for start, stop in tensors.blocks(TensorSpec(shape, "float32")):
      base_rows = merged.floats(base, name, start, stop)
      yield merged.difference(model, base_rows, name, start, stop)

  return kth_largest.kth_largest(changes, max(1, round(density * size)))
