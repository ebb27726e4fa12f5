# SPDX-License-Identifier: Apache-2.0
"""The Flax Llama: a thin shell that declares parameters and their axes.

Outside this folder a model is a nested dict of arrays and `apply`; the same
function serves a policy, a reference, an average of weights. Parameters of the
layers are stacked, [L, ...], and scanned over.
"""

import dataclasses
import functools
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name

from ramjax.models import attention, layers, lora, remat, sharding
from ramjax.models import positions as rope
from ramjax.models.cache import Cache, one_layer, read_layer, write_layer
from ramjax.models.config import LlamaConfig
from ramjax.models.linear import Linear, LMHead, Matrix

Params = dict[str, Any]


class _Norm(nn.Module):
  """Declares one scale and normalises by it."""

  eps: float

  @nn.compact
  def __call__(self, x):
    init = nn.with_logical_partitioning(nn.initializers.ones, ("norm",))
    scale: Any = self.param("scale", init, (x.shape[-1],))
    return layers.rms_norm(x, scale, self.eps)


class _Attention(nn.Module):
  """Attention of one layer; returns the cache it was given, written, too.

  Attributes:
    config: The shape.
    span: Slots of the cache that are attended to; None is all.
    keep: Without a cache, return this layer's keys and values in its place.
  """

  config: LlamaConfig
  span: int | None
  keep: bool

  @nn.compact
  def __call__(
    self, x, cache, layer, angles, slots, segment_ids, branch_ids, lora_scales
  ):
    config = self.config
    heads, kv_heads = config.num_heads, config.num_kv_heads

    def project(name, num_heads, axis):
      rows = Linear(
        config,
        f"attention/{name}",
        num_heads * config.head_dim,
        ("embed", axis),
        with_bias=config.qkv_bias,
        name=name,
      )(x, lora_scales)
      return rows.reshape(*x.shape[:2], num_heads, config.head_dim)

    query = rope.rotate(project("query", heads, "heads"), *angles)
    key = rope.rotate(project("key", kv_heads, "kv_heads"), *angles)
    value = project("value", kv_heads, "kv_heads")
    query, key, value = checkpoint_name((query, key, value), remat.QKV)
    kept = None
    if cache is None:
      output = attention.attend(
        query,
        key,
        value,
        segment_ids=segment_ids,
        branch_ids=branch_ids,
        window=config.sliding_window,
        backend=config.attention,
      )
      if self.keep:
        kept = one_layer(key, value)
    else:
      cache = write_layer(cache, key, value, layer=layer, slots=slots)
      looked_at = read_layer(cache, layer, self.span or cache.num_slots)
      output = attention.attend_cache(
        query, *looked_at, slots=slots, window=config.sliding_window
      )
    project_out = Linear(
      config,
      "attention/output",
      config.width,
      ("heads", "embed"),
      name="output",
    )
    output = project_out(output.reshape(*x.shape[:2], -1), lora_scales)
    return output, cache, kept


class _MLP(nn.Module):
  config: LlamaConfig

  @nn.compact
  def __call__(self, x, lora_scales):
    config = self.config

    def project(name, x, size, axes):
      linear = Linear(config, f"mlp/{name}", size, axes, name=name)
      return linear(x, lora_scales)

    inward = ("embed", "mlp")
    gate = project("gate", x, config.mlp_width, inward)
    up = project("up", x, config.mlp_width, inward)
    gated = layers.swiglu(gate, up)
    return project("down", gated, config.width, ("mlp", "embed"))


