# SPDX-License-Identifier: Apache-2.0
"""Held-out figures of pairs: by hand, and the same as those of training."""

import jax
import numpy as np
import optax
import pytest
import tiny_groups
import tiny_letters
import tiny_objectives
from tiny_groups import CONFIG

from ramjax.configs import base
from ramjax.data import group_batches
from ramjax.evals.response_likelihood import response_likelihood
from ramjax.models import sharding
from ramjax.trainers import step as step_lib
from ramjax.trainers.group_data import GroupData
from ramjax.trainers.group_evaluator import GroupEvaluator
from ramjax.trainers.state import init_state

_GROUPS = tiny_objectives.pairs(10)
_SUBSETS = ["even", "odd"] * 5
_BETA = 0.1


def _config(**fields):
  config = base.preference(dpo=dict(weight=1.0, beta=_BETA))
  config.data.batch_size = 16
  config.loss.chunk_size = 16
  config.evals.num_prompts = 0
  for name, value in fields.items():
    config.data[name] = value
  return config


def _state(mesh, *, ema=None):
  params, reference = (
    jax.device_put(tiny_objectives.random_params(CONFIG, seed), mesh)
    for seed in (1, 2)
  )
  return init_state(
    params,
    optax.sgd(0.0),
    mesh=mesh.mesh,
    seed=0,
    with_ema=ema is not None,
    reference=reference,
  )


@pytest.fixture(scope="module")
def placed():
  """One device, and where parameters lie on it."""
  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  return jax.sharding.NamedSharding(mesh, jax.P())


def _data(held_out):
  return GroupData(
    train=[],
    train_rows=[],
    train_row_ids=[],
    weights=[],
    held_out=held_out,
    held_out_subsets=_SUBSETS[: len(held_out)],
    held_out_rows=[],
    held_out_records=[],
    tokenizer=tiny_letters.Letters(),
    row_length=64,
    summary={},
  )


def _objective():
  family = tiny_objectives.FAMILIES["preference"]
  return family.objective({"dpo": dict(weight=1.0, beta=_BETA)})


def _evaluate(placed, held_out=_GROUPS, **fields):
  evaluator = GroupEvaluator(
    _config(**fields), CONFIG, _data(held_out), placed.mesh, _objective()
  )
  metrics, samples = evaluator.evaluate(_state(placed), 0)
  assert samples == []
  return metrics


@pytest.fixture(scope="module")
def metrics(placed):
  """Of two batches of 8 rows, of which 6 are empty."""
  return _evaluate(placed, num_microbatches=2, pack=False)


@pytest.fixture(scope="module")
def ratios():
  """log pi - log pi_ref [10, 2] of each answer, a row of its own."""
  batch = tiny_groups.plain_rows(_GROUPS, 32)
  tokens = jax.tree.map(np.asarray, batch)
  ids = np.where(tokens.positions >= 0, 0, 0)
  for row, (group, k) in enumerate((g, k) for g in _GROUPS for k in range(2)):
    start = len(group.prompts[0])
    ids[row, start : start + len(group.responses[k])] = 1
  grouped = group_batches.GroupBatch(
    *tokens[:3],
    branch_ids=None,
    positions=tokens.positions,
    response_ids=ids,
    features={"present": np.ones((20, 1, 1), np.float32)},
  )

  @jax.jit
  def logps(params):
    return response_likelihood(params, CONFIG, grouped, chunk_size=8).logps

  policy, reference = (
    np.asarray(logps(tiny_objectives.random_params(CONFIG, seed)), np.float64)
    for seed in (1, 2)
  )
  return (policy - reference).reshape(10, 2)


def test_loss_and_rewards_are_those_of_the_formula(metrics, ratios):
  margins = _BETA * (ratios[:, 0] - ratios[:, 1])
  expected = {
    "eval/loss": np.log1p(np.exp(-margins)).mean(),
    "eval/rewards/margin": margins.mean(),
    "eval/rewards/chosen": _BETA * ratios[:, 0].mean(),
    "eval/rewards/rejected": _BETA * ratios[:, 1].mean(),
    "eval/rewards/accuracy": (margins > 0).mean(),
    "eval/rewards/accuracy/even": (margins[::2] > 0).mean(),
    "eval/rewards/accuracy/odd": (margins[1::2] > 0).mean(),
    "eval/log_ratios/chosen": ratios[:, 0].mean(),
  }
  for name, value in expected.items():
    np.testing.assert_allclose(metrics[name], value, rtol=1e-4, err_msg=name)


def test_no_gate_is_among_them(metrics):
  assert not any("gate" in name for name in metrics)
  assert all(name.startswith("eval/") for name in metrics)


@pytest.mark.parametrize(
  "fields", [dict(num_microbatches=1), dict(num_microbatches=2, pack=True)]
)
def test_they_do_not_depend_on_batches(placed, metrics, fields):
  found = _evaluate(placed, **fields)
  assert found.keys() == metrics.keys()
  for name, value in metrics.items():
    np.testing.assert_allclose(
      found[name], value, rtol=1e-5, atol=1e-6, err_msg=name
    )


def test_a_step_on_the_same_rows_says_the_same(placed, metrics):
  (batch,) = group_batches.eval_batches(
    _GROUPS, row_length=64, share_prompt=True, batch_size=16, pack=False
  )
  train_step = step_lib.make_train_step(
    _objective(), optax.sgd(0.0), num_microbatches=2
  )
  _, found = train_step(_state(placed), batch)
  shared = [name for name in found if f"eval/{name}" in metrics]
  assert {
    "loss",
    "rewards/accuracy",
    "logps/chosen",
    "log_ratios/rejected",
  } <= {*shared}
  for name in shared:
    np.testing.assert_allclose(
      found[name].value, metrics[f"eval/{name}"], rtol=1e-5, err_msg=name
    )


def test_without_held_out_rows_there_is_nothing_to_say(placed):
  assert _evaluate(placed, held_out=[]) == {}
