# SPDX-License-Identifier: Apache-2.0
"""`TrainState`: everything a step reads and writes, as one pytree."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ramjax.models import partition

# The branch of `params` that is PPO's second model.
CRITIC = "critic"
# The count in `TrainState.skips`.
SKIPPED = "skipped"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
  """Trainable state; lives on the mesh and is donated to each step.

  Attributes:
    step: int32 scalar, batches used so far.
    params: float32 parameters that are trained: a nested dict. The branch
      `CRITIC`, if there is one, is a model of its own.
    frozen: The other parameters of the model, which no step changes; {} where
      all are trained. They are not in checkpoints.
    opt_state: State of the optax optimizer.
    ema: Moving average of `params`, or None.
    reference: Parameters of the model that the policy is compared with; {}
      where there is none, or it is `moving`, or the frozen base. They are not
      in checkpoints.
    moving: A reference that follows the policy, in its shape; {} where there is
      none.
    carried: Scalars that the algorithm keeps between steps, by name.
    key: PRNG key of the run; a step folds the number of its update into it.
    skips: What the rule on skipped updates keeps, their count among it; {}
      where none is skipped.
  """

  step: jax.Array
  params: Any
  frozen: Any
  opt_state: Any
  ema: Any
  reference: Any
  moving: Any
  carried: Any
  key: jax.Array
  skips: Any = dataclasses.field(default_factory=dict)

  @property
  def num_updates(self) -> jax.Array:
    """int32 scalar, updates done so far: the steps less those skipped."""
    return self.step - self.skips[SKIPPED] if self.skips else self.step

  @property
  def all_reference(self) -> Any:
    """What the reference model is applied with; {} where there is none.

    Beside adapters, and unless another model is named, it is the frozen base:
    the same arrays, for a step cannot be given one buffer twice.
    """
    if self.moving:
      return partition.join(self.moving, self.frozen)
    if self.frozen and not self.reference:
      return partition.without_adapters(self.frozen)
    return self.reference

  @property
  def all_params(self) -> Any:
    """What the model is applied with: trained and frozen in one tree."""
    return partition.join(self.params, self.frozen)

  @property
  def eval_params(self) -> Any:
    """`all_params`, with the moving average where one is kept."""
    trained = self.params if self.ema is None else self.ema
    return partition.join(trained, self.frozen)


def init_state(
  params: Any,
  optimizer: optax.GradientTransformation,
  *,
  mesh: Mesh,
  seed: int,
  with_ema: bool,
  frozen: Any = None,
  reference: Any = None,
  moving_reference: bool = False,
  carried: Mapping[str, float] | None = None,
  skips: Mapping[str, Any] | None = None,
) -> TrainState:
  """The state before the first update; optimizer state is made on the mesh.

  Args:
    params: Parameters to train, already on the mesh.
    optimizer: What `opt_state` belongs to.
    mesh: Where everything lives.
    seed: Of the run's PRNG key.
    with_ema: Whether to keep a moving average, starting at `params`.
    frozen: The other parameters, on the mesh; None is none.
    reference: Parameters of the reference model, on the mesh; None is none.
    moving_reference: Whether a reference that starts at `params` is kept.
    carried: Initial values of the algorithm's scalars.
    skips: What the rule on skipped updates starts with; None is no rule.

  Returns:
    A `TrainState` at step 0.
  """
  policy = {name: x for name, x in params.items() if name != CRITIC}
  make_opt_state = jax.jit(
    optimizer.init, out_shardings=_opt_state_shardings(params, optimizer, mesh)
  )
  return TrainState(
    params=params,
    frozen=frozen or {},
    opt_state=make_opt_state(params),
    # A copy: the step donates both, and one buffer cannot be given away twice.
    ema=jax.tree.map(jnp.copy, params) if with_ema else None,
    reference=reference or {},
    moving=jax.tree.map(jnp.copy, policy) if moving_reference else {},
    **first_scalars(mesh, seed=seed, carried=carried or {}, skips=skips or {}),
  )


def first_scalars(
  mesh: Mesh,
  *,
  seed: int,
  carried: Mapping[str, float],
  skips: Mapping[str, Any],
) -> dict[str, Any]:
  """The small fields of the state before the first update, on every device.

  Args:
    mesh: See `init_state`, as the others.
    seed: Of the run's PRNG key.
    carried: The algorithm's scalars.
    skips: What the rule on skipped updates starts with; {} is no rule.

  Returns:
    `step`, `carried`, `key` and `skips` of a `TrainState`.
  """
  replicated = NamedSharding(mesh, PartitionSpec())
  return {
    "step": jax.device_put(jnp.int32(0), replicated),
    "carried": {
      name: jax.device_put(jnp.float32(value), replicated)
      for name, value in carried.items()
    },
    "key": jax.device_put(jax.random.key(seed), replicated),
    "skips": jax.device_put(dict(skips), replicated),
  }


def abstract_state(
  params: Any,
  optimizer: optax.GradientTransformation,
  *,
  mesh: Mesh,
  with_ema: bool,
  frozen: Any,
  reference: Any,
  moving_reference: bool,
  carried: Mapping[str, float],
  skips: Mapping[str, Any],
) -> TrainState:
  """The shapes and shardings of what `init_state` makes; needs no devices.

  Args:
    params: `jax.ShapeDtypeStruct`s with shardings, as `init_state` is given
      arrays.
    optimizer: See `init_state`, as the others.
    mesh: Its devices may be a description of some.
    with_ema: Whether a moving average is kept.
    frozen: The other parameters; {} is none.
    reference: Of the reference model; {} is none.
    moving_reference: Whether a reference that starts at `params` is kept.
    carried: The algorithm's scalars.
    skips: What the rule on skipped updates starts with; {} is no rule.

  Returns:
    A `TrainState` of `jax.ShapeDtypeStruct`.
  """
  replicated = NamedSharding(mesh, PartitionSpec())

  def placed(shape: Any, sharding: Any = replicated) -> Any:
    return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding)

  scalar = jax.ShapeDtypeStruct((), jnp.float32)
  policy = {name: x for name, x in params.items() if name != CRITIC}
  return TrainState(
    step=placed(jax.ShapeDtypeStruct((), jnp.int32)),
    params=params,
    frozen=frozen,
    opt_state=jax.tree.map(
      placed,
      jax.eval_shape(optimizer.init, params),
      _opt_state_shardings(params, optimizer, mesh),
    ),
    ema=params if with_ema else None,
    reference=reference,
    moving=policy if moving_reference else {},
    carried={name: placed(scalar) for name in carried},
    key=placed(jax.eval_shape(lambda: jax.random.key(0))),
    skips=jax.tree.map(placed, dict(skips)),
  )


def _opt_state_shardings(
  params: Any, optimizer: optax.GradientTransformation, mesh: Mesh
) -> Any:
  """Moments lie as their parameter does; everything else is replicated.

  A moment is a leaf under the same dict keys as a parameter, and of its shape.
  A statistic of another shape (Adafactor's rows and columns) is small.
  """
  replicated = NamedSharding(mesh, PartitionSpec())
  placed = {
    _dict_keys(path): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
  }

  def of(path: Any, leaf: jax.ShapeDtypeStruct) -> Any:
    keys = _dict_keys(path)
    # Muon's state puts dict keys of its own in front of the parameter's.
    for start in range(len(keys)):
      param = placed.get(keys[start:])
      if param is not None and param.shape == leaf.shape:
        return param.sharding
    return replicated

  shapes = jax.eval_shape(optimizer.init, params)
  return jax.tree_util.tree_map_with_path(of, shapes)


def _dict_keys(path: Any) -> tuple[str, ...]:
  """The dict keys in a path; optax wraps the tree of parameters in tuples."""
  return tuple(
    entry.key for entry in path if isinstance(entry, jax.tree_util.DictKey)
  )
