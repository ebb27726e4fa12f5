# SPDX-License-Identifier: Apache-2.0
"""Rounds that cannot work are refused before anything is written."""

import pytest
from tiny_rounds import Crash, crash, make_config, write_start

from ramjax.configs import base
from ramjax.trainers import round_sampling, rounds


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return write_start(tmp_path_factory.mktemp("start"))


def test_rows_of_people_are_read_first_and_stay_the_same(folder, monkeypatch):
  config = make_config(folder, base.sft(), name="best")
  config.rounds.num_rounds = 1
  config.rounds.fit = False
  config.rounds.human_rows = str(folder / "human.jsonl")
  workdir = folder / "human"
  monkeypatch.setattr(round_sampling, "sample", crash)
  with pytest.raises(FileNotFoundError, match=r"human\.jsonl"):
    rounds.main(config, workdir)
  (folder / "human.jsonl").write_text('{"prompt": "q"}\n')
  with pytest.raises(ValueError, match=r"human\.jsonl.*:1"):
    rounds.main(config, workdir)
  assert not workdir.exists()
  row = '{"prompt": "q", "completion": "%s"}\n'
  (folder / "human.jsonl").write_text(row % "a")
  config.evals.num_prompts = 0
  with pytest.raises(Crash):
    rounds.main(config, workdir)
  (folder / "human.jsonl").write_text(row % "b")
  with pytest.raises(ValueError, match=r"rounds\.human_rows\.fingerprint"):
    rounds.main(config, workdir)


@pytest.mark.parametrize(
  "fields,message",
  [
    ({"rounds.start": "newest"}, "rounds.start='newest'"),
    ({"rounds.reference": "last"}, "rounds.reference='last'"),
    ({"rounds.num_rounds": 0}, "rounds.num_rounds=0"),
    ({"rounds.replay": -1}, "rounds.replay=-1"),
    ({"rounds.fit": False}, "rounds.fit=False makes no model"),
    ({"rollout.prompts": 0}, "rollout.prompts=0"),
    ({"judge.role": "me"}, "judge.role='me'"),
    ({"judge.role": "model"}, "name a model for judge.role='model'"),
    ({"judge.from_run": "x"}, "and none otherwise"),
    ({"select.name": "labelled"}, "missing: threshold"),
    ({"select.name": "best"}, "does not learn from the rows of"),
    ({"fit.run.total_steps": 0}, "run.total_steps=0"),
    ({"fit.optim.name": "sgd"}, "optim.name='sgd'"),
    ({"fit.algorithm": "sft"}, "does not learn from the rows of"),
    ({"data.template": "vicuna"}, "template='vicuna'"),
    ({"rewards": {}}, "rewards is empty"),
  ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
  folder, tmp_path, fields, message
):
  config = make_config(folder)
  for name, value in fields.items():
    group, _, field = name.rpartition(".")
    target = config
    for part in group.split(".") if group else ():
      target = target[part]
    with target.unlocked():
      target[field] = value
  workdir = tmp_path / "run"
  with pytest.raises(ValueError) as caught:
    rounds.main(config, workdir)
  assert message in str(caught.value)
  assert not workdir.exists()
