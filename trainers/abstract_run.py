# SPDX-License-Identifier: Apache-2.0
"""The train step of a run as shapes alone: what a compiler needs to be asked.

Built from the same parts as a run: model, optimizer, objective, step. Neither
data nor weights are read, and the mesh may be of devices that are not there.
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_collections
from jax.sharding import Mesh

from ramjax.models import partition, sharding
from ramjax.models.config import LlamaConfig
from ramjax.trainers import (
  abstract_batch,
  critic,
  from_config,
  initial_weights,
  references,
)
from ramjax.trainers import step as step_lib
from ramjax.trainers.algorithm import Algorithm
from ramjax.trainers.first_state import placed_params
from ramjax.trainers.state import TrainState, abstract_state
from ramjax.trainers.step import Objective

# Groups of a config that name models on disk.
_ROLES = ("init", "reference", "critic", "reward_model")
# No run is there: nothing is continued.
_NO_WORKDIR = pathlib.Path("no-such-run")


@dataclasses.dataclass(frozen=True)
class AbstractRun:
  """One update, as shapes.

  Attributes:
    config: Of the run, less the models that are not at hand.
    missing: Those, by the field that names them.
    model_config: Of the policy.
    reference_config: Of a reference whose log-probabilities each step computes;
      None without one.
    critic_config: Of PPO's critic; None without one.
    mesh: Of the updates.
    state: `TrainState` of `jax.ShapeDtypeStruct` with shardings.
    batch: The global batch, the same.
    train_step: `(state, batch) -> (state, metrics)`, jitted.
  """

  config: ml_collections.ConfigDict
  missing: Sequence[str]
  model_config: LlamaConfig
  reference_config: LlamaConfig | None
  critic_config: LlamaConfig | None
  mesh: Mesh
  state: TrainState
  batch: Any
  train_step: Callable[..., Any]

  def trace(self) -> Any:
    """The traced step: `.lower(lowering_platforms=...)` comes next."""
    step: Any = self.train_step
    with jax.set_mesh(self.mesh):
      return step.trace(self.state, self.batch)


def describe_run(
  config: ml_collections.ConfigDict, devices: Sequence[Any]
) -> AbstractRun:
  """The update of a run on some devices.

  A model that `init`, `reference` or `critic` names and that is not on this
  machine is taken to have the shape of `model.preset`.

  Args:
    config: Of a run that is one fit, not of rounds.
    devices: All devices of the job.

  Raises:
    ValueError: What the run itself would refuse.
  """
  config, missing = _without_missing_models(config)
  model_config = initial_weights.make_model_config(
    config, platform=devices[0].platform, only_shape=True
  )
  mesh = from_config.make_mesh(config, model_config, devices)
  algorithm = _algorithm(config)
  reference = references.choose(config, model_config)
  objective = algorithm.make_objective(
    model_config,
    reference_config=None if reference is None else reference.config,
    **config.loss.to_dict(),
  )
  if objective.reference_config is None:
    reference = None
  critic_config = None
  if config.algorithm == "ppo":
    critic_config = critic.make_config(config, model_config, _NO_WORKDIR)
  optimizer = from_config.make_optimizer(
    config, from_config.make_learning_rate(config)
  )
  cached = reference is not None and config.reference.cache != ""
  skip = from_config.make_skip_rule(config)
  return AbstractRun(
    config=config,
    missing=missing,
    model_config=model_config,
    reference_config=_in_step(config, reference, cached),
    critic_config=critic_config,
    mesh=mesh,
    state=_state(
      config,
      model_config,
      critic_config,
      None if cached else reference,
      objective,
      optimizer,
      mesh,
      skips={} if skip is None else skip.initial(),
    ),
    batch=_placed_batch(config, mesh),
    train_step=step_lib.make_train_step(
      objective,
      optimizer,
      num_microbatches=config.data.num_microbatches,
      ema_decay=config.optim.ema_decay,
      sync=None if reference is None else reference.sync,
      skip=skip,
    ),
  )


def _in_step(
  config: ml_collections.ConfigDict,
  reference: references.Reference | None,
  cached: bool,
) -> LlamaConfig | None:
  """The reference that a step runs; PPO's is asked when answers are sampled."""
  if reference is None or cached or config.algorithm == "ppo":
    return None
  return reference.config


def _algorithm(config: ml_collections.ConfigDict) -> Algorithm:
  module = importlib.import_module(f"ramjax.trainers.{config.algorithm}")
  if config.algorithm == "ppo":
    return module.make_algorithm(config, _NO_WORKDIR)
  return module.ALGORITHM


def _without_missing_models(
  config: ml_collections.ConfigDict,
) -> tuple[ml_collections.ConfigDict, list[str]]:
  config = config.copy_and_resolve_references()
  missing = []
  for role in _ROLES:
    for field in ("from_hf", "from_run"):
      folder = config.get(role, {}).get(field, "")
      if folder and not pathlib.Path(folder).expanduser().is_dir():
        missing.append(f"{role}.{field}={folder!r}")
        config[role][field] = ""
        config[role].step, config[role].average = None, False
  if any(name.startswith("init.") for name in missing) and (
    not config.model.preset
  ):
    raise ValueError(
      f"{missing[0]} is not a folder here, and model.preset='' does not say what"
      " shape it has: --config.model.preset=llama3_1_8b, for one."
    )
  return config, missing


def _state(
  config: ml_collections.ConfigDict,
  model_config: LlamaConfig,
  critic_config: LlamaConfig | None,
  reference: references.Reference | None,
  objective: Objective,
  optimizer: Any,
  mesh: Mesh,
  *,
  skips: Any,
) -> TrainState:
  trained, frozen = partition.split(
    placed_params(model_config, mesh), model_config
  )
  frozen = _cast(frozen, model_config.dtype)
  if critic_config is not None:
    own = placed_params(critic_config, mesh)
    if critic_config.lora is not None:
      own, _ = partition.split(own, critic_config)
    trained = {**trained, critic.CRITIC: own}
  reference_params: Any = {}
  moves = reference is not None and reference.sync is not None
  if reference is not None and not moves:
    if reference.start is not None or not frozen:
      placed = placed_params(reference.config, mesh)
      reference_params = _cast(placed, reference.config.dtype)
  return abstract_state(
    trained,
    optimizer,
    mesh=mesh,
    with_ema=config.optim.ema_decay > 0,
    frozen=frozen,
    reference=reference_params,
    moving_reference=moves,
    carried=objective.carried,
    skips=skips,
  )


def _cast(tree: Any, dtype: str) -> Any:
  """Float32 leaves in `dtype`; the parts of a quantised layer as they are."""

  def of(path: Any, x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    if any(entry.key == "nf4" for entry in path):
      return x
    return jax.ShapeDtypeStruct(x.shape, dtype, sharding=x.sharding)

  return jax.tree_util.tree_map_with_path(of, tree)


def _placed_batch(config: ml_collections.ConfigDict, mesh: Mesh) -> Any:
  rows = sharding.batch_sharding(mesh)
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows),
    abstract_batch.abstract_batch(config),
  )
