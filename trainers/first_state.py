# SPDX-License-Identifier: Apache-2.0
"""The state that a run begins with: read, or described where a checkpoint has it.

A run that goes on takes its weights from a checkpoint. To read those of `init`
first would cost it what a start costs (140 GB, for 70B in bfloat16) and the
room of a second state; shapes and places are all that a restore asks for.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import optax
from jax.sharding import Mesh

from ramjax.models import llama
from ramjax.models.config import LlamaConfig
from ramjax.trainers import (
  from_config,
  initial_weights,
  references,
  starting_model,
)
from ramjax.trainers.state import (
  TrainState,
  abstract_state,
  first_scalars,
  init_state,
)


@dataclasses.dataclass(frozen=True)
class FirstState:
  """What the state before the first update is made of.

  Attributes:
    config: Of the run.
    model_config: Of the policy.
    optimizer: What `opt_state` belongs to.
    mesh: Where everything lives.
    start: Which weights the policy begins with.
    reference: What the policy is compared with, in the step; None without one.
    carried: The algorithm's scalars.
    add_params: See `Algorithm`.
  """

  config: ml_collections.ConfigDict
  model_config: LlamaConfig
  optimizer: optax.GradientTransformation
  mesh: Mesh
  start: starting_model.Start
  reference: references.Reference | None
  carried: Any
  add_params: Callable[..., Any] | None

  def read(self) -> TrainState:
    """The state on the mesh; all processes call it."""
    trained, frozen = initial_weights.load(
      self.config, self.model_config, self.mesh, self.start
    )
    reference_params = None
    if self.reference is not None:
      reference_params = references.load(
        self.reference, trained, frozen, self.mesh
      )
    if self.add_params is not None:
      trained = self.add_params(
        self.config, self.model_config, trained, frozen, self.mesh
      )
    return init_state(
      trained,
      self.optimizer,
      mesh=self.mesh,
      seed=self.config.seed,
      with_ema=self.config.optim.ema_decay > 0,
      frozen=frozen,
      reference=reference_params,
      moving_reference=self._moves(),
      carried=self.carried,
      skips=self._skips(),
    )

  def to_restore(self) -> TrainState:
    """What `Checkpoints.restore_latest` needs where there is a checkpoint.

    Returns:
      Shapes and places of what checkpoints hold, and the arrays of a reference
      in another folder. Or the state that `read` gives: with a frozen base or a
      reference that is the run's start, which are made of the first weights and
      in no checkpoint; and with an algorithm's own model, whose shape only its
      `add_params` knows.
    """
    from_start = self.reference is not None and self.reference.is_start
    if (
      self.model_config.lora is not None
      or self.add_params is not None
      or (from_start and not self._moves())
    ):
      return self.read()
    reference_params: Any = {}
    if self.reference is not None:
      reference_params = references.load(self.reference, {}, {}, self.mesh)
    described = abstract_state(
      placed_params(self.model_config, self.mesh),
      self.optimizer,
      mesh=self.mesh,
      with_ema=self.config.optim.ema_decay > 0,
      frozen={},
      reference=reference_params,
      moving_reference=self._moves(),
      carried=self.carried,
      skips=self._skips(),
    )
    scalars = first_scalars(
      self.mesh,
      seed=self.config.seed,
      carried=self.carried,
      skips=self._skips(),
    )
    return dataclasses.replace(described, **scalars)

  def _moves(self) -> bool:
    return self.reference is not None and self.reference.sync is not None

  def _skips(self) -> dict[str, Any]:
    skip = from_config.make_skip_rule(self.config)
    return {} if skip is None else skip.initial()


def placed_params(config: LlamaConfig, mesh: Mesh) -> Any:
  """Shape, dtype and place of every parameter of a model."""
  shapes, _ = llama.abstract_params(config)
  return jax.tree.map(
    lambda x, sharding: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=sharding
    ),
    shapes,
    llama.param_shardings(config, mesh),
  )
