# SPDX-License-Identifier: Apache-2.0
"""The one map between Hugging Face tensor names and our parameter tree.

Layers are stacked here and separate there; matrices are [in, out] here and
[out, in] there. RoPE pairs the same halves in both, so nothing is permuted.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ramjax.models import llama
from ramjax.models.config import LlamaConfig
from ramjax.models.tensors import TensorSpec

# Path of a leaf inside a layer -> name inside `model.layers.N.`.
_LAYER_NAMES: Mapping[tuple[str, ...], str] = {
  ("attention_norm", "scale"): "input_layernorm.weight",
  ("attention", "query", "kernel"): "self_attn.q_proj.weight",
  ("attention", "query", "bias"): "self_attn.q_proj.bias",
  ("attention", "key", "kernel"): "self_attn.k_proj.weight",
  ("attention", "key", "bias"): "self_attn.k_proj.bias",
  ("attention", "value", "kernel"): "self_attn.v_proj.weight",
  ("attention", "value", "bias"): "self_attn.v_proj.bias",
  ("attention", "output", "kernel"): "self_attn.o_proj.weight",
  ("mlp_norm", "scale"): "post_attention_layernorm.weight",
  ("mlp", "gate", "kernel"): "mlp.gate_proj.weight",
  ("mlp", "up", "kernel"): "mlp.up_proj.weight",
  ("mlp", "down", "kernel"): "mlp.down_proj.weight",
}
_TOP_NAMES: Mapping[tuple[str, ...], str] = {
  ("embed", "embedding"): "model.embed_tokens.weight",
  ("final_norm", "scale"): "model.norm.weight",
  ("lm_head", "kernel"): "lm_head.weight",
  ("score", "kernel"): "score.weight",
}


class Location(NamedTuple):
  """Where a Hugging Face tensor lies in the parameter tree.

  Attributes:
    path: Of the leaf.
    layer: Index into the leaf's first axis; None where it is not stacked.
    transposed: Whether the leaf's last two axes are the tensor's, swapped.
  """

  path: tuple[str, ...]
  layer: int | None
  transposed: bool


def locations(config: LlamaConfig) -> dict[str, Location]:
  """Hugging Face name of every tensor of a model, and where it lies.

  Args:
    config: Of the model; adapters and quantisation are left aside.

  Returns:
    A bijection onto the leaves (onto the layers of the stacked ones), in the
    order embedding, layers, final norm, head.
  """
  shapes = llama.base_shapes(config)
  found = {}
  for path in [("embed", "embedding")]:
    found[_TOP_NAMES[path]] = Location(path, None, False)
  for layer in range(config.num_layers):
    for inner, name in _LAYER_NAMES.items():
      path = ("layers", *inner)
      if path in shapes:
        found[f"model.layers.{layer}.{name}"] = Location(
          path, layer, inner[-1] == "kernel"
        )
  for path in (
    ("final_norm", "scale"),
    ("lm_head", "kernel"),
    ("score", "kernel"),
  ):
    if path in shapes:
      found[_TOP_NAMES[path]] = Location(path, None, path[-1] == "kernel")
  return found


def hf_shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
  """Shape of every tensor of a model, by its Hugging Face name."""
  shapes = llama.base_shapes(config)
  found = {}
  for name, (path, layer, transposed) in locations(config).items():
    shape = shapes[path] if layer is None else shapes[path][1:]
    found[name] = shape[::-1] if transposed else shape
  return found


def hf_specs(config: LlamaConfig, dtype: str) -> dict[str, TensorSpec]:
  """`hf_shapes` with one dtype for all."""
  return {n: TensorSpec(s, dtype) for n, s in hf_shapes(config).items()}
