# SPDX-License-Identifier: Apache-2.0
"""Outputs of a model: read, or made once; the answers of `ramjax generate`."""

import argparse
import json
import pathlib

import pytest
import tiny_model_folder

from ramjax.evals import local_engine
from ramjax.evals.evaluation import Evaluation
from ramjax.tools import eval_outputs, generate

_INSTRUCTIONS = ["Say 3.", "What is word 12?", "Sort 2 1.", "Say 4."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("outputs") / "tiny"
  tiny_model_folder.write(path)
  return path


def _args(model, *more):
  parser = argparse.ArgumentParser()
  eval_outputs.add_options(parser)
  return parser.parse_args([f"--model={model}", *more])


def _nothing(model):
  del model


def _local(folder, *more):
  return _args(folder, *tiny_model_folder.ANSWERING, *more)


def test_a_folder_answers_as_generate_does_greedily(folder, tmp_path):
  args = _local(folder)
  assert eval_outputs.files(args) == ["model_outputs.json"]
  assert eval_outputs.inputs(args) == []
  prepared = []
  found = eval_outputs.get(args, _INSTRUCTIONS, tmp_path, prepared.append)
  assert found.path == tmp_path / "model_outputs.json"
  assert prepared == [eval_outputs.name(args)] == ["tiny"]
  assert found.identity is not None
  assert found.identity["template"] == "plain"
  rows = json.loads(found.path.read_text())
  assert [row["instruction"] for row in rows] == _INSTRUCTIONS
  assert {row["generator"] for row in rows} == {"tiny"}
  prompts = tmp_path / "prompts.jsonl"
  lines = [json.dumps({"prompt": text}) + "\n" for text in _INSTRUCTIONS]
  prompts.write_text("".join(lines))
  generated = tmp_path / "generated.jsonl"
  argv = [f"--model={folder}", "--template=plain", "--max-tokens=4"]
  argv += [f"--prompts={prompts}", f"--output={generated}", "--temperature=0"]
  argv.append("--slots=2")
  assert generate.main(argv) == 0
  expected = [
    json.loads(line)["responses"][0]["text"]
    for line in generated.read_text().splitlines()
  ]
  assert [row["output"] for row in rows] == expected


def test_what_was_answered_is_not_asked_again(folder, tmp_path, monkeypatch):
  args = _local(folder)
  first = eval_outputs.get(args, _INSTRUCTIONS[:2], tmp_path, _nothing)
  before = json.loads(first.path.read_text())
  asked = []
  complete = local_engine.LocalEngine.complete

  def counted(self, requests, **options):
    asked.extend(request.messages[0].content for request in requests)
    return complete(self, requests, **options)

  monkeypatch.setattr(local_engine.LocalEngine, "complete", counted)
  second = eval_outputs.get(args, _INSTRUCTIONS, tmp_path, _nothing)
  assert asked == _INSTRUCTIONS[2:]
  assert json.loads(second.path.read_text())[:2] == before


def test_a_file_is_taken_as_it_is(tmp_path):
  path = tmp_path / "outputs.json"
  args = _args(path)
  assert eval_outputs.get(args, _INSTRUCTIONS, None, _nothing) == (
    path,
    None,
    0,
  )
  assert eval_outputs.inputs(args) == [path] and eval_outputs.files(args) == []


def test_options_that_go_with_nothing_are_refused(folder, tmp_path):
  with pytest.raises(
    ValueError, match=r"--model-slots: --model=.*x\.json is a f"
  ):
    eval_outputs.name(_args(tmp_path / "x.json", "--model-slots=2"))
  with pytest.raises(ValueError, match="needs --model-name"):
    eval_outputs.name(_args("http://localhost:1"))
  with pytest.raises(ValueError, match="--model-timeout is for a URL"):
    eval_outputs.get(
      _local(folder, "--model-timeout=1"), ["a"], tmp_path, _nothing
    )
  with pytest.raises(ValueError, match="--out=DIR is missing"):
    eval_outputs.get(_local(folder), ["a"], None, _nothing)


def test_an_instruction_without_room_is_refused_before_weights(
  folder, tmp_path, monkeypatch
):
  monkeypatch.delattr(local_engine.LocalEngine, "complete")
  with pytest.raises(ValueError, match="no room for an answer"):
    eval_outputs.get(_local(folder), ["word " * 2000], tmp_path, _nothing)


def test_answers_that_were_cut_off_are_counted_those_of_an_earlier_run_too(
  folder, tmp_path
):
  evaluation = Evaluation("b", "m", {})
  for _ in range(2):
    found = eval_outputs.get(_local(folder), _INSTRUCTIONS, tmp_path, _nothing)
    # Four tokens are too few for this model, which never ends.
    assert found.num_cut_off == len(_INSTRUCTIONS)
    counted = found.told_in(evaluation).counted
    assert counted == {"answers were cut off at the most tokens": 4}
  path = tmp_path / "x.json"
  found = eval_outputs.get(_args(path), _INSTRUCTIONS, None, _nothing)
  assert found.told_in(evaluation) == evaluation


def test_answers_that_were_not_made_here_are_not_replaced(folder, tmp_path):
  path = tmp_path / "model_outputs.json"
  rows = [{"instruction": "a", "output": "b", "generator": "tiny"}]
  path.write_text(json.dumps(rows))
  args = _local(folder)
  for check in (
    lambda: eval_outputs.check(args, tmp_path),
    lambda: eval_outputs.get(args, _INSTRUCTIONS, tmp_path, _nothing),
  ):
    with pytest.raises(ValueError, match="would be replaced"):
      check()
  assert json.loads(path.read_text()) == rows
  path.unlink()
  eval_outputs.get(args, _INSTRUCTIONS, tmp_path, _nothing)
  assert eval_outputs.check(args, tmp_path) == "tiny"
  # Whose they are matters beside our own answers, too.
  for text in (json.dumps([{**rows[0], "generator": "x"}]), "[]", "words"):
    path.write_text(text)
    with pytest.raises(ValueError, match="would be replaced"):
      eval_outputs.check(args, tmp_path)


def test_a_judge_stands_beside_the_model_in_what_tells_them_from_others():
  path = pathlib.Path("x")
  asked = eval_outputs.Outputs(path, {"template": "plain"})
  assert asked.identity_with(None) == {"template": "plain"}
  assert asked.identity_with({"name": "j"}) == {
    "template": "plain",
    "judge": {"name": "j"},
  }
  there = eval_outputs.Outputs(path, None)
  assert there.identity_with({}) is None
  assert there.identity_with({"name": "j"}) == {"judge": {"name": "j"}}
