# SPDX-License-Identifier: Apache-2.0
"""Every tiny config of a preference method really runs, on a few rows.

In a process of one device: eight simulated ones take turns on a few cores.
"""

import json
import math
import os
import pathlib
import subprocess
import sys

import pytest
import tiny_compile

from ramjax.data import parse_graded_rows, task_pairs

pytestmark = pytest.mark.slow

_ROOT = pathlib.Path(__file__).parents[1]
_TEXTS = {
  path.stem: path.read_text("utf-8")
  for path in sorted((_ROOT / "configs").glob("*_tiny.py"))
}
_IN_ROUNDS = [name for name, text in _TEXTS.items() if "round_sizes" in text]
_NAMES = [name for name in _TEXTS if name not in _IN_ROUNDS]
_NUM_ROWS = 40
_NUM_HELD_OUT = 8
_OVERRIDES = {
  "run.total_steps": 3,
  "run.log_every": 1,
  "evals.every_steps": 3,
  "checkpoint.every_steps": 3,
  "model.num_layers": 2,
  "model.width": 64,
  "model.mlp_width": 96,
  "model.vocab_size": 400,
  "tokenizer.train_vocab_size": 400,
  "optim.warmup_steps": 1,
  "data.sources.main.eval_rows": _NUM_HELD_OUT,
}

# Of those, what a round's fit has; rounds evaluate when they are over.
_OF_FIT = ("run.total_steps", "checkpoint.every_steps", "optim.warmup_steps")
_NOT_IN_ROUNDS = ("evals.every_steps",)

# Runs one command line after another and answers with its exit status. Garbage is
# looked for as seldom as in the tests' own process.
_WORKER = """
import gc, json, sys
gc.set_threshold(100_000, 20, 50)
from ramjax.trainers import launch
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
  print(launch.main(json.loads(line)), file=answers, flush=True)
"""


def _assistant(text: str) -> list[dict]:
  return [{"role": "assistant", "content": text}]


def _write(path: pathlib.Path, rows: list[dict]) -> None:
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
  """A folder with a file for each name that a tiny config leaves to its user.

  Row i has the margin, rating or judgement that i says; the third answer of a
  ranking is missing from every other row.
  """
  folder = tmp_path_factory.mktemp("rows")
  pairs = task_pairs.generate_pairs(num_pairs=_NUM_ROWS, seed=0)
  numbered = list(enumerate(pairs))
  _write(
    folder / "graded_pairs.jsonl",
    [{**pair, "margin": 1 + i % 3} for i, pair in numbered],
  )
  _write(
    folder / "ranked.jsonl",
    [
      {
        "prompt": pair["prompt"],
        "completions": [pair["chosen"], pair["rejected"]]
        + ([_assistant("I do not know.")] if i % 2 else []),
      }
      for i, pair in numbered
    ],
  )
  _write(
    folder / "rated.jsonl",
    [
      {
        "prompt": pair["prompt"],
        "response": pair["chosen"],
        **{
          name: None if name == "verbosity" else (i + k) % 5
          for k, name in enumerate(parse_graded_rows.HELPSTEER_ATTRIBUTES)
        },
      }
      for i, pair in numbered
    ],
  )
  _write(
    folder / "judged.jsonl",
    [
      {
        "prompt": pair["prompt"],
        "completion": pair["rejected"] if i % 2 else pair["chosen"],
        "judgement": "There is a slip in it." if i % 2 else None,
      }
      for i, pair in numbered
    ],
  )
  return folder


@pytest.fixture(scope="module")
def worker():
  """A function from a command line to its exit status; None if it crashed."""
  with subprocess.Popen(
    [sys.executable, "-c", _WORKER],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
    env=os.environ | {"XLA_FLAGS": tiny_compile.quick()},
  ) as process:
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None and stdout is not None

    def run(argv: list[str]) -> int | None:
      stdin.write(json.dumps(argv) + "\n")
      stdin.flush()
      answer = stdout.readline()
      return int(answer) if answer else None

    yield run
    stdin.close()


@pytest.fixture(scope="module")
def run(rows, worker, tmp_path_factory):
  """Runs a config on the rows it wants; returns its exit status."""
  cache = tmp_path_factory.mktemp("xla")

  def run(name: str, workdir: pathlib.Path, **overrides: object) -> int | None:
    text = _TEXTS[name]
    online = "policy_methods" in text
    path = f"{'tasks' if online else 'task_pairs'}:{_NUM_ROWS}?seed=0"
    for file in rows.iterdir():
      path = str(file) if f'"{file.name}"' in text else path
    fields = {
      **_OVERRIDES,
      "data.sources.main.path": path,
      "run.compilation_cache": cache,
      **overrides,
    }
    if name in _IN_ROUNDS:
      fields = {
        f"fit.{field}" if field in _OF_FIT else field: value
        for field, value in fields.items()
        if field not in _NOT_IN_ROUNDS
      }
    return worker(
      [
        f"--config={name}",
        f"--workdir={workdir}",
        *(f"--config.{field}={value}" for field, value in fields.items()),
      ]
    )

  return run


def _logged(workdir: pathlib.Path) -> dict[str, float]:
  """The last value of every metric."""
  found = {}
  for line in (workdir / "metrics.jsonl").read_text().splitlines():
    found |= json.loads(line)
  return found


@pytest.mark.parametrize("name", _NAMES)
def test_a_tiny_config_runs_to_its_end(name, run, tmp_path):
  assert run(name, tmp_path) == 0
  metrics = _logged(tmp_path)
  assert metrics["step"] == 3
  for value in metrics.values():
    assert not isinstance(value, float) or math.isfinite(value)
  assert metrics["train/grad_norm"] > 0
  assert "eval/loss" in metrics or "rollout/score" in metrics


@pytest.mark.parametrize("name", _IN_ROUNDS)
def test_a_tiny_config_in_rounds_runs_to_its_end(name, run, tmp_path):
  assert run(name, tmp_path) == 0
  lines = (tmp_path / "rounds.jsonl").read_text().splitlines()
  rounds = [json.loads(line) for line in lines]
  assert len(rounds) > 1
  for line in rounds[1:]:
    assert line["selected/rows"] > 0 or line["selected/human_rows"] > 0
    fit = tmp_path / f"round_{line['round']}" / "fit"
    assert fit.exists() == (name != "best_of_n_tiny")
    if fit.exists():
      metrics = _logged(fit)
      assert metrics["step"] == 3 and metrics["train/grad_norm"] > 0
  for value in rounds[-1].values():
    assert math.isfinite(value)


def test_a_run_of_sdpo_goes_on_from_the_one_before(run, tmp_path):
  first, second = tmp_path / "first", tmp_path / "second"
  assert run("sdpo_tiny", first) == 0
  chained = {
    "init.from_run": first,
    "data.sources.main.path": f"task_pairs:{_NUM_ROWS}?seed=1",
  }
  assert run("sdpo_tiny", second, **chained) == 0
  manifest = json.loads((second / "manifest.json").read_text())
  assert manifest["reference"]["is_start"]
  # Policy and reference begin as the same model: DPO costs log 2.
  lines = (second / "metrics.jsonl").read_text().splitlines()
  losses = [
    json.loads(line)["train/loss"] for line in lines if "train/loss" in line
  ]
  assert losses[0] == pytest.approx(math.log(2), abs=1e-4)
