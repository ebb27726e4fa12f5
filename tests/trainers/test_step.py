# SPDX-License-Identifier: Apache-2.0
"""The train step: accumulation, donation, averages, references, metrics."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models import sharding
from ramjax.trainers import step as step_lib
from ramjax.trainers.state import init_state
from ramjax.trainers.step import Objective, ReferenceSync


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


def test_microbatches_of_a_step_share_a_key_and_steps_do_not():
  def noisy_loss(params, batch, key):
    noise = jax.random.uniform(key, (1,))
    del batch
    return WeightedMean.of(params["w"] * noise), {
      "noise_squared": WeightedMean.of(jnp.square(noise))
    }

  optimizer = optax.sgd(0.0)
  state = _state({"w": jnp.ones(1)}, optimizer)
  train_step = step_lib.make_train_step(
    Objective(noisy_loss), optimizer, num_microbatches=2
  )
  seen = []
  for _ in range(3):
    state, metrics = train_step(state, {"x": np.zeros((2, 1), np.float32)})
    mean = float(metrics["loss"].value)
    variance = float(metrics["noise_squared"].value) - mean**2
    assert abs(variance) < 1e-6, "the microbatches drew different noise"
    seen.append(mean)
  assert len(set(seen)) == 3


def test_sgd_moves_by_the_learning_rate_times_the_gradient():
  optimizer = optax.sgd(0.5)
  state = _state({"w": jnp.ones(1)}, optimizer)
  train_step = step_lib.make_train_step(
    Objective(lambda p, b, k: _loss_fn({"w": p["w"][0]}, b, k)),
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
    Objective(lambda p, b, k: _loss_fn({"w": p["w"][0]}, b, k)),
    optimizer,
    num_microbatches=1,
  )
  train_step(state, _batch())
  assert state.params["w"].is_deleted()


def test_the_moving_average_has_its_closed_form():
  optimizer = optax.sgd(0.5)
  state = _state({"w": jnp.ones(1)}, optimizer, with_ema=True)
  train_step = step_lib.make_train_step(
    Objective(lambda p, b, k: _loss_fn({"w": p["w"][0]}, b, k)),
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
      Objective(_loss_fn),
      optax.sgd(0.1),
      num_microbatches=1,
      ema_decay=ema_decay,
    )


def test_mapping_in_microbatches_keeps_the_order_of_the_rows():
  batch = {"x": np.arange(12.0, dtype=np.float32).reshape(6, 2)}
  for num_microbatches in (1, 2, 3):
    result = jax.jit(
      lambda b, m=num_microbatches: step_lib.map_microbatches(
        lambda part: {"y": part["x"] * 10}, b, m
      )
    )(batch)
    np.testing.assert_array_equal(result["y"], batch["x"] * 10)


def test_what_is_prepared_reaches_the_loss_and_what_is_carried_the_next_step():
  # `prepare` adds the batch's sum so far: 3, then 6, as a constant.
  def prepare(params, reference, carried, batch, key, num_microbatches):
    del params, reference, key
    assert num_microbatches == 2
    total = carried["total"] + jnp.sum(batch["x"])
    return {**batch, "c": jnp.full(2, total)}, {"total": total}

  def loss_fn(params, batch, key):
    del key
    return WeightedMean.of(params["w"] * batch["c"]), {}

  optimizer = optax.sgd(1.0)
  state = _state({"w": jnp.ones(1)}, optimizer, carried={"total": 0.0})
  train_step = step_lib.make_train_step(
    Objective(loss_fn, prepare=prepare), optimizer, num_microbatches=2
  )
  batch = {"x": np.array([1.0, 2.0], np.float32)}
  for expected_weight, expected_total in ((1 - 3, 3), (1 - 3 - 6, 6)):
    state, _ = train_step(state, batch)
    np.testing.assert_allclose(state.params["w"], [expected_weight])
    assert state.carried["total"] == expected_total


def test_the_share_of_changed_weights_is_counted_in_bfloat16():
  # Near 1 bfloat16 resolves 2^-7: 0.01 is a mark, 0.001 is none.
  slopes = np.array([0.01, 0.001, 0.0, 0.01], np.float32)

  def loss_fn(params, batch, key):
    del key
    slope = jnp.sum(params["w"] * slopes)
    return WeightedMean.of(slope * jnp.ones(1), jnp.ones(1, bool)), {}

  optimizer = optax.sgd(1.0)
  state = _state({"w": jnp.ones(4)}, optimizer)
  train_step = step_lib.make_train_step(
    Objective(loss_fn), optimizer, num_microbatches=1
  )
  _, metrics = train_step(state, {"x": np.zeros((1, 1), np.float32)})
  np.testing.assert_allclose(metrics["weights_changed"].value, 0.5)


def test_a_reference_moves_every_second_update_by_its_share_of_the_way():
  # SGD of rate 1 on a slope of 1: w is 10, 9, 8, ... TR-DPO with a rate of
  # 0.25: r = 10 until update 2, then 0.75 * 10 + 0.25 * 8 = 9.5; after update 4
  # it is 0.75 * 9.5 + 0.25 * 6 = 8.625.
  def loss_fn(params, batch, key):
    del batch, key
    return WeightedMean.of(params["w"]), {}

  optimizer = optax.sgd(1.0)
  state = _state({"w": jnp.full(1, 10.0)}, optimizer, moving_reference=True)
  train_step = step_lib.make_train_step(
    Objective(loss_fn),
    optimizer,
    num_microbatches=1,
    sync=ReferenceSync(every=2, rate=0.25),
  )
  for expected in (10.0, 9.5, 9.5, 8.625):
    state, _ = train_step(state, {"x": np.zeros((1, 1), np.float32)})
    np.testing.assert_allclose(state.moving["w"], [expected])
    assert state.all_reference["w"] is state.moving["w"]


def test_a_model_beside_the_policy_is_no_part_of_the_reference():
  sync = ReferenceSync(every=1, rate=0.5)
  params = {"w": jnp.full(2, 3.0), "critic": {"w": jnp.zeros(1)}}
  moved = sync.moved({"w": jnp.ones(2)}, params, jnp.int32(1))
  assert list(moved) == ["w"]
  np.testing.assert_array_equal(moved["w"], [2.0, 2.0])


def test_a_rate_of_one_replaces_the_reference():
  moved = ReferenceSync(every=1, rate=1.0).moved(
    {"w": jnp.ones(2)}, {"w": jnp.full(2, 3.0)}, jnp.int32(1)
  )
  np.testing.assert_array_equal(moved["w"], [3.0, 3.0])


@pytest.mark.parametrize("every,rate", [(0, 0.5), (1, 0.0), (1, 1.5)])
def test_a_reference_that_cannot_move_so_is_refused(every, rate):
  with pytest.raises(ValueError, match=r"reference\.sync_every="):
    ReferenceSync(every=every, rate=rate)
