# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of a run: when they are due, and what becomes of one that fails."""

import json

import jax
import jax.numpy as jnp
import optax
import pytest

from ramjax.configs import base
from ramjax.models import sharding
from ramjax.trainers import benchmarks
from ramjax.trainers.state import init_state

_MESH = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])


class _Runner:
  """Keeps what it is told; fails at what `wrong` names."""

  def __init__(self, wrong=()):
    self.ran, self.wrong = [], wrong

  def check(self, command):
    if command.startswith("no"):
      raise ValueError(f"{command!r} is no benchmark.")

  def run(self, command, model, folder):
    self.ran.append((command, model.step, model.average, folder))
    if command in self.wrong:
      raise OSError("the judge is away")
    folder.mkdir(parents=True)
    (folder / "done").write_text(json.dumps(model.step))
    return {"accuracy": 0.5 + model.step}

  def is_done(self, folder):
    return (folder / "done").is_file()


def _config(**entries):
  config = base.sft()
  config.run.total_steps = 10
  for name, entry in entries.items():
    config.evals.benchmarks[name] = entry
  return config


def _evaluate(measured, step, said=None):
  params = {"w": jnp.zeros(1)}
  optimizer = optax.sgd(0.1)
  state = init_state(params, optimizer, mesh=_MESH, seed=0, with_ema=False)
  say = (lambda _: None) if said is None else said.append
  return measured.evaluate(state, step, None, _MESH, say)


def test_they_are_due_every_so_many_steps_and_after_the_last(tmp_path):
  config = _config(
    often=base.benchmark("a", every_steps=4), once=base.benchmark("b")
  )
  found = benchmarks.Benchmarks(config, tmp_path, _Runner())
  due = {step: found.due(step) for step in range(11) if found.due(step)}
  assert due == {4: ["often"], 8: ["often"], 10: ["often", "once"]}


def test_figures_are_metrics_under_the_name_and_are_not_due_again(tmp_path):
  runner = _Runner()
  config = _config(math=base.benchmark("a", every_steps=4))
  config.optim.ema_decay = 0.9
  measured = benchmarks.Benchmarks(config, tmp_path, runner)
  assert _evaluate(measured, 4) == {"eval/math/accuracy": 4.5}
  folder = tmp_path / "evals" / "math" / "step_00000004"
  assert runner.ran == [("a", 4, True, folder)]
  assert measured.due(4) == []
  # In another process, too.
  again = benchmarks.Benchmarks(config, tmp_path, _Runner())
  assert again.due(4) == [] and again.due(8) == ["math"]


def test_one_that_fails_is_told_and_ends_the_run_only_after_it(tmp_path):
  runner = _Runner(wrong=("b",))
  config = _config(bad=base.benchmark("b"), good=base.benchmark("a"))
  measured = benchmarks.Benchmarks(config, tmp_path, runner)
  said = []
  assert _evaluate(measured, 10, said) == {"eval/good/accuracy": 10.5}
  assert "benchmark bad FAILED at step 10: the judge is away" in said
  with pytest.raises(ValueError, match="bad at step 10: the judge is away"):
    measured.refuse_failed()
  # What failed is run by the same command again.
  again = benchmarks.Benchmarks(config, tmp_path, _Runner())
  assert again.due(10) == ["bad"]
  _evaluate(again, 10)
  again.refuse_failed()


@pytest.mark.parametrize(
  ("name", "entry", "problem"),
  [
    ("a/b", base.benchmark("a"), "letters, digits and _"),
    ("a", {"command": "a"}, r"made by base\.benchmark"),
    ("a", "gsm8k", r"made by base\.benchmark"),
    ("a", base.benchmark("a", every_steps=-1), "every_steps=-1 must be at"),
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