class _Block(nn.Module):
  """One layer, in the shape `nn.scan` wants: carry in, (carry, kept) out.

  The carry is hidden states and the cache of all layers, written in place.
  """

  config: LlamaConfig
  span: int | None
  keep: bool

  @nn.compact
  def __call__(
    self, carry, layer, lora_scales, angles, slots, segment_ids, branch_ids
  ):
    config = self.config
    x, cache = carry
    x = sharding.constrain(x, "batch", "length", "activation")
    normed = _Norm(config.norm_eps, name="attention_norm")(x)
    attended, cache, kept = _Attention(
      config, self.span, self.keep, name="attention"
    )(normed, cache, layer, angles, slots, segment_ids, branch_ids, lora_scales)
    x = x + attended
    normed = _Norm(config.norm_eps, name="mlp_norm")(x)
    x = x + _MLP(config, name="mlp")(normed, lora_scales)
    return (x, cache), kept


class _Llama(nn.Module):
  config: LlamaConfig
  span: int | None = None
  keep: bool = False

  @nn.compact
  def __call__(self, tokens, positions, segment_ids, branch_ids, cache):
    config = self.config
    vocab_shape = (config.vocab_size, config.width)
    embedding = Matrix(
      vocab_shape, ("vocab", "embed"), leaf="embedding", name="embed"
    )()
    x = jnp.take(embedding, tokens, axis=0).astype(config.dtype)
    is_new = self.is_initializing()
    (x, cache), kept = _layer_stack(config, self.span, self.keep, is_new)(
      (x, cache),
      jnp.arange(config.num_layers),
      lora.layer_scales(config.lora),
      rope.rope_angles(positions, config),
      positions,
      segment_ids,
      branch_ids,
    )
    # Declared so that they are parameters; `heads.py` multiplies by them.
    if config.num_labels:
      score_shape = (config.width, config.num_labels)
      Matrix(score_shape, ("embed", "label"), name="score")()
    elif not config.tie_embeddings:
      LMHead(config, name="lm_head")()
    hidden = _Norm(config.norm_eps, name="final_norm")(x)
    return hidden, cache, kept


def _layer_stack(
  config: LlamaConfig, span: int | None, keep: bool, is_new: bool
):
  """The scanned, optionally rematerialised, stack of blocks."""
  block = _Block
  if config.remat != "none":
    policy = remat.POLICIES[config.remat]
    # The scan already keeps XLA from undoing the recomputation.
    block = nn.remat(_Block, policy=policy, prevent_cse=False)
  stack = nn.scan(
    block,
    variable_axes={"params": 0},
    split_rngs={"params": True},
    in_axes=cast(Any, (0, 0, *[nn.broadcast] * 4)),
    out_axes=0,
    length=config.num_layers,
    metadata_params={nn.PARTITION_NAME: "layers"},
    # Flax would trace the layer once more, to allow outputs that it broadcasts:
    # there are none. New weights keep it, for their keys count the traces.
    check_constancy_invariants=is_new,
  )
  return stack(config, span, keep, name="layers")


def apply(
  params: Params,
  config: LlamaConfig,
  tokens: jax.Array,
  *,
  positions: jax.Array,
  segment_ids: jax.Array | None = None,
  branch_ids: jax.Array | None = None,
  cache: Cache | None = None,
  span: int | None = None,
) -> Any:
  """Hidden states of `tokens` after the final norm; heads come after.

  Args:
    params: As `init_params` makes them.
    config: The same the parameters were made with, in shape.
    tokens: [B, T] int32.
    positions: [B, T] int32, restarting at 0 in each packed segment. With a
      cache they are also the slots written.
    segment_ids: [B, T] int32, 0 for padding; None means one segment a row.
      A cache serves one segment a row and takes none.
    branch_ids: [B, T] int32; see `attention.attend`. None means that no
      segment has branches, and a cache takes none.
    cache: Keys and values of earlier positions, or None.
    span: With a cache, how many of its slots are looked at: above every
      position of the call. None is all of them.

  Returns:
    [B, T, D] in `config.dtype`; with a cache, that and the updated cache.

  Raises:
    ValueError: `cache` is given, and `segment_ids` or `branch_ids` with it.
  """
  for name, ids in (("segment_ids", segment_ids), ("branch_ids", branch_ids)):
    if cache is not None and ids is not None:
      raise ValueError(
        f"{name} and cache were both given: a cached row is one segment"
        f" without branches. Leave {name} out."
      )
  if segment_ids is None:
    segment_ids = jnp.ones_like(tokens)
  applied: Any = _Llama(config, span).apply(
    {"params": params}, tokens, positions, segment_ids, branch_ids, cache
  )
  hidden, new_cache, _ = applied
  return hidden if cache is None else (hidden, new_cache)


