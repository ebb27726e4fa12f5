# SPDX-License-Identifier: Apache-2.0
"""The one train step: gradient, accumulation, update.

The gradient is that of the summed loss, divided once by the summed weight, so
it is the same for every number of microbatches.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models.partition import join
from ramjax.trainers.skipped_updates import SkipRule
from ramjax.trainers.state import TrainState

Metrics = dict[str, WeightedMean]
LossFn = Callable[[Any, Any, jax.Array], tuple[WeightedMean, Metrics]]

# Metrics of the first step that are checked and not logged.
GATE_PREFIX = "gate/"


@dataclasses.dataclass(frozen=True)
class Objective:
  """What a step minimises.

  Attributes:
    loss_fn: `(params, batch, key) -> (WeightedMean, metrics)`. The key is the
      same for every microbatch: what is random folds in a row's number, so
      that it does not depend on how the batch is cut.
    prepare: `(params, reference, carried, batch, key, num_microbatches) ->
      (batch, carried)`, or None: adds to the whole batch what the loss needs
      and no gradient flows through, such as a reference's log-probabilities.
    carried: Initial values of scalars that `prepare` keeps between steps.
    reference_config: Of the reference model's shape; None where no term of the
      loss has one.
    evaluate: As `loss_fn`, and with arrays [n] by name, one value an example,
      as a third result; None where there is only the loss.
  """

  loss_fn: LossFn
  prepare: Callable[..., tuple[Any, Any]] | None = None
  carried: Mapping[str, float] = dataclasses.field(default_factory=dict)
  reference_config: Any = None
  evaluate: Callable[[Any, Any, jax.Array], Any] | None = None


@dataclasses.dataclass(frozen=True)
class ReferenceSync:
  """A reference that follows the policy (TR-DPO, arXiv 2404.09656).

  Attributes:
    every: Updates between two moves, at least 1.
    rate: Share of the policy in the new reference, in (0, 1]; 1 replaces it.
  """

  every: int
  rate: float

  def __post_init__(self):
    if self.every < 1 or not 0 < self.rate <= 1:
      raise ValueError(
        f"reference.sync_every={self.every} must be at least 1 and"
        f" reference.sync_rate={self.rate} in (0, 1]."
      )

  def moved(self, reference: Any, params: Any, step: jax.Array) -> Any:
    """The reference after update number `step`, counted from 1.

    What `params` has beside the reference's branches is another model.
    """
    policy = {name: params[name] for name in reference}

    def move() -> Any:
      return jax.tree.map(
        lambda old, new: (1 - self.rate) * old + self.rate * new,
        reference,
        policy,
      )

    return jax.lax.cond(step % self.every == 0, move, lambda: reference)


def split_microbatches(batch: Any, num_microbatches: int) -> Any:
  """[B, ...] leaves to [num_microbatches, B / num_microbatches, ...].

  Microbatch m takes rows m, m + M, m + 2M, ...: rows of one device stay on it.
  """

  def split(x: jax.Array) -> jax.Array:
    rows = x.reshape(-1, num_microbatches, *x.shape[1:])
    return jnp.swapaxes(rows, 0, 1)

  return jax.tree.map(split, batch)


def map_microbatches(
  function: Callable[[Any], Any], batch: Any, num_microbatches: int
) -> Any:
  """`function` of a batch, computed in microbatches, in the batch's order.

  Args:
    function: From a pytree of [b, ...] arrays to another.
    batch: Pytree of [B, ...] arrays.
    num_microbatches: Divides B.

  Returns:
    Pytree of [B, ...] arrays.
  """
  if num_microbatches == 1:
    return function(batch)
  results = jax.lax.map(function, split_microbatches(batch, num_microbatches))
  return jax.tree.map(
    lambda x: jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]), results
  )


def accumulate_gradients(
  loss_fn: LossFn,
  params: Any,
  batch: Any,
  key: jax.Array,
  *,
  num_microbatches: int,
) -> tuple[Any, WeightedMean, Metrics]:
  """Gradient of the mean loss over the whole batch, in microbatches.

  Args:
    loss_fn: `(params, batch, key) -> (WeightedMean, metrics)`.
    params: What to differentiate.
    batch: Pytree of [B, ...] arrays.
    key: PRNG key, given to every microbatch.
    num_microbatches: Divides B.

  Returns:
    The gradient of total / weight (weight taken as a constant, as it counts
    tokens), the loss, and the metrics, all summed over microbatches.
  """

  def total_and_parts(params: Any, part: Any, key: jax.Array) -> Any:
    loss, metrics = loss_fn(params, part, key)
    return loss.total, (loss, metrics)

  def gradient(part: Any) -> Any:
    grads, parts = jax.grad(total_and_parts, has_aux=True)(params, part, key)
    return grads, parts

  if num_microbatches == 1:
    grads, (loss, metrics) = gradient(batch)
  else:
    parts = split_microbatches(batch, num_microbatches)
    first = jax.tree.map(lambda x: x[0], parts)
    zeros = jax.tree.map(
      lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(gradient, first)
    )

    def body(carry: Any, part: Any) -> tuple[Any, None]:
      return jax.tree.map(jnp.add, carry, gradient(part)), None

    (grads, (loss, metrics)), _ = jax.lax.scan(body, zeros, parts)
  weight = jnp.where(loss.weight > 0, loss.weight, 1.0)
  return jax.tree.map(lambda g: g / weight, grads), loss, metrics


def make_train_step(
  objective: Objective,
  optimizer: optax.GradientTransformation,
  *,
  num_microbatches: int,
  ema_decay: float = 0.0,
  sync: ReferenceSync | None = None,
  skip: SkipRule | None = None,
) -> Callable[[TrainState, Any], tuple[TrainState, Metrics]]:
  """Builds `(state, batch) -> (state, metrics)`, jitted; the state is donated.

  Args:
    objective: Its functions are given `state.all_params`.
    optimizer: Applied to the gradient of the mean loss.
    num_microbatches: Parts the batch is worked through in.
    ema_decay: Of `state.ema`, in [0, 1); read only where the state has one.
      Early updates use the smaller (1 + n) / (10 + n), so that the random
      start is forgotten.
    sync: How `state.moving` follows the policy; None where it does not.
    skip: Which updates are left out; None where the state has no `skips`.

  Returns:
    The step. Its metrics are the loss function's, `loss`, `grad_norm` (before
    clipping) and `weights_changed` (share of the trained weights that are
    another number in bfloat16 than before), each a `WeightedMean`; and with
    `skip` how many updates were left out.

  Raises:
    ValueError: `ema_decay` is out of range.
  """
  if not 0 <= ema_decay < 1:
    raise ValueError(f"optim.ema_decay={ema_decay} must be in [0, 1).")

  def train_step(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
    number = state.num_updates
    key = jax.random.fold_in(state.key, number)
    carried = state.carried
    if objective.prepare is not None:
      batch, carried = objective.prepare(
        state.all_params,
        state.all_reference,
        carried,
        batch,
        key,
        num_microbatches,
      )
    grads, loss, metrics = accumulate_gradients(
      lambda trained, part, key: objective.loss_fn(
        join(trained, state.frozen), part, key
      ),
      state.params,
      batch,
      key,
      num_microbatches=num_microbatches,
    )
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema = state.ema
    if ema is not None:
      decay = jnp.minimum(ema_decay, (1.0 + number) / (10.0 + number))
      ema = jax.tree.map(
        lambda old, new: decay * old + (1 - decay) * new, ema, params
      )
    moving = state.moving
    if sync is not None:
      moving = sync.moved(moving, params, number + 1)
    metrics = dict(
      metrics,
      loss=loss,
      grad_norm=WeightedMean.of(optax.tree.norm(grads)),
      weights_changed=_changed_in_bfloat16(state.params, params),
    )
    new_state = dataclasses.replace(
      state,
      step=state.step + 1,
      params=params,
      opt_state=opt_state,
      ema=ema,
      moving=moving,
      carried=carried,
    )
    if skip is not None:
      new_state, counts = skip.applied(
        state, new_state, loss.value, metrics["grad_norm"].value
      )
      metrics |= counts
    return new_state, metrics

  return jax.jit(train_step, donate_argnums=0)


def _changed_in_bfloat16(old: Any, new: Any) -> WeightedMean:
  """Share of weights that an update leaves a mark on in bfloat16.

  Near 0 where the learning rate is below what 8 bits of a weight resolve: a
  copy of the weights in bfloat16, as a sampler holds, then stays what it was.
  """

  def is_other(before: jax.Array, after: jax.Array) -> jax.Array:
    return before.astype(jnp.bfloat16) != after.astype(jnp.bfloat16)

  changed = jax.tree.leaves(jax.tree.map(is_other, old, new))
  return WeightedMean(
    sum((jnp.sum(x, dtype=jnp.float32) for x in changed), jnp.float32(0)),
    jnp.float32(sum(x.size for x in changed)),
  )
