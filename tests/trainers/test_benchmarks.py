# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of a run: when they are due, and what becomes of one that fails."""

import json

import jax
import jax.numpy as jnp
import optax
import pytest

from ramjax.configs import base
from ramjax.models import presets, sharding
from ramjax.trainers import benchmarks
from ramjax.trainers.sigterm import Stopped
from ramjax.trainers.state import init_state

_MESH = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])


class _Runner:
  """Keeps what it is told; fails at what `wrong` names."""

  def __init__(self, wrong=None):
    self.ran, self.wrong = [], wrong or {}

  def check(self, command, config):
    del config
    if command.startswith("no"):
      raise ValueError(f"{command!r} is no benchmark.")

  def run(self, command, model, folder):
    self.ran.append((command, model.step, model.average, folder))
    if command in self.wrong:
      raise self.wrong[command]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "done").write_text(str(0.5 + model.step))
    return self.figures(folder)

  def figures(self, folder):
    path = folder / "done"
    return {"accuracy": float(path.read_text())} if path.is_file() else None


class _Log:
  """A recorder's file of metrics alone."""

  def __init__(self, workdir):
    self.path, self.said = workdir / "metrics.jsonl", []

  def log(self, step, metrics):
    with self.path.open("a") as file:
      file.write(json.dumps({"step": step, **metrics}) + "\n")

  def say(self, text):
    self.said.append(text)

  @property
  def lines(self):
    text = self.path.read_text() if self.path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def _config(**entries):
  config = base.sft()
  config.run.total_steps = 10
  for name, entry in entries.items():
    config.evals.benchmarks[name] = entry
  return config


def _run(measured, step, log, check=lambda: None):
  params = {"w": jnp.zeros(1)}
  optimizer = optax.sgd(0.1)
  state = init_state(params, optimizer, mesh=_MESH, seed=0, with_ema=False)
  config = presets.PRESETS["tiny"]
  measured.run(measured.model(state, step, config, _MESH), log, check)


def test_they_are_due_every_so_many_steps_and_after_the_last(tmp_path):
  config = _config(
    often=base.benchmark("a", every_steps=4), once=base.benchmark("b")
  )
  found = benchmarks.Benchmarks(config, tmp_path, _Runner())
  due = {step: found.due(step) for step in range(11) if found.due(step)}
  assert due == {4: ["often"], 8: ["often"], 10: ["often", "once"]}


def test_figures_are_metrics_under_the_name_and_are_not_due_again(tmp_path):
  runner, log = _Runner(), _Log(tmp_path)
  config = _config(math=base.benchmark("a", every_steps=4))
  config.optim.ema_decay = 0.9
  measured = benchmarks.Benchmarks(config, tmp_path, runner)
  _run(measured, 4, log)
  assert log.lines == [{"step": 4, "eval/math/accuracy": 4.5}]
  folder = tmp_path / "evals" / "math" / "step_00000004"
  assert runner.ran == [("a", 4, True, folder)]
  assert measured.due(4) == []
  # In another process, too, whose log is torn at its end.
  with log.path.open("a") as file:
    file.write('{"step": 8, "eval/math/acc')
  again = benchmarks.Benchmarks(config, tmp_path, _Runner())
  assert again.due(4) == [] and again.due(8) == ["math"]


def test_figures_that_a_kill_kept_from_the_log_are_logged_later(tmp_path):
  log = _Log(tmp_path)
  config = _config(a=base.benchmark("a"), b=base.benchmark("b"))
  killed = benchmarks.Benchmarks(config, tmp_path, _Runner({"b": _Kill()}))
  with pytest.raises(_Kill):
    _run(killed, 10, log)
  assert log.lines == [{"step": 10, "eval/a/accuracy": 10.5}]
  log.path.unlink()  # As if it had come before the line was on disk.
  runner = _Runner()
  again = benchmarks.Benchmarks(config, tmp_path, runner)
  assert again.due(10) == ["a", "b"]
  _run(again, 10, log)
  assert [command for command, *_ in runner.ran] == ["b"]
  assert [set(line) for line in log.lines] == [
    {"step", "eval/a/accuracy"},
    {"step", "eval/b/accuracy"},
  ]


class _Kill(BaseException):
  """Ends a process, and is no failure of a benchmark."""


@pytest.mark.parametrize(
  "wrong", [OSError("away"), RuntimeError("no memory"), SystemExit(2)]
)
def test_one_that_fails_is_told_and_ends_the_run_only_after_it(tmp_path, wrong):
  log = _Log(tmp_path)
  config = _config(bad=base.benchmark("b"), good=base.benchmark("a"))
  measured = benchmarks.Benchmarks(config, tmp_path, _Runner({"b": wrong}))
  _run(measured, 10, log)
  assert log.lines == [{"step": 10, "eval/good/accuracy": 10.5}]
  said = f"{type(wrong).__name__}: {wrong}"
  assert f"benchmark bad FAILED at step 10: {said}" in log.said
  # It is not forgotten by another process.
  with pytest.raises(
    benchmarks.BenchmarksFailed, match=f"step_00000010: {said}"
  ):
    benchmarks.refuse_failed([tmp_path / "other", tmp_path])
  # What failed is run by the same command again.
  again = benchmarks.Benchmarks(config, tmp_path, _Runner())
  assert again.due(10) == ["bad"]
  _run(again, 10, log)
  benchmarks.refuse_failed([tmp_path])


def test_between_two_of_them_there_is_a_place_to_stop(tmp_path):
  log, runner = _Log(tmp_path), _Runner()
  config = _config(a=base.benchmark("a"), b=base.benchmark("b"))
  measured = benchmarks.Benchmarks(config, tmp_path, runner)

  def check():
    if runner.ran:
      raise Stopped

  with pytest.raises(Stopped):
    _run(measured, 10, log, check)
  assert measured.due(10) == ["b"]


@pytest.mark.parametrize(
  ("name", "entry", "problem"),
  [
    ("a/b", base.benchmark("a"), "letters, digits and _"),
    ("a", {"command": "a"}, r"made by base\.benchmark"),
    ("a", "gsm8k", r"made by base\.benchmark"),
    ("a", base.benchmark("a", every_steps=-1), "every_steps=-1 must be a wh"),
    ("a", {"command": "a", "every_steps": "5"}, "every_steps='5' must be a wh"),
    ("a", {"command": 5, "every_steps": 5}, "command=5 must be a text"),
    ("a", base.benchmark("nothing"), r"benchmarks\.a: 'nothing' is no bench"),
  ],
)
def test_what_cannot_run_is_refused_before_the_run(
  tmp_path, name, entry, problem
):
  with pytest.raises(ValueError, match=problem):
    benchmarks.Benchmarks(_config(**{name: entry}), tmp_path, _Runner())


def test_without_a_runner_they_are_refused_and_nothing_is_due(tmp_path):
  with pytest.raises(ValueError, match="under `ramjax train` alone"):
    benchmarks.Benchmarks(_config(a=base.benchmark("a")), tmp_path, None)
  assert benchmarks.Benchmarks(_config(), tmp_path, None).due(10) == []


def test_several_processes_are_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(benchmarks.jax, "process_count", lambda: 2)
  with pytest.raises(ValueError, match="there are 2"):
    benchmarks.Benchmarks(_config(a=base.benchmark("a")), tmp_path, _Runner())
