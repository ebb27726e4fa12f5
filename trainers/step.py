# SPDX-License-Identifier: Apache-2.0
"""The one train step: gradient, accumulation, update.

The gradient is that of the summed loss, divided once by the summed weight, so
it is the same for every number of microbatches.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models.partition import join
from ramjax.trainers.state import TrainState

Metrics = dict[str, WeightedMean]
LossFn = Callable[[Any, Any, jax.Array], tuple[WeightedMean, Metrics]]


def split_microbatches(batch: Any, num_microbatches: int) -> Any:
  """[B, ...] leaves to [num_microbatches, B / num_microbatches, ...].

  Microbatch m takes rows m, m + M, m + 2M, ...: rows of one device stay on it.
  """

  def split(x: jax.Array) -> jax.Array:
    rows = x.reshape(-1, num_microbatches, *x.shape[1:])
    return jnp.swapaxes(rows, 0, 1)

  return jax.tree.map(split, batch)


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
    key: PRNG key; each microbatch gets one of its own.
    num_microbatches: Divides B.

  Returns:
    The gradient of total / weight (weight taken as a constant, as it counts
    tokens), the loss, and the metrics, all summed over microbatches.
  """

  def total_and_parts(params: Any, part: Any, key: jax.Array) -> Any:
    loss, metrics = loss_fn(params, part, key)
    return loss.total, (loss, metrics)

  def gradient(part: Any, key: jax.Array) -> Any:
    grads, parts = jax.grad(total_and_parts, has_aux=True)(params, part, key)
    return grads, parts

  if num_microbatches == 1:
    grads, (loss, metrics) = gradient(batch, key)
  else:
    parts = split_microbatches(batch, num_microbatches)
    keys = jax.random.split(key, num_microbatches)
    first = jax.tree.map(lambda x: x[0], parts)
    zeros = jax.tree.map(
      lambda s: jnp.zeros(s.shape, s.dtype),
      jax.eval_shape(gradient, first, keys[0]),
    )

    def body(carry: Any, inputs: Any) -> tuple[Any, None]:
      return jax.tree.map(jnp.add, carry, gradient(*inputs)), None

    (grads, (loss, metrics)), _ = jax.lax.scan(body, zeros, (parts, keys))
  weight = jnp.where(loss.weight > 0, loss.weight, 1.0)
  return jax.tree.map(lambda g: g / weight, grads), loss, metrics


def make_train_step(
  loss_fn: LossFn,
  optimizer: optax.GradientTransformation,
  *,
  num_microbatches: int,
  ema_decay: float = 0.0,
) -> Callable[[TrainState, Any], tuple[TrainState, Metrics]]:
  """Builds `(state, batch) -> (state, metrics)`, jitted; the state is donated.

  Args:
    loss_fn: See `accumulate_gradients`; it is given `state.all_params`.
    optimizer: Applied to the gradient of the mean loss.
    num_microbatches: Parts the batch is worked through in.
    ema_decay: Of `state.ema`, in [0, 1); read only where the state has one.
      Early steps use the smaller (1 + step) / (10 + step), so that the random
      start is forgotten.

  Returns:
    The step. Its metrics are `loss_fn`'s, `loss`, and `grad_norm` (before
    clipping), each a `WeightedMean`.

  Raises:
    ValueError: `ema_decay` is out of range.
  """
  if not 0 <= ema_decay < 1:
    raise ValueError(f"optim.ema_decay={ema_decay} must be in [0, 1).")

  def train_step(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
    key = jax.random.fold_in(state.key, state.step)
    grads, loss, metrics = accumulate_gradients(
      lambda trained, part, key: loss_fn(
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
      decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
      ema = jax.tree.map(
        lambda old, new: decay * old + (1 - decay) * new, ema, params
      )
    metrics = dict(
      metrics, loss=loss, grad_norm=WeightedMean.of(optax.tree.norm(grads))
    )
    new_state = TrainState(
      step=state.step + 1,
      params=params,
      frozen=state.frozen,
      opt_state=opt_state,
      ema=ema,
      key=state.key,
    )
    return new_state, metrics

  return jax.jit(train_step, donate_argnums=0)
