# SPDX-License-Identifier: Apache-2.0
"""Benchmarks in a run: of the model in memory, as `ramjax eval` has it later."""

import json

import pytest

from ramjax.tools import cli, resident_model, training_benchmarks
from ramjax.tools import eval as eval_tool
from ramjax.tools import loaded_model as loaded_model_lib

_CONFIG = """
from ramjax.configs import base

def get_config():
  config = base.sft()
  config.data.sources.tasks = base.source("tasks:120?seed=0", eval_rows=4)
  config.data.max_length = 96
  config.data.batch_size = 8
  config.tokenizer.train_vocab_size = 400
  config.model.preset = "tiny"
  config.model.vocab_size = 400
  config.model.width = 16
  config.model.num_layers = 1
  config.optim.ema_decay = 0.5
  config.optim.warmup_steps = 1
  config.run.total_steps = 3
  config.run.compilation_cache = ""
  config.evals.num_prompts = 0
  config.evals.benchmarks.math = base.benchmark(
    "gsm8k --data={folder}/problems.jsonl --max-tokens=4",
    every_steps=2,
  )
  config.evals.benchmarks.pages = base.benchmark(
    "perplexity --data={folder}/pages.jsonl"
  )
  return config
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A folder with `config.py`, its files, and the run in `run`."""
  path = tmp_path_factory.mktemp("benchmarks")
  problems = [{"question": "1 + 1?", "answer": "#### 2"}]
  pages = [{"text": "The cat sat."}, {"text": "sort the numbers 3 1 2"}]
  for name, rows in (("problems", problems), ("pages", pages)):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (path / f"{name}.jsonl").write_text(text)
  (path / "config.py").write_text(_CONFIG.replace("{folder}", str(path)))
  assert _train(path) == 0
  return path


def _train(path, *more):
  argv = [f"--config={path / 'config.py'}", f"--workdir={path / 'run'}", *more]
  return cli.main(["train", *argv])


def _metrics(path):
  lines = (path / "run" / "metrics.jsonl").read_text().splitlines()
  found = {}
  for line in map(json.loads, lines):
    of_benchmarks = {
      name: value for name, value in line.items() if name.count("/") == 2
    }
    found.setdefault(line["step"], {}).update(of_benchmarks)
  return found


def test_figures_are_in_the_metrics_and_the_folder_of_the_step(folder):
  metrics = _metrics(folder)
  assert metrics[2]["eval/math/problems"] == 1
  assert "eval/pages/token_ppl" not in metrics[2]
  assert metrics[3]["eval/math/problems"] == 1
  assert metrics[3]["eval/pages/token_ppl"] > 1
  written = (folder / "run" / "evals").glob("*/*/evaluation.json")
  assert sorted(path.parent.name for path in written) == [
    "step_00000002",
    "step_00000003",
    "step_00000003",
  ]
  # A step that is measured is a checkpoint.
  assert (folder / "run" / "checkpoints" / "2").is_dir()


def test_the_checkpoint_has_the_same_figures_afterwards(folder):
  argv = ["perplexity", f"--data={folder / 'pages.jsonl'}"]
  argv += [f"--model={folder / 'run'}", "--step=3", "--average"]
  assert eval_tool.main([*argv, f"--out={folder / 'later'}"]) == 0
  later = json.loads((folder / "later" / "evaluation.json").read_text())
  in_run = folder / "run" / "evals" / "pages" / "step_00000003"
  before = json.loads((in_run / "evaluation.json").read_text())
  assert later["model_identity"] == before["model_identity"]
  assert later["figures"] == pytest.approx(before["figures"], rel=1e-5)
  # The average of 3 steps is another model than the last.
  argv.remove("--average")
  assert eval_tool.main([*argv, f"--out={folder / 'last'}"]) == 0
  last = json.loads((folder / "last" / "evaluation.json").read_text())
  assert last["figures"]["token_ppl"] != pytest.approx(
    later["figures"]["token_ppl"], rel=1e-4
  )


def test_the_model_is_not_loaded_again(folder, monkeypatch):
  """What a kill left undone is done from memory when the run goes on."""
  done = folder / "run" / "evals" / "pages" / "step_00000003"
  (done / "evaluation.json").unlink()

  def refuse(*args, **kwargs):
    raise AssertionError("parameters were loaded")

  monkeypatch.setattr(loaded_model_lib.source_params, "load_params", refuse)
  assert _train(folder) == 0
  assert (done / "evaluation.json").is_file()


@pytest.mark.parametrize(
  ("command", "problem"),
  [
    ("", "command is empty"),
    ("gsm8l --data=x", "'gsm8l' is not a benchmark"),
    ("gsm8k", "--data"),
    ("gsm8k --data=nowhere.jsonl", "--data=nowhere.jsonl does not exist"),
    ("gsm8k --data={data} --model=other", "--model=other cannot be given"),
    ("gsm8k --data={data} --out other", "--out cannot be given"),
    ("gsm8k --data={data} --limit=1", "--limit=1 cannot be given"),
    ("gsm8k --data={data} --slotz=1", "--slotz=1"),
    ("perplexity --data={data} --slotz=1", "does not take --slotz=1"),
    ("perplexity --data={data} --batch-size=0", "--batch-size"),
    ("perplexity --data='{data}", "quotation"),
    ("arena --verdicts={data}", "does not take"),
  ],
)
def test_a_command_that_could_not_run_is_refused(tmp_path, command, problem):
  data = tmp_path / "data.jsonl"
  data.write_text("{}\n")
  with pytest.raises(ValueError, match=problem):
    training_benchmarks.Runner().check(command.replace("{data}", str(data)))


def test_a_launch_is_refused_before_anything_is_made(tmp_path, capsys):
  text = _CONFIG.replace("{folder}", str(tmp_path / "missing"))
  (tmp_path / "config.py").write_text(text)
  assert _train(tmp_path) == 1
  assert "evals.benchmarks.math" in capsys.readouterr().err
  assert not (tmp_path / "run").exists()


def test_only_the_held_checkpoint_is_found(folder):
  from ramjax.trainers.benchmarks import SavedModel

  held = SavedModel(folder / "run", 3, True, None, None, None)  # pyright: ignore
  run = folder / "run"
  assert resident_model.find(run, step=3, average=True) is None
  with resident_model.hold(held):
    assert resident_model.find(run, step=3, average=True) is held
    assert resident_model.find(run / ".." / "run", step=3, average=True) is held
    assert resident_model.find(run, step=2, average=True) is None
    assert resident_model.find(run, step=3, average=False) is None
    assert resident_model.find(folder, step=3, average=True) is None
    assert resident_model.find(run / "no", step=3, average=True) is None
  assert resident_model.find(run, step=3, average=True) is None
