# SPDX-License-Identifier: Apache-2.0
"""Options of a model that scores answers go together, or are refused."""

import dataclasses

import pytest
import tiny_model_folder
from tiny_preference import REWARD, evaluate, jsonl, make_pairs, write_folders

from ramjax.tools import loaded_model


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  return write_folders(tmp_path_factory.mktemp("preference"))


@pytest.mark.parametrize(
  "model, argv, message",
  [
    ("policy", [], "name what it is compared with"),
    ("policy", ["--scorer=reward"], "num_labels=0, and --scorer=reward"),
    ("policy", ["--scorer=implicit"], "needs --reference=FOLDER"),
    ("reward", ["--scorer=logp"], "leave --scorer out"),
    ("reward", ["--reference=policy"], "compares with no reference"),
    ("reward", ["--beta=2"], "--beta=2.0 is of an implicit reward: name"),
    (
      "policy",
      ["--scorer=logp", "--reference=other"],
      "--scorer=logp compares with no reference",
    ),
    ("policy", ["--reference=reward"], "compares with a language model"),
    ("policy", ["--reference=none"], "holds no model"),
    ("reward", ["--max-length=65"], "is for 64 positions at most"),
    ("reward", ["--max-length=3"], "leaves no room for an answer"),
    ("reward", ["--step=1"], "has no steps"),
    ("three", [], "num_labels=3, and --scorer=reward reads the one score"),
  ],
)
def test_options_that_do_not_go_together_are_refused_before_loading(
  tmp_path, folders, capsys, monkeypatch, model, argv, message
):
  monkeypatch.setattr(loaded_model, "load", pytest.fail)
  if model == "three" and not (folders / "three").exists():
    config = dataclasses.replace(REWARD, num_labels=3)
    tiny_model_folder.write(folders / "three", config)
  argv = [
    f"--reference={folders / x.partition('=')[2]}" if "reference=" in x else x
    for x in argv
  ]
  assert evaluate(jsonl(tmp_path, make_pairs()), folders / model, *argv) == (
    None,
    None,
  )
  assert message in capsys.readouterr().err
