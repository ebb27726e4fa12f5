# SPDX-License-Identifier: Apache-2.0
"""The frozen base of a model with adapters, loaded as it will be read.

Frozen parameters need no float32 master: the forward pass casts them to
`config.dtype` wherever it reads them, so they are kept in that, and their layers
in NF4 where the config says so.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from ramjax.models import llama, lora, nf4, partition
from ramjax.models.config import LlamaConfig
from ramjax.models.lora_config import LAYER_MODULES
from ramjax.models.source_params import LeafLoader
from ramjax.models.tensors import Source

Params = dict[str, Any]

_LAYER_KERNELS = tuple(
  (*lora.module_path(name), "kernel") for name in LAYER_MODULES
)


def load(source: Source, config: LlamaConfig, mesh: Mesh) -> Params:
  """The base of an adapted model, from a source onto a mesh.

  A layer is quantised as soon as it is loaded: at no time does a whole stacked
  kernel exist in floating point.

  Args:
    source: The model without adapters.
    config: Of the adapted model: `dtype`, `quantization` and `num_labels` are
      read. Where it has a score head and the source an LM head, that is left
      out.
    mesh: Where it goes.

  Returns:
    The nested dict that `llama.apply` takes, less the adapters; with "nf4", a
    linear layer has `nf4`, the dict of the parts of `nf4.NF4`, in place of its
    `kernel`. A score head is trained, so it is a float32 master.

  Raises:
    TensorError: A value that is not finite, or what the source raises.
  """
  other_head = config.num_labels > 0 and not source.config.num_labels
  loader = LeafLoader(source, mesh, without=("lm_head",) if other_head else ())
  shardings = llama.param_shardings(config, mesh)
  params: Params = {}
  for path in loader.paths:
    dtype = "float32" if path[0] == "score" else config.dtype
    if config.quantization == "nf4" and path in _LAYER_KERNELS:
      place = (*path[:-1], "nf4")
      quantized = _load_quantized(
        loader, path, config, lora.leaf_at(shardings, place)
      )
      lora.put_at(params, place, quantized)
    else:
      lora.put_at(params, path, loader.load(path, dtype=dtype))
  return params


def _load_quantized(
  loader: LeafLoader, path: tuple[str, ...], config: LlamaConfig, shardings: Any
) -> Params:
  quantize = jax.jit(
    lambda kernel: nf4.quantize(kernel)._asdict(), out_shardings=shardings
  )
  layers = [
    quantize(loader.load(path, dtype="float32", layer=layer))
    for layer in range(config.num_layers)
  ]
  stack = jax.jit(
    lambda parts: jax.tree.map(lambda *p: jnp.concatenate(p), *parts),
    out_shardings=shardings,
  )
  return stack(layers)


def adapt(
  frozen: Params, config: LlamaConfig, key: jax.Array, mesh: Mesh
) -> Params:
  """Parameters of the adapted model that starts as its base.

  Args:
    frozen: From `load`.
    config: With `lora`.
    key: PRNG key of the adapters' first values.
    mesh: Where everything lives.

  Returns:
    `frozen`, with float32 adapter leaves among it.
  """
  shardings = partition.adapters_of(llama.param_shardings(config, mesh))
  init = jax.jit(
    lambda frozen, key: lora.init_adapters(frozen, config, key),
    out_shardings=shardings,
  )
  return partition.join(frozen, init(frozen, key))
