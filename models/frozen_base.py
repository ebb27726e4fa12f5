# SPDX-License-Identifier: Apache-2.0
"""From the parameters of a model to the frozen base of an adapted one."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from ramjax.models import lora, nf4, partition
from ramjax.models.config import LlamaConfig
from ramjax.models.lora_config import LAYER_MODULES

Params = dict[str, Any]


def adapt_params(base: Params, config: LlamaConfig, key: jax.Array) -> Params:
  """Parameters of the adapted model that starts as `base`.

  Args:
    base: Parameters of the same model without adapters; its buffers may be
      given away.
    config: With `lora`, and perhaps `quantization`.
    key: PRNG key of the adapters' first values.

  Returns:
    `base`, frozen (see `freeze`), with float32 adapter leaves among it.
  """
  adapters = jax.jit(lora.init_adapters, static_argnames="config")(
    base, config=config, key=key
  )
  return partition.join(freeze(base, config), adapters)


def freeze(base: Params, config: LlamaConfig) -> Params:
  """`base` as the forward pass of a model with adapters reads it.

  Frozen parameters need no float32 master: the forward pass casts them to
  `config.dtype` wherever it reads them, so they are kept in that. A score head
  is trained, and stays as it is.

  Args:
    base: Floating-point parameters, without adapters.
    config: `dtype` and `quantization` are read.

  Returns:
    The same tree; with "nf4", `kernel` of each linear layer is replaced by
    `nf4`, the dict of the parts of `nf4.NF4`.
  """
  cast = jax.jit(lambda x: x.astype(config.dtype))
  frozen: Params = {
    name: leaf if name == "score" else jax.tree.map(cast, leaf)
    for name, leaf in base.items()
  }
  if config.quantization == "nf4":
    # One kind of matrix at a time, so that one full-size copy exists at most.
    for name in LAYER_MODULES:
      path = lora.module_path(name)
      module = dict(lora.leaf_at(frozen, path))
      module["nf4"] = _quantize(module.pop("kernel"))._asdict()
      frozen = _replaced(frozen, path, module)
  return frozen


@functools.partial(jax.jit, donate_argnums=0)
def _quantize(kernel: jax.Array) -> nf4.NF4:
  return nf4.quantize(kernel.astype(jnp.float32))


def _replaced(tree: Params, path: tuple[str, ...], value: Any) -> Params:
  """A copy of nested dicts with another value at `path`."""
  if not path:
    return value
  inner = _replaced(tree[path[0]], path[1:], value)
  return {**tree, path[0]: inner}
