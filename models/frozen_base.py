# SPDX-License-Identifier: Apache-2.0
"""From the parameters of a model to the frozen base of an adapted one."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from ramjax.models import llama, lora, nf4, partition
from ramjax.models.config import LlamaConfig
from ramjax.models.lora_config import LAYER_MODULES

Params = dict[str, Any]


def adapt_params(
  base: Params, config: LlamaConfig, key: jax.Array, mesh: Mesh
) -> Params:
  """Parameters of the adapted model that starts as `base`.

  Args:
    base: Parameters of the same model without adapters, on `mesh`.
    config: With `lora`, and perhaps `quantization`.
    key: PRNG key of the adapters' first values.
    mesh: Where everything lives.

  Returns:
    `base`, frozen (see `freeze`), with float32 adapter leaves among it.
  """
  shardings = llama.param_shardings(config, mesh)
  frozen = freeze(base, config, mesh)
  adapters = jax.jit(
    lambda base, key: lora.init_adapters(base, config, key),
    out_shardings=partition.adapters_of(shardings),
  )(frozen, key)
  return partition.join(frozen, adapters)


def freeze(base: Params, config: LlamaConfig, mesh: Mesh) -> Params:
  """`base` as the forward pass of a model with adapters reads it.

  Frozen parameters need no float32 master: the forward pass casts them to
  `config.dtype` wherever it reads them, so they are kept in that. A score head
  is trained: its master is float32.

  Args:
    base: Floating-point parameters, without adapters.
    config: `dtype` and `quantization` are read.
    mesh: Where everything lives.

  Returns:
    The same tree; with "nf4", `kernel` of each linear layer is replaced by
    `nf4`, the dict of the parts of `nf4.NF4`.
  """
  frozen: Params = {}
  for name, branch in base.items():
    dtype = "float32" if name == "score" else config.dtype
    frozen[name] = jax.tree.map(lambda x, to=dtype: x.astype(to), branch)
  if config.quantization != "nf4":
    return frozen
  shardings = llama.param_shardings(config, mesh)
  # One kind of matrix at a time, so that one full-size copy exists at most.
  for name in LAYER_MODULES:
    path = lora.module_path(name)
    module = dict(lora.leaf_at(frozen, path))
    quantize = jax.jit(
      lambda kernel: nf4.quantize(kernel.astype(jnp.float32))._asdict(),
      out_shardings=lora.leaf_at(shardings, path)["nf4"],
    )
    module["nf4"] = quantize(module.pop("kernel"))
    frozen = _replaced(frozen, path, module)
  return frozen


def _replaced(tree: Params, path: tuple[str, ...], value: Any) -> Params:
  """A copy of nested dicts with another value at `path`."""
  if not path:
    return value
  inner = _replaced(tree[path[0]], path[1:], value)
  return {**tree, path[0]: inner}
