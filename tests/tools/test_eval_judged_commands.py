# SPDX-License-Identifier: Apache-2.0
"""Commands with a judge: what is refused before a model answers for hours."""

import importlib
import json

import pytest
import tiny_judge
import tiny_model_folder

from ramjax.evals import length_instructed_files
from ramjax.tools import eval_outputs, eval_sides

_MODULES = {
  "win_rate": "eval_win_rate",
  "alpaca_eval": "eval_alpaca",
  "alpaca_eval_li": "eval_alpaca_li",
  "mt_bench_li": "eval_mt_bench_li",
  "rubric": "eval_rubric",
}
_GROUPS = r"--pattern=(?P<A>A)|(?P<B>B)"
_TASKS = [length_instructed_files.prompt(f"Task {i}", 3) for i in range(3)]


@pytest.fixture
def folder(tmp_path):
  """A run that has no model yet, and all files of the benchmarks."""
  (tmp_path / "run").mkdir()
  (tmp_path / "prompt.txt").write_text(tiny_judge.TEMPLATE)
  outputs = [
    {"instruction": task, "output": "words", "generator": "base"}
    for task in _TASKS
  ]
  questions = [
    {
      "question_id": i,
      "category": "writing",
      "turns": [task],
      "max_len": [3],
    }
    for i, task in enumerate(_TASKS)
  ]
  answers = [
    {
      "question_id": i,
      "answer_id": "x",
      "model_id": "base",
      "choices": [{"index": 0, "turns": ["words"]}],
      "tstamp": 1.0,
    }
    for i in range(3)
  ]
  shown = tiny_judge.TEMPLATE.replace("Which is", "{reference}\nWhich is")
  (tmp_path / "shows.txt").write_text(shown)
  files = {
    "base.jsonl": outputs,
    "some.jsonl": outputs[:2],
    "li.jsonl": [{**row, "max_len": 3} for row in outputs],
    "questions.jsonl": questions,
    "answers.jsonl": answers,
  }
  for name, rows in files.items():
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / name).write_text(lines)
  return tmp_path


def _argv(benchmark, folder):
  """A command that can run, as a run checks it before it trains."""
  prompt = f"--prompt={folder / 'prompt.txt'}"
  more = {
    "win_rate": [f"--reference={folder / 'base.jsonl'}", prompt],
    "alpaca_eval": [f"--reference={folder / 'base.jsonl'}", prompt],
    "alpaca_eval_li": [f"--data={folder / 'li.jsonl'}", prompt],
    "mt_bench_li": [
      f"--data={folder / 'questions.jsonl'}",
      f"--reference={folder / 'answers.jsonl'}",
      prompt,
    ],
    "rubric": [f"--data={folder / 'base.jsonl'}"],
  }[benchmark]
  return {
    word.partition("=")[0]: word
    for word in [
      f"--model={folder / 'run'}",
      "--model-step=1",
      f"--out={folder / 'out'}",
      "--judge=http://127.0.0.1:9",
      "--judge-name=j",
      *more,
    ]
  }


def _refused(benchmark, folder, words, monkeypatch):
  """What `parse` says, and `main` before the model is opened."""
  for name in ("opened", "get", "get_as"):
    place = eval_sides if name == "opened" else eval_outputs
    real = getattr(place, name)

    def closed(*args, real=real, name=name, **options):
      # A judge may be opened, which loads nothing.
      assert name == "opened" and args[1] == "judge", "the model was reached"
      return real(*args, **options)

    monkeypatch.setattr(place, name, closed)
  module = importlib.import_module(f"ramjax.tools.{_MODULES[benchmark]}")
  argv = _argv(benchmark, folder)
  for word in words:
    name, _, value = word.partition("=")
    if name.startswith("no-"):
      del argv[f"--{name[3:]}"]
    else:
      argv[name] = f"{name}={value.format(folder=folder)}" if value else word
  problems = []
  for command in (module.parse, module.main):
    with pytest.raises((ValueError, OSError)) as error:
      command(list(argv.values()))
    problems.append(str(error.value))
  assert problems[0] == problems[1]
  assert not (folder / "out").exists()
  return problems[0]


@pytest.mark.parametrize("benchmark", _MODULES)
def test_a_command_that_can_run_opens_no_model(benchmark, folder, monkeypatch):
  module = importlib.import_module(f"ramjax.tools.{_MODULES[benchmark]}")
  monkeypatch.delattr(eval_outputs, "get_as")
  module.parse(list(_argv(benchmark, folder).values()))
  assert not (folder / "out").exists()


