# SPDX-License-Identifier: Apache-2.0
"""A reward model in a run: the scores are those that it gives elsewhere."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny_model_folder
import tiny_rollouts

from ramjax.configs import base
from ramjax.data import group_batches
from ramjax.data.tokenize_groups import Group
from ramjax.evals import response_scores
from ramjax.models import sharding, source_params
from ramjax.trainers import reward_model

_POLICY = tiny_model_folder.CONFIG
_ONE_SCORE = dataclasses.replace(_POLICY, num_labels=1, width=32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  root = tmp_path_factory.mktemp("rewards")
  for name, fields in {
    "reward": {},
    "three": {"num_labels": 3},
    "language": {"num_labels": 0},
    "other": {"vocab_size": 384},
  }.items():
    tiny_model_folder.write(
      root / name, dataclasses.replace(_ONE_SCORE, **fields)
    )
  return root


def _open(folder, mesh, row_length=24):
  config = base.ppo()
  config.reward_model.from_hf = str(folder)
  start = reward_model.choose(config, folder.parent / "run")
  assert start is not None
  return start, reward_model.RewardModel(
    start, _POLICY, mesh, row_length=row_length
  )


def _one_device():
  return sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])


def test_scores_are_those_of_each_answer_alone(folders):
  # More than one call of the model, and rows of several answers.
  lengths = [(1 + i % 7, 1 + (3 * i) % 6) for i in range(40)]
  rollout = tiny_rollouts.random_rollout(lengths, vocab_size=300)
  mesh = _one_device()
  start, model = _open(folders / "reward", mesh)
  found = model.score(rollout, None)
  assert found.dtype == np.float32 and found.shape == (40,)

  groups = [
    Group(
      prompts=(rollout.prompts[i, :prompt],),
      responses=(rollout.responses[i, :response],),
      response_masks=(np.ones(response, bool),),
      features={},
      num_truncated=0,
    )
    for i, (prompt, response) in enumerate(lengths)
  ]
  source = start.open()
  params = source_params.load_params(source, mesh)
  source.close()
  (batch,) = group_batches.eval_batches(
    groups, row_length=16, share_prompt=False, batch_size=40, pack=False
  )
  scores = response_scores.response_scores(params, _ONE_SCORE, batch)
  expected = np.asarray(scores)[:, 0, 0, 0]
  np.testing.assert_allclose(found, expected, atol=1e-5)
  assert expected.std() > 0.01


def test_scores_that_are_not_finite_are_refused(folders):
  _, model = _open(folders / "reward", _one_device())
  broken = np.full((_ONE_SCORE.width, 1), np.inf, np.float32)
  model._params["score"] = {"kernel": broken}
  with pytest.raises(ValueError, match="gave a score that is not finite"):
    model.score(tiny_rollouts.random_rollout(vocab_size=300), None)


def test_a_run_without_one_has_none(tmp_path):
  assert reward_model.choose(base.ppo(), tmp_path) is None


@pytest.mark.parametrize(
  "name,message",
  [
    ("three", "num_labels=3"),
    ("language", "num_labels=0"),
    ("other", "the policy's vocabulary of 320"),
  ],
)
def test_another_kind_of_model_is_refused(folders, name, message):
  with pytest.raises(ValueError, match=message):
    _open(folders / name, _one_device())
