# SPDX-License-Identifier: Apache-2.0
"""`WeightedMean`: the only way anything here is averaged.

A mean of means is wrong as soon as parts hold unequal numbers of tokens, which
is the normal state of instruction data. So a loss is a total and a weight;
both are summed over microbatches, packing, shards and hosts, and divided once.
"""

import dataclasses

import jax
import jax.numpy as jnp


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WeightedMean:
  """A sum and the weight to divide it by; adds exactly.

  Attributes:
    total: float32 scalar, the sum of the counted values.
    weight: float32 scalar, how much was counted.
  """

  total: jax.Array
  weight: jax.Array

  @classmethod
  def of(cls, values: jax.Array, mask: jax.Array | None = None):
    """Mean of `values`, any shape, over `mask` (True counts) or over all.

    A NaN under the mask does not count: it is selected away, not multiplied
    by zero.

    >>> import jax.numpy as jnp
    >>> mean = WeightedMean.of(jnp.array([1.0, jnp.nan, 3.0]),
    ...                        jnp.array([True, False, True]))
    >>> float(mean.total), float(mean.weight), float(mean.value)
    (4.0, 2.0, 2.0)
    """
    values = values.astype(jnp.float32)
    if mask is None:
      return cls(jnp.sum(values), jnp.float32(values.size))
    total = jnp.sum(jnp.where(mask, values, 0.0))
    return cls(total, jnp.sum(mask, dtype=jnp.float32))

  def __add__(self, other: "WeightedMean") -> "WeightedMean":
    return WeightedMean(self.total + other.total, self.weight + other.weight)

  @property
  def value(self) -> jax.Array:
    """The mean; 0 where nothing was counted."""
    safe = jnp.where(self.weight > 0, self.weight, 1.0)
    return jnp.where(self.weight > 0, self.total / safe, 0.0)
