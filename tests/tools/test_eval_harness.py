# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval harness`: what it refuses, asks a harness for and writes."""

import json
import os
import sys
import types
from typing import Any

import pytest
import tiny_exported
import tiny_model_folder

from ramjax.tools import eval as eval_command
from ramjax.tools import (
  eval_harness,
  eval_likelihood,
  harness_results,
  loaded_model,
  local_model,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("harness") / "tiny"
  tiny_model_folder.write(path)
  return path


class _Manager:
  """As much of the harness's task manager as is asked for."""

  def __init__(self, include_path=None, include_defaults=True):
    own = ["arc_easy"] if include_defaults else []
    self.all_tasks = [*own, *(["mine"] if include_path else [])]
    self.all_subtasks = self.all_tasks
    self.task_index = {
      name: types.SimpleNamespace(
        name=name,
        yaml_path=f"{include_path}/{name}.yaml",
        tags=set(),
        cfg=_CONFIGS.get(name, {}),
      )
      for name in self.all_tasks
    }

  def match_tasks(self, names):
    return [name for name in self.all_tasks if name == names[0]]

  def load(self, names):
    configs = {name: _CONFIGS.get(name, {}) for name in names}
    return {
      "tasks": {
        name: types.SimpleNamespace(get_config=config.get)
        for name, config in configs.items()
      }
    }


# What the harness has of each task, beside nothing.
_CONFIGS: dict[str, dict[str, Any]] = {}


def _simple_evaluate(**asked):
  """What the harness would; with a limit, it asks the model something."""
  print("theirs")
  assert os.environ["DISABLE_MULTIPROC"] == "1"
  model = asked["model"]
  asked["task_manager"].load(asked["tasks"])
  if error := _CONFIGS.get("stop", {}).get("error"):
    raise error

  def request(*args):
    return types.SimpleNamespace(args=args, task_name="mine")

  if asked["limit"]:
    asked["scored"] = model.loglikelihood(
      [request("word", " 3"), request("", "x")]
    )
    asked["written"] = model.generate_until(
      [
        request("word", {"max_gen_toks": 4}),
        request("x " * 90, {"max_tokens": 4}),
      ]
    )
  _simple_evaluate.asked = asked  # pyright: ignore
  return {
    "results": {
      "mine": {"alias": "mine", "acc,none": 0.5, "acc_stderr,none": 0.1}
    },
    "configs": {"mine": {}},
    "versions": {"mine": 1.0},
    "n-shot": {"mine": 0},
    "n-samples": {"mine": {"original": 9, "effective": 2}},
    "config": {"limit": 2},
    "date": 1.5e9,
    "lm_eval_version": "0.4.13",
    **({"samples": {"mine": []}} if asked["log_samples"] else {}),
  }


@pytest.fixture
def harness(monkeypatch):
  """A harness of our making, so that these tests need none installed."""
  modules: dict[str, dict[str, Any]] = {
    "lm_eval": {},
    "lm_eval.evaluator": {"simple_evaluate": _simple_evaluate},
    "lm_eval.tasks": {"TaskManager": _Manager},
    "lm_eval.tasks._yaml_loader": {"load_yaml": lambda path, **unused: {}},
    "lm_eval.api": {},
    "lm_eval.api.model": {"LM": type("LM", (), {"rank": 0})},
  }
  for name, content in modules.items():
    module = types.ModuleType(name)
    module.__dict__.update(content)
    monkeypatch.setitem(sys.modules, name, module)
  yield
  _CONFIGS.clear()


def _run(*argv):
  return eval_command.main(["harness", *map(str, argv)])


def test_without_the_harness_one_line_says_what_to_install(
  folder, monkeypatch, capsys
):
  monkeypatch.setitem(sys.modules, "lm_eval.evaluator", None)
  monkeypatch.setattr(loaded_model, "load", pytest.fail)
  assert _run("--tasks=arc_easy", f"--model={folder}") == 1
  shown = capsys.readouterr().err
  assert "pip install 'ramjax[harness]'" in shown
  assert shown.count("\n") == 1


def test_figures_and_files_are_written(folder, harness, tmp_path, capsys):
  tasks, out = tmp_path / "tasks", tmp_path / "out"
  tasks.mkdir()
  (tasks / "mine.yaml").write_text("task: mine\n")
  options = ["--limit=2", "--num-fewshot=0", "--system-instruction=Be brief."]
  argv = [
    *("--tasks=mine", f"--include-path={tasks}", f"--model={folder}"),
    *(f"--out={out}", "--log-samples", "--max-length=32", *options),
  ]
  assert _run(*argv) == 0
  shown = capsys.readouterr()
  assert "theirs" in shown.err and "theirs" not in shown.out
  assert "mine acc, standard error" in shown.out
  assert "DISABLE_MULTIPROC" not in os.environ
  found = json.loads((out / "evaluation.json").read_text())
  assert found["benchmark"] == "harness, mine"
  assert found["figures"] == {"mine acc": 0.5, "mine acc, standard error": 0.1}
  assert found["counted"] == {
    "documents of mine are left out by --limit": 7,
    "texts have their left end cut off, to fit the model": 1,
  }
  assert found["inputs"].keys() == {str(tasks / "mine.yaml")}
  assert found["command"] == ["ramjax", "eval", "harness", *argv]
  assert found["model_identity"]["template"] is None
  assert found["model_identity"]["dtype"] == "float32"
  results = json.loads((out / "results.json").read_text())
  assert results["config"] == {
    "limit": 2,
    "model": "ramjax",
    "model_args": {"pretrained": str(folder), "max_length": 32},
  }
  assert len(list(out.glob("samples_mine_2017-07-*.jsonl"))) == 1
  asked = _simple_evaluate.asked  # pyright: ignore
  assert asked["tasks"] == ["mine"] and asked["limit"] == 2
  assert asked["num_fewshot"] == 0 and asked["apply_chat_template"] is False
  assert asked["system_instruction"] == "Be brief."
  assert isinstance(asked["model"], sys.modules["lm_eval.api.model"].LM)
  (_, greedy), (logp, _) = asked["scored"]
  assert greedy in (True, False) and logp < 0
  assert all(isinstance(text, str) for text in asked["written"])


def test_a_model_is_asked_in_its_chat_format(folder, harness, tmp_path, capsys):
  argv = ["--tasks=arc_easy", f"--model={folder}", "--apply-chat-template"]
  assert _run(*argv) == 1
  assert "does not say its chat template" in capsys.readouterr().err
  assert _run(*argv, "--template=llama2") == 0
  asked = _simple_evaluate.asked  # pyright: ignore
  assert asked["tasks"] == ["arc_easy"]
  assert asked["apply_chat_template"] is True
  turns = [{"role": "user", "content": "word"}]
  assert asked["model"].apply_chat_template(turns) == "<s>[INST] word [/INST]"
  assert "chat template llama2" in capsys.readouterr().out


@pytest.mark.parametrize(
  "argv, message",
  [
    (["--tasks=,"], "--tasks names no task"),
    (["--tasks=arc_easy,mein"], "no task 'mein'"),
    (["--tasks=arc_easy", "--include-path=nowhere"], "nowhere is no folder"),
    (["--tasks=arc_easy", "--max-length=65"], "is for 64 positions at most"),
    (["--tasks=arc_easy", "--step=3"], "has no steps"),
  ],
)
def test_what_is_wrong_is_said_before_the_model_is_loaded(
  folder, harness, capsys, monkeypatch, argv, message
):
  monkeypatch.setattr(loaded_model, "load", pytest.fail)
  assert _run(f"--model={folder}", *argv) == 1
  assert message in capsys.readouterr().err


@pytest.mark.parametrize(
  "argv, message",
  [
    (["--limit=0"], "no whole number above 0"),
    (["--num-fewshot=-1"], "no whole number from 0 on"),
  ],
)
def test_numbers_that_mean_nothing_are_refused(folder, capsys, argv, message):
  with pytest.raises(SystemExit):
    _run("--tasks=arc_easy", f"--model={folder}", *argv)
  assert message in capsys.readouterr().err


@pytest.mark.parametrize(
  "argv, message",
  [
    (["--tasks=,"], "--tasks names no task"),
    (["--tasks=arc_easy,mein"], "no task 'mein'"),
    (["--tasks=arc_easy", "--include-path=nowhere"], "nowhere is no folder"),
    (["--template=plain"], "--template=plain goes with --apply-chat-template"),
    (["--log-samples"], "--log-samples goes with --out=DIR"),
    ([], "'arc_easy' .*: generation_kwargs has num_beams=4"),
  ],
)
def test_a_command_is_checked_without_a_model(tmp_path, harness, argv, message):
  wrong = {"until": ["a"], "num_beams": 4}
  base = ["--tasks=arc_easy", f"--model={tmp_path}", "--step=1"]
  parsed = eval_harness.parse([*base, f"--out={tmp_path / 'new'}"])
  assert parsed.tasks.names == ["arc_easy"]
  assert not (tmp_path / "new").exists()
  _CONFIGS["arc_easy"] = {"generation_kwargs": wrong}
  with pytest.raises(ValueError, match=message):
    eval_harness.parse([*base, *argv])


def test_the_harness_is_missed_without_a_model(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "lm_eval.evaluator", None)
  with pytest.raises(ValueError, match="pip install 'ramjax\\[harness\\]'"):
    eval_harness.parse(["--tasks=arc_easy", f"--model={tmp_path}"])


def test_what_a_task_asks_for_is_checked_before_the_model_is_loaded(
  folder, harness, tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(loaded_model, "load", pytest.fail)
  _CONFIGS["arc_easy"] = {
    "output_type": "generate_until",
    "generation_kwargs": {"until": ["a"], "max_gen_toks": 64},
  }
  argv = ["--tasks=arc_easy", f"--model={folder}", "--limit=2"]
  assert _run(*argv) == 1
  shown = capsys.readouterr().err
  assert "task 'arc_easy' asks for max_gen_toks=64" in shown
  assert _run(*argv, "--max-length=9") == 1
  assert "the model reads 9 at a time" in capsys.readouterr().err
  data = tmp_path / "results.json"
  data.write_text("[]")
  _CONFIGS["arc_easy"] = {
    "output_type": "loglikelihood",
    "dataset_kwargs": {"data_files": {"test": str(data)}},
  }
  assert _run(*argv, f"--out={tmp_path}") == 1
  assert "results.json would be written" in capsys.readouterr().err
  assert data.read_text() == "[]"


def test_errors_of_the_model_are_its_own(folder, harness, monkeypatch, capsys):
  argv = ["--tasks=arc_easy", f"--model={folder}", "--limit=2"]
  _CONFIGS["stop"] = {"error": TypeError("no such field")}
  assert _run(*argv) == 1
  shown = capsys.readouterr().err
  assert "at task one of arc_easy (TypeError: no such field): look" in shown
  del _CONFIGS["stop"]

  def fail(*unused, **more):
    raise KeyError("ours")

  for name in ("score", "load"):
    monkeypatch.setattr(eval_likelihood, name, fail)
    with pytest.raises(KeyError, match="ours"):
      _run(*argv)


def test_a_task_s_name_leads_nowhere(tmp_path):
  found = {"date": 1.5e9}
  tasks = {"mine/v2": [], "../x": [], "mine_v2": []}
  (tmp_path / "out").mkdir()
  written = harness_results.write(tmp_path / "out", found, tasks)
  assert len({path.name for path in written}) == 4
  assert all(path.parent == tmp_path / "out" for path in written)
  assert sorted(p.name for p in tmp_path.glob("**/*.jsonl")) == sorted(
    path.name for path in written[1:]
  )
  assert written[1].name.startswith("samples_mine_v2_2017-07-")


def test_results_of_another_task_are_not_replaced(
  folder, harness, tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(loaded_model, "load", pytest.fail)
  (tmp_path / "evaluation.json").write_text(
    json.dumps({"benchmark": "harness, arc_hard", "model": str(folder)})
  )
  argv = ["--tasks=arc_easy", f"--model={folder}", f"--out={tmp_path}"]
  assert _run(*argv) == 1
  assert "has 'harness, arc_hard'" in capsys.readouterr().err


def test_a_text_ends_where_the_folder_says(tmp_path):
  folder = tmp_path / "tiny"
  tiny_model_folder.write(folder)

  def stops():
    opened = local_model.open_local(folder, template="plain")
    opened.source.close()
    return eval_harness.stop_tokens(opened)

  assert stops() == [2]
  (folder / "generation_config.json").write_text('{"eos_token_id": [7, 2]}')
  assert stops() == [2, 7]
  (folder / "generation_config.json").write_text('{"eos_token_id": 9}')
  assert stops() == [2, 9]
  (folder / "generation_config.json").write_text("[]")
  with pytest.raises(ValueError, match="generation_config"):
    stops()


def test_a_run_ends_a_text_where_its_exported_folder_does(tmp_path):
  def stops(folder):
    opened = local_model.open_local(folder, template="alpaca")
    opened.source.close()
    return eval_harness.stop_tokens(opened), opened.tokenizer

  hf = tiny_exported.export(tmp_path, "llama3")
  found, tokenizer = stops(tmp_path / "run")
  ends = ("<|end_of_text|>", "<|eot_id|>")
  assert found == sorted(tokenizer.special_id(name) for name in ends)
  assert stops(hf)[0] == found
