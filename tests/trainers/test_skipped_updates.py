# SPDX-License-Identifier: Apache-2.0
"""What is no number, or a spike, leaves a state as it was, to the bit."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models import sharding
from ramjax.trainers import optimizers
from ramjax.trainers import step as step_lib
from ramjax.trainers.skipped_updates import SkipRule
from ramjax.trainers.state import CRITIC, init_state
from ramjax.trainers.step import Objective, ReferenceSync

_NO_NUMBERS = SkipRule(max_in_a_row=3, spike_sigma=0.0, window=128)
_SPIKES = SkipRule(max_in_a_row=3, spike_sigma=6.0, window=4)


def _prepare(params, reference, carried, batch, key, num_microbatches):
  """Notes the sum of the batch, and adds noise by the key of the update."""
  del params, reference, num_microbatches
  rows = batch["x"] + 0.01 * jax.random.normal(key, batch["x"].shape)
  return {"x": rows}, {"seen": carried["seen"] + jnp.sum(batch["x"])}


def _loss_fn(params, batch, key):
  del key
  errors = jnp.square(params["kernel"] - batch["x"])
  if CRITIC in params:
    errors += jnp.square(params[CRITIC]["kernel"] * batch["x"])
  return WeightedMean.of(errors), {}


_ADAMW = optax.chain(
  optax.clip_by_global_norm(1.0),
  optax.adamw(optax.linear_schedule(0.1, 0.0, 20)),
)


@functools.cache
def _step(optimizer, rule, num_microbatches, every):
  """One program for all runs that can share it."""
  return step_lib.make_train_step(
    Objective(_loss_fn, prepare=_prepare),
    optimizer,
    num_microbatches=num_microbatches,
    ema_decay=0.9,
    sync=ReferenceSync(every=every, rate=0.5),
    skip=rule,
  )


def _run(
  batches, *, rule, num_microbatches=1, critic=False, optimizer=_ADAMW, every=2
):
  """Trains on rows of three numbers; all states, and the metrics of each."""
  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  params: dict[str, Any] = {"kernel": jnp.ones((1, 3))}
  if critic:
    params[CRITIC] = {"kernel": jnp.full((1, 3), 0.5)}
  state = init_state(
    jax.device_put(params, sharding.batch_sharding(mesh)),
    optimizer,
    mesh=mesh,
    seed=0,
    with_ema=True,
    moving_reference=True,
    carried={"seen": 0.0},
    skips=None if rule is None else rule.initial(),
  )
  train_step = _step(optimizer, rule, num_microbatches, every)
  states, told = [], []
  for batch in batches:
    state, metrics = train_step(state, {"x": jnp.asarray(batch)})
    states.append(_kept(state))
    told.append({name: float(mean.value) for name, mean in metrics.items()})
  return states, told


def _kept(state):
  """All of a state but the step number, on the host."""
  key = jax.random.key_data(state.key)
  return jax.device_get(
    {
      "params": state.params,
      "opt_state": state.opt_state,
      "ema": state.ema,
      "moving": state.moving,
      "carried": state.carried,
      "key": key,
      "step": state.step,
    }
  )


def _assert_same(one, other, *, but_step=False):
  if but_step:
    one, other = (
      {k: v for k, v in s.items() if k != "step"} for s in (one, other)
    )
  jax.tree.map(np.testing.assert_array_equal, one, other)


def _good(num, seed=0):
  rng = np.random.default_rng(seed)
  return list(rng.normal(size=(num, 2, 3)).astype(np.float32))


def _bad(value):
  batch = np.ones((2, 3), np.float32)
  batch[1, 2] = value
  return batch


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
@pytest.mark.parametrize("num_microbatches", [1, 2])
def test_what_is_no_number_changes_nothing_but_the_step(
  value, num_microbatches
):
  # 1e30 squared is no float32: the loss is infinite, and so is the gradient.
  states, told = _run(
    [*_good(2), _bad(value)],
    rule=_NO_NUMBERS,
    num_microbatches=num_microbatches,
    critic=True,
  )
  _assert_same(states[2], states[1], but_step=True)
  assert [int(state["step"]) for state in states] == [1, 2, 3]
  assert [line["skipped"] for line in told] == [0, 0, 1]
  assert not math.isfinite(told[2]["loss"])


def test_the_count_of_the_optimizer_stands_still_and_so_does_the_rate():
  states, _ = _run([*_good(1), _bad(math.nan), *_good(1)], rule=_NO_NUMBERS)
  counts = [int(state["opt_state"][1][0].count) for state in states]
  assert counts == [1, 1, 2]


@pytest.mark.parametrize("rule", [_NO_NUMBERS, _SPIKES])
@pytest.mark.parametrize("name", ["adamw", "lion", "adafactor"])
def test_the_run_is_the_one_that_never_saw_the_batch(rule, name):
  """Noise, average, moving reference and schedule count updates, not steps."""
  good = _good(8)
  bad = _bad(math.nan) if rule is _NO_NUMBERS else 100 * np.ones_like(good[0])
  schedule = optax.linear_schedule(0.05, 0.0, 20)
  optimizer = optimizers.make_optimizer(
    name, schedule, b1=0.9, b2=0.99, eps=1e-8, weight_decay=0.1, clip_norm=1.0
  )
  with_it, told = _run(
    [*good[:5], bad, *good[5:]], rule=rule, optimizer=optimizer
  )
  without, _ = _run(good, rule=rule, optimizer=optimizer)
  assert told[5]["skipped"] == 1 and told[-1]["skipped"] == 1
  _assert_same(with_it[-1], without[-1], but_step=True)
  assert with_it[-1]["step"] == 9 and without[-1]["step"] == 8


def test_without_a_rule_the_same_batch_reaches_the_weights():
  states, told = _run([_bad(math.nan)], rule=None)
  assert np.isnan(states[0]["params"]["kernel"]).any()
  assert "skipped" not in told[0]


def test_a_rule_that_skips_nothing_trains_the_same():
  ruled, _ = _run(_good(4), rule=_SPIKES)
  free, _ = _run(_good(4), rule=None)
  for one, other in zip(ruled, free, strict=True):
    jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), one, other
    )


def test_a_spike_is_taken_where_spikes_are_not_looked_for():
  good = _good(6)
  states, told = _run([*good, 100 * np.ones_like(good[0])], rule=_NO_NUMBERS)
  assert told[-1]["skipped"] == 0
  assert (
    states[-1]["params"]["kernel"] != states[-2]["params"]["kernel"]
  ).all()


def test_a_spike_is_taken_until_the_window_is_full():
  good = _good(8)
  spike = 100 * np.ones_like(good[0])
  for before, skipped in ((3, 0), (4, 1)):
    _, told = _run([*good[:before], spike], rule=_SPIKES)
    assert told[-1]["skipped"] == skipped


def _judged(rule, losses, norms):
  """Which of the updates are taken, judged one after the other."""
  kept, taken, judge = rule.initial(), [], jax.jit(rule.judge)
  for loss, norm in zip(losses, norms, strict=True):
    ok, kept = judge(kept, jnp.float32(loss), jnp.float32(norm))
    taken.append(bool(ok))
  return taken, kept


def test_the_bound_is_the_mean_and_so_many_deviations():
  # 1, 3, 1, 3: mean 2, deviation 1, and so 2 + 6 = 8 is the bound.
  rule = SkipRule(max_in_a_row=1, spike_sigma=6.0, window=4)
  usual, flat = [1.0, 3.0, 1.0, 3.0], [1.0] * 4
  assert _judged(rule, [*usual, 8.0], [*flat, 1.0])[0][-1]
  assert not _judged(rule, [*usual, 8.001], [*flat, 1.0])[0][-1]
  # The norm alone is enough, and a fall is no spike.
  assert not _judged(rule, [*usual, 2.0], [*usual, 8.001])[0][-1]
  assert _judged(rule, [*usual, -100.0], [*usual, 0.0])[0][-1]


def test_a_skipped_update_is_not_in_the_window_and_an_old_one_leaves_it():
  rule = SkipRule(max_in_a_row=9, spike_sigma=1.0, window=2)
  taken, kept = _judged(rule, [1, 2, 50, 50, 2.5, 2.5], [1, 2, 1, 1, 2, 2])
  # Bound of (1, 2): 1.5 + 0.5 = 2; of the norms, the same.
  assert taken == [True, True, False, False, False, False]
  np.testing.assert_array_equal(np.sort(kept["losses"]), [1, 2])
  assert (kept["skipped"], kept["in_a_row"]) == (4, 4)
  taken, kept = _judged(rule, [1, 2, 2, 1.5], [1, 1, 1, 1])
  assert taken == [True] * 4
  np.testing.assert_array_equal(kept["losses"], [2, 1.5])


def test_a_window_of_equal_losses_makes_no_spike_of_the_next_one():
  rule = SkipRule(max_in_a_row=9, spike_sigma=6.0, window=2)
  # Six times a thousandth of the mean is borne: 2.012.
  taken, _ = _judged(rule, [2.0, 2.0, 2.01, 2.5], [1.0, 1.0, 1.0, 1.0])
  assert taken == [True, True, True, False]
  taken, _ = _judged(rule, [2.0, 2.0, 2.02], [1.0, 1.0, 1.0])
  assert taken == [True, True, False]
  # Nothing but zeros says nothing about what is much.
  taken, _ = _judged(rule, [0.0, 0.0, 0.5], [0.0, 0.0, 3.0])
  assert taken == [True, True, True]


def test_only_those_one_behind_the_other_are_in_a_row():
  nan = math.nan
  taken, kept = _judged(_NO_NUMBERS, [1, nan, nan, 1, nan], [1.0] * 5)
  assert taken == [True, False, False, True, False]
  assert (kept["skipped"], kept["in_a_row"]) == (3, 1)


def test_nothing_is_kept_where_nothing_is_skipped():
  assert SkipRule(max_in_a_row=0, spike_sigma=0.0, window=128).initial() == {}
  assert set(_NO_NUMBERS.initial()) == {"skipped", "in_a_row"}


@pytest.mark.parametrize(
  "fields,message",
  [
    (dict(max_in_a_row=-1), r"optim\.max_skipped=-1 must be at least 0"),
    (dict(spike_sigma=-1.0), r"optim\.spike_sigma=-1\.0 must be finite"),
    (dict(spike_sigma=math.nan), r"optim\.spike_sigma=nan must be finite"),
    (dict(spike_sigma=6.0, max_in_a_row=0), "max_skipped=0 allows none"),
    (dict(window=1), r"optim\.spike_window=1 must be at least 2"),
  ],
)
def test_a_rule_that_cannot_be_is_refused(fields, message):
  options = dict(max_in_a_row=1, spike_sigma=0.0, window=128)
  with pytest.raises(ValueError, match=message):
    SkipRule(**{**options, **fields})
