# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of low-rank adapters, and which parameters are theirs.

LoRA (arXiv 2106.09685, equation 3): a frozen kernel W [in, out] gains the
update s A B, with A [in, r] random and B [r, out] zero at the start. Adapters
are leaves beside the kernel they adapt (`lora_a`, `lora_b` and, for DoRA,
`magnitude`), stacked over layers like it; a layer of lower rank has zeros in
the columns of A and rows of B it does not use, and their gradient is zero.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.models import layers, nf4
from ramjax.models.config import LlamaConfig
from ramjax.models.lora_config import LM_HEAD, LoraConfig

Params = dict[str, Any]

ADAPTER_LEAVES = ("lora_a", "lora_b", "magnitude")


def adapt(
  x: jax.Array,
  output: jax.Array,
  adapter: Params,
  scale: jax.Array | float,
  kernel: jax.Array | None = None,
) -> jax.Array:
  """The output of an adapted linear layer, before its bias.

  Args:
    x: [..., in].
    output: [..., out], of the frozen kernel.
    adapter: `lora_a` [in, r], `lora_b` [r, out], and `magnitude` [out] for
      DoRA.
    scale: Of the update; 0 leaves `output` as it is.
    kernel: [in, out]; only DoRA needs it.

  Returns:
    [..., out] in `x`'s dtype.
  """
  update = layers.linear(layers.linear(x, adapter["lora_a"]), adapter["lora_b"])
  # In float32: around 1 bfloat16 has steps of 0.4 to 0.8 %, which is more than
  # magnitudes learn in many updates.
  wide = output.astype(jnp.float32)
  wide += update.astype(jnp.float32) * jnp.asarray(scale, jnp.float32)
  if "magnitude" in adapter and kernel is not None:
    factor = _magnitude_factor(adapter, scale, kernel)
    wide *= factor.reshape((1,) * (wide.ndim - 1) + (-1,))
  return wide.astype(x.dtype)


def merged_kernel(
  kernel: jax.Array, adapter: Params, scale: jax.Array | float
) -> jax.Array:
  """The one kernel [in, out] that does what kernel and adapter do together.

  Args:
    kernel: [in, out], float32.
    adapter: As for `adapt`.
    scale: As for `adapt`.

  Returns:
    [in, out] float32.
  """
  update = adapter["lora_a"] @ adapter["lora_b"]
  merged = kernel + jnp.asarray(scale, kernel.dtype) * update
  if "magnitude" not in adapter:
    return merged
  return merged * _magnitude_factor(adapter, scale, kernel)[None, :]


def _magnitude_factor(adapter, scale, kernel):
  """DoRA's magnitude over the norm of W + s A B, by output: [out] float32.

  The norm carries no gradient (section 4.3). It is expanded so that no second
  [in, out] array exists: |w + s u|^2 = |w|^2 + 2 s w.u + s^2 |u|^2, with
  u = A b and w.u = (W^T A) b.
  """
  f32 = jnp.float32
  a, b = adapter["lora_a"].astype(f32), adapter["lora_b"].astype(f32)
  a, b = jax.lax.stop_gradient((a, b))
  wide = kernel.astype(f32)
  cross = jnp.sum((wide.T @ a) * b.T, axis=1)
  update = jnp.sum(b * ((a.T @ a) @ b), axis=0)
  square = jnp.sum(jnp.square(wide), axis=0) + 2 * scale * cross
  norm = jnp.sqrt(jnp.maximum(square + scale**2 * update, 0.0))
  factor = adapter["magnitude"] / jnp.where(norm > 0, norm, 1.0)
  # A layer without an adapter (scale 0) keeps its kernel's own magnitudes.
  return jnp.where(jnp.asarray(scale) == 0, 1.0, factor)


def init_adapters(base: Params, config: LlamaConfig, key: jax.Array) -> Params:
  """The adapter leaves of a model that starts from `base`, as a tree.

  A is uniform in +-1/sqrt(in) (PEFT's Kaiming start), B zero, so that the
  first forward pass is the base's; magnitudes are the norms of the kernels as
  that pass sees them: rounded, or quantised.

  Args:
    base: Parameters without adapters, as `frozen_base.load` leaves them.
    config: With `lora`.
    key: PRNG key.

  Returns:
    A nested dict of float32 adapter leaves only.
  """
  assert config.lora is not None
  adapters: Params = {}
  for index, module in enumerate(config.lora.modules):
    path = module_path(module.name)
    frozen = leaf_at(base, path)
    used = _used_columns(module.ranks)
    if module.name == LM_HEAD:
      used = used[0]
    *stack, in_size, out_size = _kernel_shape(frozen)
    bound = in_size**-0.5
    a = jax.random.uniform(
      jax.random.fold_in(key, index),
      (*stack, in_size, module.rank),
      minval=-bound,
      maxval=bound,
    )
    leaves = {
      "lora_a": a * jnp.asarray(used)[..., None, :],
      "lora_b": jnp.zeros((*stack, module.rank, out_size)),
    }
    if config.lora.dora:
      leaves["magnitude"] = _kernel_norms(frozen)
    put_at(adapters, path, leaves)
  return adapters


def _kernel_shape(module: Params) -> tuple[int, ...]:
  """[..., in, out] of a linear layer, quantised or not."""
  if "kernel" in module:
    return module["kernel"].shape
  *stack, half, out_size = module["nf4"]["codes"].shape
  return (*stack, 2 * half, out_size)


def _kernel_norms(module: Params) -> jax.Array:
  """Norm of each output's weights: [..., out] float32."""
  f32 = jnp.float32
  if "kernel" in module:
    return jnp.linalg.norm(module["kernel"].astype(f32), axis=-2)
  # Layer by layer, so that one dequantised kernel exists at a time.
  return jax.lax.map(
    lambda parts: jnp.linalg.norm(
      nf4.dequantize(nf4.NF4(**parts), f32), axis=-2
    ),
    module["nf4"],
  )


def _used_columns(ranks: tuple[int, ...]) -> np.ndarray:
  """[layers, max rank] float32: 1 where a layer's own rank reaches."""
  columns = np.arange(max(ranks))[None, :]
  return (columns < np.array(ranks)[:, None]).astype(np.float32)


def layer_scales(lora: LoraConfig | None) -> dict[str, np.ndarray]:
  """Per kind of layer module, the scale in each layer: [L] float32."""
  if lora is None:
    return {}
  return {
    module.name: np.array(lora.scales(module.name), np.float32)
    for module in lora.modules
    if module.name != LM_HEAD
  }


def module_path(name: str) -> tuple[str, ...]:
  """Where a kind of module stands in the parameter tree."""
  return (name,) if name == LM_HEAD else ("layers", *name.split("/"))


def leaf_at(tree: Params, path: tuple[str, ...]) -> Any:
  """What stands at `path` of a nested dict."""
  for key in path:
    tree = tree[key]
  return tree


def put_at(tree: Params, path: tuple[str, ...], value: Any) -> None:
  """Puts `value` at `path` of a nested dict, making the dicts on the way."""
  for key in path[:-1]:
    tree = tree.setdefault(key, {})
  tree[path[-1]] = value
