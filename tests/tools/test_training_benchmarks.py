# SPDX-License-Identifier: Apache-2.0
"""Benchmarks in a run: of the model in memory, as `ramjax eval` has it later."""

import dataclasses
import json

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from tiny_endpoint import TinyEndpoint, answer, reply

from ramjax.models import presets
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
  metrics = folder / "run" / "metrics.jsonl"
  lines = metrics.read_text().splitlines(keepends=True)
  metrics.write_text("".join(x for x in lines if "eval/pages" not in x))

  def refuse(*args, **kwargs):
    raise AssertionError("parameters were loaded")

  monkeypatch.setattr(loaded_model_lib.source_params, "load_params", refuse)
  assert _train(folder) == 0
  assert (done / "evaluation.json").is_file()
  assert _metrics(folder)[3]["eval/pages/token_ppl"] > 1


@pytest.mark.parametrize(
  ("command", "problem"),
  [
    ("", "command is empty"),
    ("gsm8l --data=x", "'gsm8l' is not a benchmark"),
    ("gsm8k", "--data"),
    ("gsm8k --data=nowhere.jsonl", "nowhere.jsonl"),
    ("gsm8k --data={data} --shots={data}", "--shots and --num-shots go"),
    ("gsm8k --help", "--help runs nothing"),
    ("mt_bench --judge=http://localhost:1", "--questions"),
    ("gsm8k --data={data} --model=other", "--model=other cannot be given"),
    ("gsm8k --data={data} --out other", "--out cannot be given"),
    ("gsm8k --data={data} --limit=1", "--limit=1 cannot be given"),
    ("gsm8k --data={data} --slotz=1", "--slotz=1"),
    ("perplexity --data={data} --slotz=1", "unrecognized arguments: --slotz=1"),
    ("perplexity --data={data} --batch-size=0", "--batch-size"),
    ("perplexity --data='{data}", "quotation"),
    ("arena --verdicts={data}", "unrecognized arguments: --model"),
  ],
)
def test_a_command_that_could_not_run_is_refused(tmp_path, command, problem):
  data = tmp_path / "data.jsonl"
  data.write_text('{"question": "1?", "answer": "#### 1", "text": "a"}\n')
  with pytest.raises((ValueError, OSError), match=problem):
    training_benchmarks.Runner().check(
      command.replace("{data}", str(data)), None
    )


def test_a_model_with_a_score_head_is_measured_by_scores_alone(tmp_path):
  data = tmp_path / "data.jsonl"
  data.write_text('{"question": "1?", "answer": "#### 1"}\n')
  command = f"gsm8k --data={data}"
  runner = training_benchmarks.Runner()
  runner.check(command, presets.PRESETS["tiny"])
  head = dataclasses.replace(presets.PRESETS["tiny"], num_labels=1)
  with pytest.raises(ValueError, match="take preference or reward_bench"):
    runner.check(command, head)


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
def test_a_run_ends_in_the_same_bits_with_benchmarks_and_without(folder):
  """They draw nothing, move no data, and change no state."""
  text = (folder / "config.py").read_text()
  a, b = text.index("  config.evals.benchmarks.math"), text.index("  return c")
  plain = folder / "plain"
  plain.mkdir()
  (plain / "config.py").write_text(text[:a] + text[b:])
  assert _train(plain) == 0
  restored = [_restored(path / "run") for path in (folder, plain)]
  assert jax.tree.structure(restored[0]) == jax.tree.structure(restored[1])
  for one, other in zip(*map(jax.tree.leaves, restored), strict=True):
    np.testing.assert_array_equal(one, other)
  one, other = (
    (path / "run" / "checkpoints" / "3" / "data").rglob("*")
    for path in (folder, plain)
  )
  assert sorted(_bytes(one)) == sorted(_bytes(other))


def _restored(run):
  """Parameters, average, optimizer state and key of the last checkpoint."""
  path = run / "checkpoints" / "3"
  with ocp.PyTreeCheckpointer() as checkpointer:
    return [
      checkpointer.restore(path / item)
      for item in ("params", "average", "train")
    ]


def _bytes(paths):
  # A marker of Orbax names the folder.
  return [
    path.read_bytes()
    for path in paths
    if path.is_file() and "commit" not in path.name
  ]


@pytest.mark.slow
def test_a_judge_grades_the_model_of_an_adapter_run(folder, capsys):
  """Adapters beside their base answer as the merged checkpoint does."""
  (folder / "ask.json").write_text('[{"instruction": "Say 3."}]')
  text = (folder / "config.py").read_text()
  a, b = text.index("  config.evals.benchmarks.math"), text.index("  return c")
  with TinyEndpoint(lambda n, asked: reply(answer("Score: 4"))) as server:
    command = (
      f"rubric --data={folder}/ask.json --judge={server.url} --judge-name=j"
      " --model-max-tokens=4 --canaries=0"
    )
    adapters = folder / "adapters"
    adapters.mkdir()
    (adapters / "config.py").write_text(
      text[:a].replace("config.optim.ema_decay = 0.5", "config.lora.rank = 2")
      + f'  config.init.from_run = "{folder / "run"}"\n'
      + "  config.model.preset = None\n"
      + f'  config.evals.benchmarks.grade = base.benchmark("{command}")\n'
      + text[b:]
    )
    assert _train(adapters) == 0, capsys.readouterr().err
    in_run = adapters / "run" / "evals" / "grade" / "step_00000003"
    words = command.split()
    words += [f"--model={adapters / 'run'}", f"--out={adapters / 'later'}"]
    assert eval_tool.main(words) == 0
  assert _metrics(adapters)[3]["eval/grade/mean grade"] == 4
  answers = [
    json.loads((path / "model_outputs.json").read_text())[0]["output"]
    for path in (in_run, adapters / "later")
  ]
  assert answers[0] == answers[1]


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
