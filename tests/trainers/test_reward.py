# SPDX-License-Identifier: Apache-2.0
"""Reward models: scores of an answer wherever it lies, metrics by hand."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives
from tiny_groups import CONFIG
from tiny_objectives import FAMILIES

from ramjax.configs import base
from ramjax.data import group_batches
from ramjax.losses import regression
from ramjax.trainers import first_step, reward

_PAIRS = FAMILIES["bradley_terry"]
_BLANK = dict(margin="none", label_smoothing=0.0, centering=0.0)


def _evaluated(groups, **options):
  """Loss, metrics and margin by row, over batches."""
  options = {"pack": False, "share_prompt": False, "row_length": 64, **options}
  params = tiny_objectives.random_params(_PAIRS.config, 1)
  objective = _PAIRS.objective()
  assert objective.evaluate is not None
  evaluate = jax.jit(objective.evaluate)
  margins = {}
  for batch in group_batches.eval_batches(groups, **options):
    _, _, found = evaluate(params, batch, jax.random.key(0))
    mask = np.asarray(found["mask"])
    rows = np.asarray(found["row_ids"])[mask].astype(int)
    margins |= dict(zip(rows, np.asarray(found["margin"])[mask], strict=True))
  return np.array([margins[row] for row in range(len(groups))])


@pytest.mark.parametrize(
  "options",
  [
    dict(batch_size=2),
    dict(batch_size=4, pack=True),
    dict(batch_size=4, share_prompt=True),
    dict(batch_size=16, row_length=96),
  ],
  ids=str,
)
def test_a_score_does_not_depend_on_what_else_is_in_the_batch(options):
  expected = _evaluated(_PAIRS.groups, batch_size=16)
  assert np.abs(expected).max() > 0.1
  np.testing.assert_allclose(
    _evaluated(_PAIRS.groups, **options), expected, atol=1e-5
  )


def test_a_blank_head_costs_log_2_and_passes_the_gate():
  params = tiny_objectives.random_params(_PAIRS.config, 1)
  params["score"] = {"kernel": np.zeros_like(params["score"]["kernel"])}
  objective = _PAIRS.objective({"bradley_terry": dict(weight=1.0, **_BLANK)})
  (batch,) = group_batches.eval_batches(
    _PAIRS.groups, batch_size=16, pack=False, share_prompt=False, row_length=64
  )
  loss, metrics = jax.jit(objective.loss_fn)(params, batch, jax.random.key(0))
  np.testing.assert_allclose(loss.value, math.log(2), rtol=1e-6)
  values = {name: float(mean.value) for name, mean in metrics.items()}
  assert values["rewards/accuracy"] == 0.5
  assert values["gate/expected_loss"] == pytest.approx(math.log(2))
  values |= dict(loss=math.log(2), grad_norm=1.0, supervised_share=0.5)
  assert first_step.check_reward(values, False) == []


def test_scaling_by_margins_that_rows_lack_has_no_gradient_and_is_named():
  terms = {"bradley_terry": dict(weight=1.0, **_BLANK | {"margin": "scale"})}
  groups = [
    group._replace(
      features={**group.features, "margins": np.zeros(1, np.float32)}
    )
    for group in _PAIRS.groups
  ]
  (batch,) = group_batches.eval_batches(
    groups, batch_size=16, pack=False, share_prompt=False, row_length=64
  )
  objective = _PAIRS.objective(terms)
  params = tiny_objectives.random_params(_PAIRS.config, 1)
  grads = jax.jit(
    jax.grad(
      lambda p, part: objective.loss_fn(p, part, jax.random.key(0))[0].total
    )
  )(params, batch)
  assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(grads))
  metrics = dict(loss=0.0, grad_norm=0.0, supervised_share=0.5)
  (sentence,) = first_step.check_reward(metrics, False)
  assert "margin='scale' needs rows with margins" in sentence


def test_a_ranking_is_right_pair_by_pair_and_at_its_head():
  # [3, 1, 2]: 2 of 3 pairs, the best first. [1, 2] of two answers: none, and
  # not. The third row is padding.
  scores = jnp.array([[3.0, 1.0, 2.0], [1.0, 2.0, 9.0], [5.0, 4.0, 3.0]])
  present = jnp.array([[True] * 3, [True, True, False], [False] * 3])
  found = reward._ranked_metrics(
    {"scores": scores, "present": present}, jnp.array([True, True, False])
  )
  np.testing.assert_allclose(found["rewards/accuracy"].value, 2 / 4)
  np.testing.assert_allclose(found["rewards/best_first"].value, 1 / 2)


def test_the_error_of_ratings_leaves_out_those_not_given():
  nan = float("nan")
  arrays = {
    "scores": jnp.array([[1.0, 5.0], [2.0, 2.0]]),
    "targets": jnp.array([[2.0, nan], [0.0, 5.0]]),
  }
  mask = ~jnp.isnan(arrays["targets"])
  found = reward._rated_metrics(arrays, mask, regression.predictions)
  # 1, 2 and 3.
  np.testing.assert_allclose(found["error"].value, 2.0)
  assert found["error"].weight == 3


@pytest.mark.parametrize("family", ["bradley_terry", "plackett_luce"])
def test_one_score_an_answer_needs_a_head_of_one(family):
  case = FAMILIES[family]
  config = dataclasses.replace(CONFIG, num_labels=3)
  with pytest.raises(ValueError, match=r"reward\.num_labels=3"):
    dataclasses.replace(case, config=config).objective()


def test_ratings_to_learn_must_be_named(tmp_path):
  config = base.reward(regression=dict(weight=1.0))
  with pytest.raises(ValueError, match=r"reward\.attributes is empty"):
    reward.ALGORITHM.load_data(config, tmp_path, vocab_size=300)
