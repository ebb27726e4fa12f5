# SPDX-License-Identifier: Apache-2.0
"""Flax declarations of matrices and linear layers, adapters included."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ramjax.models import layers, lora, nf4
from ramjax.models.config import LlamaConfig
from ramjax.models.lora_config import LM_HEAD

# Standard deviation of every matrix and of the embedding at initialisation,
# as the `initializer_range` of the released configs.
_NORMAL = nn.initializers.normal(0.02)
_ZEROS = nn.initializers.zeros


def declare(
  module: nn.Module,
  leaf: str,
  shape: tuple[int, ...],
  axes: tuple[str, ...],
  init: Any,
  dtype: Any = jnp.float32,
) -> Any:
  """Declares one parameter of `module`, with the logical axis of each side."""
  init = nn.with_logical_partitioning(init, axes)
  return module.param(leaf, init, shape, dtype)


class Matrix(nn.Module):
  """One matrix."""

  shape: tuple[int, int]
  axes: tuple[str, str]
  leaf: str = "kernel"

  @nn.compact
  def __call__(self) -> Any:
    """The matrix."""
    return declare(self, self.leaf, self.shape, self.axes, _NORMAL)


class LMHead(nn.Module):
  """The matrix of an untied LM head; `heads.py` multiplies by it."""

  config: LlamaConfig

  @nn.compact
  def __call__(self) -> None:
    """Declares it; nothing here multiplies by it."""
    shape = (self.config.width, self.config.vocab_size)
    axes = ("embed", "vocab")
    declare(self, "kernel", shape, axes, _NORMAL)
    _declare_adapter(self, self.config, LM_HEAD, shape, axes)


class _QuantizedMatrix(nn.Module):
  """The parts of one NF4 matrix; their values come from a loaded model."""

  shape: tuple[int, int]
  axes: tuple[str, str]

  @nn.compact
  def __call__(self) -> nf4.NF4:
    rows, columns = self.axes
    # The scales' rows are few (in / 64): too few to split in small models.
    axes = {"codes": (rows, columns), "scales": ("quantized", columns)}
    kernel = jax.ShapeDtypeStruct(self.shape, jnp.float32)
    parts = jax.eval_shape(nf4.quantize, kernel)._asdict()
    return nf4.NF4(
      **{
        name: declare(
          self,
          name,
          part.shape,
          axes.get(name, ("quantized", "quantized")),
          _ZEROS,
          part.dtype,
        )
        for name, part in parts.items()
      }
    )


class Linear(nn.Module):
  """A linear layer: kernel and, where the config asks, adapter and bias."""

  config: LlamaConfig
  module: str  # One of `lora_config.LAYER_MODULES`.
  size: int
  axes: tuple[str, str]
  with_bias: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, lora_scales: dict[str, Any]) -> jax.Array:
    """`x` [..., in] to [..., out]; `lora_scales` are those of this layer."""
    config = self.config
    shape = (x.shape[-1], self.size)
    if config.quantization == "nf4":
      quantized = _QuantizedMatrix(shape, self.axes, name="nf4")()
      output = nf4.linear_nf4(x, quantized)
      kernel = None
      if config.lora and config.lora.dora:
        kernel = nf4.dequantize(quantized, jnp.float32)
    else:
      kernel = declare(self, "kernel", shape, self.axes, _NORMAL)
      output = layers.linear(x, kernel)
    adapter = _declare_adapter(self, config, self.module, shape, self.axes)
    if adapter:
      scale = lora_scales[self.module]
      output = lora.adapt(x, output, adapter, scale, kernel)
    if self.with_bias:
      bias = declare(self, "bias", (self.size,), self.axes[1:], _ZEROS)
      output += bias.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
    return output


def _declare_adapter(
  module: nn.Module,
  config: LlamaConfig,
  name: str,
  shape: tuple[int, int],
  axes: tuple[str, str],
) -> dict[str, Any]:
  """The leaves of the adapter of one linear layer; none, if it has none.

  `lora.init_adapters` gives them their first values.
  """
  adapters = config.lora and config.lora.module(name)
  if not config.lora or not adapters:
    return {}
  rank = adapters.rank
  leaves = {
    "lora_a": declare(
      module, "lora_a", (shape[0], rank), (axes[0], "rank"), _ZEROS
    ),
    "lora_b": declare(
      module, "lora_b", (rank, shape[1]), ("rank", axes[1]), _ZEROS
    ),
  }
  if config.lora.dora:
    leaves["magnitude"] = declare(
      module, "magnitude", shape[1:], axes[1:], _ZEROS
    )
  return leaves