_OF_PAIRS = [
  (["--prompt={folder}/missing.txt"], "missing.txt"),
  (
    [r"--pattern=((("],
    r"--pattern='(((' is none of brackets, ranks, and no regular",
  ),
  (["--pattern=x"], r"--pattern='x' must be one of brackets, ranks, or have"),
  ([_GROUPS, "--samples=3"], "--samples=3 must be at least 1, and is 1"),
  ([_GROUPS, "--temperature=nan"], "--temperature=nan must be from 0"),
  (["--seed=-1"], "--seed=-1 must be in"),
  (["--top-logprobs=500"], "--top-logprobs=500 of the likeliest tokens"),
  (["--max-invalid=3"], "--max-invalid=3.0 must be a share"),
  (["--judge-slots=2"], "--judge-slots is for a FOLDER"),
  (["--model-timeout=2"], "--model-timeout is for a URL"),
  (["--judge-key-env=NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE is not set"),
  (["--judge=http://u:p@x"], "has a user or password"),
  (["no-judge-name"], "needs --judge-name"),
  (["--references={folder}/some.jsonl"], "would not be seen"),
  (
    ["--prompt={folder}/shows.txt", "--references={folder}/some.jsonl"],
    "has no answer among the 2 known good ones",
  ),
  (["--model-name=base"], "both called 'base': give the model another"),
  (
    ["--judge={folder}/run", "no-judge-name"],
    "run",
  ),
]


@pytest.mark.parametrize(
  "benchmark", ["win_rate", "alpaca_eval", "alpaca_eval_li", "mt_bench_li"]
)
@pytest.mark.parametrize("words,problem", _OF_PAIRS)
def test_a_judge_of_pairs_that_cannot_work_is_refused_before_the_model_answers(
  benchmark, folder, monkeypatch, words, problem
):
  assert problem in _refused(benchmark, folder, words, monkeypatch)


_RECORDED = ["--judge={folder}/base.jsonl", "no-judge-name", "no-prompt"]


@pytest.mark.parametrize(
  "benchmark,words,problem",
  [
    ("win_rate", ["--judge=/no/such", "no-judge-name"], "/no/such"),
    ("alpaca_eval", ["--gamed={folder}/missing.csv"], "missing.csv"),
    ("alpaca_eval", _RECORDED, "or a judge that is asked"),
    ("alpaca_eval", ["no-prompt"], "it needs --prompt=FILE"),
    ("alpaca_eval", ["no-reference"], "it needs --reference=FILE"),
    ("alpaca_eval_li", _RECORDED, "or a judge that is asked"),
    ("mt_bench_li", _RECORDED, "or a judge that is asked"),
    ("alpaca_eval_li", ["--make-from={folder}/a"], "--model is for an eval"),
    ("rubric", ["--judge=/no/such", "no-judge-name"], "/no/such"),
    ("rubric", ["--rubric=/no/such"], "--rubric=/no/such must be one of"),
    ("rubric", ["--rubric={folder}/base.jsonl"], "--rubric='{"),
    ("rubric", ["no-data"], "name its instructions with --data=FILE"),
    ("rubric", ["--temperature=nan"], "--temperature=nan must be"),
    ("rubric", ["no-judge-name"], "needs --judge-name"),
  ],
)
def test_what_shows_in_the_command_is_refused_before_the_model_answers(
  benchmark, folder, monkeypatch, words, problem
):
  assert problem in _refused(benchmark, folder, words, monkeypatch)


def test_a_judges_folder_is_opened_and_its_weights_are_not(folder, monkeypatch):
  tiny_model_folder.write(folder / "judge")
  module = importlib.import_module("ramjax.tools.eval_win_rate")
  argv = _argv("win_rate", folder)
  argv["--judge"] = f"--judge={folder / 'judge'}"
  words = ["--judge-template=plain"]
  monkeypatch.delattr("ramjax.tools.loaded_model.load")
  module.parse([*argv.values(), *words])
  with pytest.raises(ValueError, match="one with --judge-template: alpaca"):
    module.parse(list(argv.values()))


def test_a_tally_counts_what_was_asked_and_cut_off():
  class Engine:
    def complete(self, requests, *, progress=None):
      return requests

  def completion(finished, prompt):
    return eval_sides.Completion("x", finished, 3, num_prompt_tokens=prompt)

  tally = eval_sides.Tally(Engine())
  tally.complete([completion(True, 5), completion(False, None)])
  tally.complete([completion(False, 1)])
  assert (tally.num_requests, tally.num_cut_off) == (3, 2)
  assert (tally.num_prompt_tokens, tally.num_tokens) == (6, 9)
