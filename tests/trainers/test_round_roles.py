# SPDX-License-Identifier: Apache-2.0
"""Which model plays which role in a round, and that the record is kept to."""

import dataclasses
import json

import pytest
import tiny_model_folder

from ramjax.configs import base
from ramjax.trainers import round_files, round_roles
from ramjax.trainers.round_roles import Roles
from ramjax.trainers.starting_model import Start


def _config(**fields):
  config = base.rounds(
    base.preference(dpo=dict(weight=1.0, beta=0.1)),
    select=dict(name="best_and_worst"),
    rewards=dict(task=dict(weight=1.0)),
  )
  config.fit.run.total_steps = 7
  for name, value in fields.items():
    config.rounds[name] = value
  return config


@pytest.fixture(scope="module")
def models(tmp_path_factory):
  """Two models of equal shape and other weights."""
  root = tmp_path_factory.mktemp("models")
  for seed, name in enumerate(("one", "other")):
    tiny_model_folder.write(root / name, seed=seed)
  return [Start(root / name) for name in ("one", "other")]


def test_the_newest_model_is_the_last_fit(tmp_path, models):
  first = models[0]
  assert round_roles.newest(_config(), tmp_path, 0, first) == first
  newest = round_roles.newest(_config(), tmp_path, 2, first)
  assert newest == Start(tmp_path / "round_2" / "fit", 7)


@pytest.mark.parametrize(
  "fields,start,reference",
  [
    ({}, "newest", "newest"),
    (dict(start="first"), "first", "first"),
    (dict(reference="first"), "newest", "first"),
    (dict(fit=False), None, None),
  ],
)
def test_the_config_binds_the_roles(tmp_path, models, fields, start, reference):
  config, first = _config(**fields), models[0]
  roles = round_roles.bind(config, tmp_path, 3, first, compares=True)
  newest = round_roles.newest(config, tmp_path, 2, first)
  by_name = {"newest": newest, "first": first, None: None}
  assert roles.policy == newest
  assert roles.start == by_name[start]
  assert roles.reference == by_name[reference]
  assert roles.reward_model is None and roles.judge is None


def test_a_loss_without_a_reference_has_none(tmp_path, models):
  roles = round_roles.bind(_config(), tmp_path, 1, models[0], compares=False)
  assert roles.reference is None and roles.start == models[0]


def test_a_judge_is_the_policy_or_the_model_that_is_named(tmp_path, models):
  first, other = models
  config = _config()
  config.judge.role = "policy"
  roles = round_roles.bind(config, tmp_path, 1, first, compares=True)
  assert roles.judge == first
  config.judge.role = "model"
  config.judge.from_hf = str(other.folder)
  round_roles.refuse_unknown(config)
  roles = round_roles.bind(config, tmp_path, 1, first, compares=True)
  assert roles.judge == other


def test_roles_are_recorded_with_folder_step_and_fingerprint(tmp_path, models):
  first, other = models
  roles = Roles(first, first, None, other, None)
  round_roles.record(tmp_path, 1, roles, accept_change=False)
  later = dataclasses.replace(roles, policy=other)
  round_roles.record(tmp_path, 2, later, accept_change=False)
  manifest = json.loads((tmp_path / round_files.MANIFEST).read_text())
  one, two = manifest["rounds"]["1"], manifest["rounds"]["2"]
  assert one["policy"]["folder"] == str(first.folder.resolve())
  assert one["policy"]["step"] is None
  assert one["policy"] == one["start"] and one["reference"] is None
  assert one["policy"]["fingerprint"] != one["reward_model"]["fingerprint"]
  assert two["policy"] == two["reward_model"]
  # Going on is no change.
  round_roles.record(tmp_path, 1, roles, accept_change=False)


def test_another_model_in_a_role_is_refused_unless_it_is_accepted(
  tmp_path, models
):
  first, other = models
  roles = Roles(first, first, first, None, None)
  round_roles.record(tmp_path, 1, roles, accept_change=False)
  changed = dataclasses.replace(roles, policy=other, reward_model=other)
  with pytest.raises(ValueError, match="as policy, reward_model "):
    round_roles.record(tmp_path, 1, changed, accept_change=False)
  round_roles.record(tmp_path, 1, changed, accept_change=True)