def prefill(params: Params, config: LlamaConfig, tokens: jax.Array) -> Cache:
  """Keys and values of whole prompts, to be put into a cache.

  Args:
    params: As for `apply`.
    config: The same.
    tokens: [B, T] int32 from position 0 on, right-padded with anything: causal
      attention never looks at what follows.

  Returns:
    A `Cache` of T slots.
  """
  positions = jnp.broadcast_to(jnp.arange(tokens.shape[1])[None], tokens.shape)
  applied: Any = _Llama(config, keep=True).apply(
    {"params": params}, tokens, positions, jnp.ones_like(tokens), None, None
  )
  _, _, kept = applied
  return kept


def _boxed_init(config: LlamaConfig, key: jax.Array) -> Any:
  dummy = jnp.zeros((1, 1), jnp.int32)
  # Parameters are the same for all, and this one runs on any machine.
  config = dataclasses.replace(config, attention="xla")
  return _Llama(config).init(key, dummy, dummy, dummy, None, None)["params"]


@functools.cache
def _boxed_shapes(config: LlamaConfig) -> Any:
  """Traced once for each shape: every sharding of parameters is made of it."""
  return jax.eval_shape(lambda: _boxed_init(config, jax.random.key(0)))


def abstract_params(config: LlamaConfig) -> tuple[Params, Any]:
  """Shapes of all parameters, and the logical axes of each, without memory.

  Returns:
    A tree of `jax.ShapeDtypeStruct` and a tree of tuples of axis names (see
    `sharding.RULES`), in the structure of `init_params`.
  """
  boxed = _boxed_shapes(config)
  axes = jax.tree.map(
    lambda box: tuple(box.names),
    boxed,
    is_leaf=lambda x: isinstance(x, nn.Partitioned),
  )
  return nn.unbox(boxed), axes


def init_params(
  config: LlamaConfig, key: jax.Array, mesh: jax.sharding.Mesh | None = None
) -> Params:
  """Freshly initialised float32 parameters, a plain nested dict.

  Adapters come after (`frozen_base.adapt`): `config.lora` and
  `config.quantization` are not read.

  Args:
    config: The shape.
    key: PRNG key; the values are the same on every mesh.
    mesh: Where each device makes only its own shard; None is one device.

  Returns:
    `embed`, `layers` (stacked [L, ...]), `final_norm` and the head: `lm_head`
    where it is not tied, or `score`.
  """
  base = dataclasses.replace(config, lora=None, quantization="none")
  return _compiled_init(base, mesh)(key)


@functools.cache
def _compiled_init(config: LlamaConfig, mesh: jax.sharding.Mesh | None) -> Any:
  shardings = None if mesh is None else param_shardings(config, mesh)
  return jax.jit(
    lambda key: nn.unbox(_boxed_init(config, key)), out_shardings=shardings
  )


@functools.cache
def base_shapes(config: LlamaConfig) -> dict[tuple[str, ...], tuple[int, ...]]:
  """Shape of every parameter by its path, adapters and quantisation aside."""
  base = dataclasses.replace(config, lora=None, quantization="none")
  shapes, _ = abstract_params(base)
  return {
    tuple(entry.key for entry in path): leaf.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
  }


def param_shardings(config: LlamaConfig, mesh: jax.sharding.Mesh) -> Any:
  """`NamedSharding` of every parameter on `mesh`."""
  shapes, axes = abstract_params(config)
  return sharding.shardings_of(shapes, axes, mesh)
