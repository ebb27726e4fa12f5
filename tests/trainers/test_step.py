# SPDX-License-Identifier: Apache-2.0
"""The train step: exact accumulation, donation, EMA, keys, metrics."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models import sharding
from ramjax.trainers import step as step_lib
from ramjax.trainers.state import init_state


def _loss_fn(params, batch, key):
  """Squared error over the True places of a batch of {x, mask} rows."""
  del key
  errors = jnp.square(params["w"] - batch["x"])
  loss = WeightedMean.of(errors, batch["mask"])
  return loss, {"seen": WeightedMean.of(batch["x"], batch["mask"])}


def _batch():
  # Eight rows with 1, 0, 2, 0, 1, 2, 2, 1 counted values.
  mask = np.array(
    [[1, 0], [0, 0], [1, 1], [0, 0], [1, 0], [1, 1], [1, 1], [0, 1]], bool
  )
  return {"x": np.arange(16.0, dtype=np.float32).reshape(8, 2), "mask": mask}


def _state(params, optimizer, **options):
  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  placed = jax.device_put(params, sharding.batch_sharding(mesh))
  return init_state(
    placed, optimizer, mesh=mesh, seed=0, **{"with_ema": False, **options}
  )


@pytest.mark.parametrize("num_microbatches", [1, 2, 8])
def test_gradient_is_that_of_the_whole_batch_for_any_number_of_microbatches(
  num_microbatches,
):
  # d/dw mean (w - x)^2 = 2 (w - mean x): the 9 counted values are 0, 4, 5, 8,
  # 10, 11, 12, 13 and 15, with mean 78 / 9, and a mean of means is another
  # number, since the parts count unequally.
  grads, loss, metrics = step_lib.accumulate_gradients(
    _loss_fn,
    {"w": jnp.float32(1.0)},
    _batch(),
    jax.random.key(0),
    num_microbatches=num_microbatches,
  )
  np.testing.assert_allclose(grads["w"], 2 * (1 - 78 / 9), rtol=1e-6)
  assert loss.weight == 9
  np.testing.assert_allclose(metrics["seen"].value, 78 / 9, rtol=1e-6)


def test_microbatches_take_every_row_once():
  parts = step_lib.split_microbatches({"x": np.arange(12).reshape(6, 2)}, 3)
  np.testing.assert_array_equal(
    parts["x"], [[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 11]]]
  )


def test_a_batch_with_nothing_to_learn_from_moves_nothing():
  batch = dict(_batch(), mask=np.zeros((8, 2), bool))
  grads, loss, _ = step_lib.accumulate_gradients(
    _loss_fn,
    {"w": jnp.float32(1.0)},
    batch,
    jax.random.key(0),
    num_microbatches=2,
  )
  assert grads["w"] == 0 and loss.value == 0


def test_each_microbatch_and_each_step_gets_its_own_key():
  def noisy_loss(params, batch, key):
    noise = jax.random.uniform(key, (1,))
    del batch
    return WeightedMean.of(params["w"] * noise), {
      "noise_squared": WeightedMean.of(jnp.square(noise))
    }

  optimizer = optax.sgd(0.0)
  state = _state({"w": jnp.ones(1)}, optimizer)
  train_step = step_lib.make_train_step(
    noisy_loss, optimizer, num_microbatches=2
  )
  seen = []
  for _ in range(3):
    state, metrics = train_step(state, {"x": np.zeros((2, 1), np.float32)})
    mean = float(metrics["loss"].value)
    variance = float(metrics["noise_squared"].value) - mean**2
    assert variance > 1e-6, "both microbatches drew the same noise"
    seen.append(mean)
  assert len(set(seen)) == 3


def test_sgd_moves_by_the_learning_rate_times_the_gradient():
  optimizer = optax.sgd(0.5)
  state = _state({"w": jnp.ones(1)}, optimizer)
  train_step = step_lib.make_train_step(
    lambda p, b, k: _loss_fn({"w": p["w"][0]}, b, k),
    optimizer,
    num_microbatches=1,
  )
  new_state, metrics = train_step(state, _batch())
  # One step of size 1/2 on (w - mean)^2 lands on the mean.
  np.testing.assert_allclose(new_state.params["w"], [78 / 9], rtol=1e-6)
  np.testing.assert_allclose(
    metrics["grad_norm"].value, abs(2 * (1 - 78 / 9)), rtol=1e-6
  )
  assert new_state.step == 1


def test_the_old_state_is_donated():
  optimizer = optax.adam(0.1)
  state = _state({"w": jnp.ones(1)}, optimizer)
  train_step = step_lib.make_train_step(
    lambda p, b, k: _loss_fn({"w": p["w"][0]}, b, k),
    optimizer,
    num_microbatches=1,
  )
  train_step(state, _batch())
  assert state.params["w"].is_deleted()


def test_the_moving_average_has_its_closed_form():
  optimizer = optax.sgd(0.5)
  state = _state({"w": jnp.ones(1)}, optimizer, with_ema=True)
  train_step = step_lib.make_train_step(
    lambda p, b, k: _loss_fn({"w": p["w"][0]}, b, k),
    optimizer,
    num_microbatches=1,
    ema_decay=0.75,
  )
  state, _ = train_step(state, _batch())
  # At step 0 the decay is 1/10: a tenth of the first weight, 1, and nine of
  # the second, 78 / 9.
  np.testing.assert_allclose(state.ema["w"], [0.1 + 0.9 * 78 / 9], rtol=1e-6)


@pytest.mark.parametrize("ema_decay", [-0.1, 1.0])
def test_a_decay_that_does_not_average_is_refused(ema_decay):
  with pytest.raises(ValueError, match="ema_decay"):
    step_lib.make_train_step(
      _loss_fn, optax.sgd(0.1), num_microbatches=1, ema_decay=ema_decay
    )
