# SPDX-License-Identifier: Apache-2.0
"""Models computed from the weights of others, as sources.

Averages, task arithmetic and extrapolation; `merged_slerp` and `merged_ties`
have the methods that read a tensor more than once. All compute in float32 and
round once, to the dtype of the result. Models must have one shape
(`same_shape.check`); their dtypes may differ.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ramjax.models.config import LlamaConfig
from ramjax.models.tensors import Source, TensorSpec


class Merged:
  """A source whose rows are computed from those of other sources.

  Attributes:
    config: Of the model that it is like.
    specs: Of that model, in the dtype asked for.
  """

  config: LlamaConfig
  specs: Mapping[str, TensorSpec]

  def __init__(
    self,
    like: Source,
    compute: Callable[[str, int, int], np.ndarray],
    *,
    dtype: str | None = None,
  ):
    """Wraps a computation.

    Args:
      like: The model that gives the config, the names and the shapes.
      compute: (name, start, stop) -> float32 rows of the result.
      dtype: Of the result; None: of each tensor of `like`.
    """
    self._compute = compute
    self.config = like.config
    self.specs = {
      name: TensorSpec(spec.shape, dtype or spec.dtype)
      for name, spec in like.specs.items()
    }

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of the result."""
    # An overflow becomes infinite or NaN, which `tensors.copy` refuses.
    with np.errstate(over="ignore", invalid="ignore"):
      rows = self._compute(name, start, stop)
      return rows.astype(np.dtype(self.specs[name].dtype), copy=False)


def linear(
  models: Sequence[Source],
  weights: Sequence[float],
  *,
  normalize: bool = True,
  dtype: str | None = None,
) -> Merged:
  """The weighted mean, sum_i w_i theta_i: a model soup, arXiv 2203.05482.

  Args:
    models: The theta_i.
    weights: The w_i. A model of weight 0 is not read.
    normalize: Divide the weights by their sum.
    dtype: Of the result; None: the first model's.

  Raises:
    ValueError: Weights that sum to 0 and are to be normalised.
  """
  total = sum(weights)
  if normalize and abs(total) < 1e-6:
    raise ValueError(
      f"weights={list(weights)} sum to {total:g}, so they cannot be divided by"
      " their sum: change them, or do not normalise."
    )
  shares = [weight / total if normalize else weight for weight in weights]

  def compute(name: str, start: int, stop: int) -> np.ndarray:
    blocks = [(model, name, start, stop) for model in models]
    return weighted_sum(blocks, shares)

  return Merged(models[0], compute, dtype=dtype)


def task(
  base: Source,
  models: Sequence[Source],
  weights: Sequence[float],
  *,
  scale: float = 1.0,
  dtype: str | None = None,
) -> Merged:
  """Task arithmetic, base + scale * sum_i w_i (theta_i - base).

  arXiv 2212.04089, section 3. Written with differences, so that a weight which
  no model changed stays what it is.

  Args:
    base: What the models were tuned from.
    models: The theta_i.
    weights: The w_i; a negative one forgets a task. They are not normalised.
    scale: The paper's lambda.
    dtype: Of the result; None: the first model's.
  """

  def compute(name: str, start: int, stop: int) -> np.ndarray:
    base_rows = floats(base, name, start, stop)
    total = np.zeros_like(base_rows)
    for model, weight in zip(models, weights, strict=True):
      change = difference(model, base_rows, name, start, stop)
      change *= np.float32(weight)
      total += change
    total *= np.float32(scale)
    total += base_rows
    return total

  return Merged(models[0], compute, dtype=dtype)


def extrapolate(
  base: Source, tuned: Source, alpha: float, *, dtype: str | None = None
) -> Merged:
  """ExPO, tuned + alpha (tuned - base): past the tuned model.

  arXiv 2404.16792, theta_2 = theta_1 + alpha (theta_1 - theta_0): theta_0 is the
  SFT model, theta_1 the aligned one. Alpha counts from the aligned model, so 0
  gives it back; the authors call 0.3 or 0.5 usually good.

  Args:
    base: theta_0.
    tuned: theta_1.
    alpha: How far past it.
    dtype: Of the result; None: of `tuned`.
  """

  def compute(name: str, start: int, stop: int) -> np.ndarray:
    base_rows = floats(base, name, start, stop)
    change = difference(tuned, base_rows, name, start, stop)
    change *= np.float32(alpha)
    change += floats(tuned, name, start, stop)
    return change

  return Merged(tuned, compute, dtype=dtype)


def weighted_sum(
  blocks: Sequence[tuple[Source, str, int, int]], weights: Sequence[float]
) -> np.ndarray:
  """Sum of blocks of rows, float32; a weight of 0 leaves its block out."""
  total = None
  for block, weight in zip(blocks, weights, strict=True):
    if weight:
      term = floats(*block) * np.float32(weight)
      # Not from zeros: 0 + -0.0 is 0, and one model is to come back as it is.
      total = term if total is None else np.add(total, term, out=term)
  return np.zeros_like(floats(*blocks[0])) if total is None else total


def floats(source: Source, name: str, start: int, stop: int) -> np.ndarray:
  """Rows in float32; they may be a read-only view."""
  return source.rows(name, start, stop).astype(np.float32, copy=False)


def difference(
  model: Source, base_rows: np.ndarray, name: str, start: int, stop: int
) -> np.ndarray:
  """Rows of a task vector, model - base, float32 and writable."""
  return floats(model, name, start, stop) - base_rows
