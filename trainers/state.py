# SPDX-License-Identifier: Apache-2.0
"""`TrainState`: everything a step reads and writes, as one pytree."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
  """Trainable state; lives on the mesh and is donated to each step.

  Attributes:
    step: int32 scalar, updates done so far.
    params: float32 parameters.
    opt_state: State of the optax optimizer.
    ema: Moving average of `params`, or None.
    key: PRNG key of the run; a step folds its number into it.
  """

  step: jax.Array
  params: Any
  opt_state: Any
  ema: Any
  key: jax.Array


def init_state(
  params: Any,
  optimizer: optax.GradientTransformation,
  *,
  mesh: Mesh,
  seed: int,
  with_ema: bool,
) -> TrainState:
  """The state before the first update; optimizer state is made on the mesh.

  Args:
    params: Parameters, already on the mesh.
    optimizer: What `opt_state` belongs to.
    mesh: Where everything lives.
    seed: Of the run's PRNG key.
    with_ema: Whether to keep a moving average, starting at `params`.

  Returns:
    A `TrainState` at step 0.
  """
  replicated = NamedSharding(mesh, PartitionSpec())
  make_opt_state = jax.jit(
    optimizer.init, out_shardings=_opt_state_shardings(params, optimizer, mesh)
  )
  return TrainState(
    step=jax.device_put(jnp.int32(0), replicated),
    params=params,
    opt_state=make_opt_state(params),
    # A copy: the step donates both, and one buffer cannot be given away twice.
    ema=jax.tree.map(jnp.copy, params) if with_ema else None,
    key=jax.device_put(jax.random.key(seed), replicated),
  )


def _opt_state_shardings(
  params: Any, optimizer: optax.GradientTransformation, mesh: Mesh
) -> Any:
  """Moments lie as their parameter does; everything else is replicated.

  A statistic of another shape than its parameter (Adafactor's rows and
  columns) is small and replicated.
  """
  replicated = NamedSharding(mesh, PartitionSpec())
  shapes = jax.eval_shape(optimizer.init, params)
  return optax.tree_utils.tree_map_params(
    optimizer,
    lambda leaf, param: (
      param.sharding if leaf.shape == param.shape else replicated
    ),
    shapes,
    params,
    transform_non_params=lambda _: replicated,
  )
