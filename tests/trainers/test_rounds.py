# SPDX-License-Identifier: Apache-2.0
"""Rounds end as if nothing had happened, wherever they were stopped.

The same answers, scores, rows, roles and bits of weights; and each role is
played by the model that the config says.
"""

import dataclasses
import json
import os
import signal

import jax
import numpy as np
import pytest
import tiny_compile
from tiny_rounds import STEPS, Crash, crash, make_config, write_start

from ramjax.configs import base
from ramjax.models import open_model, sharding
from ramjax.trainers import (
  benchmarks,
  group_data,
  loop,
  preference,
  round_figures,
  round_files,
  round_fit,
  round_sampling,
  round_scoring,
  rounds,
  sampled_groups,
)

_RECORDS = (
  round_files.SAMPLES,
  round_files.SCORES,
  round_files.ROWS,
  round_files.SELECTED,
  round_files.EVALUATED,
)


def _one_device(*_):
  return jax.make_mesh(
    (1, 1, 1, 1),
    ("data", "fsdp", "sequence", "tensor"),
    axis_types=(jax.sharding.AxisType.Auto,) * 4,
    devices=jax.devices()[:1],
  )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A model and prompts; one device, compiled programs kept between launches."""
  root = write_start(tmp_path_factory.mktemp("start"))
  to_answers = sampled_groups.to_answers

  def as_finished(*arguments):
    """Answers of an untrained model hardly ever end, and would be left out."""
    return [
      dataclasses.replace(answer, finished=True)
      for answer in to_answers(*arguments)
    ]

  with (
    pytest.MonkeyPatch.context() as patched,
    tiny_compile.programs_kept(root / "xla"),
  ):
    patched.setattr(sharding, "make_mesh", _one_device)
    patched.setattr(sampled_groups, "to_answers", as_finished)
    yield root


@pytest.fixture(scope="module")
def whole(folder):
  """A finished run of two rounds."""
  workdir = folder / "whole"
  assert rounds.main(make_config(folder), workdir) is loop.Outcome.FINISHED
  return workdir


def _lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def _arrays(workdir, number):
  source = open_model.open_model(workdir / f"round_{number}" / "fit")
  arrays = {
    name: source.rows(name, 0, spec.shape[0])
    for name, spec in source.specs.items()
  }
  source.close()
  return arrays


def _assert_same(one, other):
  for number in (1, 2):
    for name in _RECORDS:
      first, second = (w / f"round_{number}" / name for w in (one, other))
      assert first.read_bytes() == second.read_bytes(), second
    jax.tree.map(
      np.testing.assert_array_equal,
      _arrays(one, number),
      _arrays(other, number),
    )
  assert _lines(one / round_files.LOG) == _lines(other / round_files.LOG)


def _roles(workdir):
  return json.loads((workdir / round_files.MANIFEST).read_text())["rounds"]


@pytest.mark.slow
def test_each_round_learns_and_is_logged(whole):
  lines = _lines(whole / round_files.LOG)
  assert [line["round"] for line in lines] == [0, 1, 2]
  for line in lines[1:]:
    assert line["selected/rows"] > 0
    assert line["sampled/best_score"] >= line["sampled/score"]
    assert "eval/score" in line
  for number in (1, 2):
    metrics = _lines(whole / f"round_{number}" / "fit" / "metrics.jsonl")
    assert metrics[-1]["step"] == STEPS
  first, second = _arrays(whole, 1), _arrays(whole, 2)
  assert any(not np.array_equal(first[n], second[n]) for n in first)


@pytest.mark.slow
def test_each_round_takes_the_next_prompts(whole):
  numbers = [
    [row["number"] for row in _lines(whole / f"round_{i}" / "samples.jsonl")]
    for i in (1, 2)
  ]
  assert numbers[0] == [n for n in range(6) for _ in range(4)]
  assert numbers[1] == [n for n in range(6, 12) for _ in range(4)]


@pytest.mark.slow
def test_the_newest_model_plays_policy_start_and_reference(whole, folder):
  roles = _roles(whole)
  made = json.loads((whole / "round_1" / round_files.FITTED).read_text())
  assert made["step"] == STEPS
  assert roles["1"]["policy"]["folder"] == str((folder / "model").resolve())
  for role in ("policy", "start", "reference"):
    assert roles["2"][role] == made
  assert roles["2"]["reward_model"] is None and roles["2"]["judge"] is None
  manifest = json.loads((whole / "round_2/fit/manifest.json").read_text())
  assert manifest["initial_weights"] == made
  assert manifest["reference"]["is_start"]


@pytest.mark.slow
def test_a_second_run_in_the_same_process_is_the_same(folder, whole):
  again = folder / "again"
  assert rounds.main(make_config(folder), again) is loop.Outcome.FINISHED
  _assert_same(whole, again)


class _Runner:
  """Measures each round's model, but fails at the first."""

  def __init__(self):
    self.measured = []

  def check(self, command, config):
    del command, config

  def run(self, command, model, folder):
    del command, folder
    self.measured.append((model.workdir.parent.name, model.step))
    if len(self.measured) == 1:
      raise OSError("the judge is away")
    return {"accuracy": 0.5}

  def figures(self, folder):
    del folder


@pytest.mark.slow
def test_each_round_is_measured_and_a_failure_ends_the_last_alone(
  folder, whole
):
  config, workdir, runner = make_config(folder), folder / "measured", _Runner()
  config.evals.benchmarks.math = base.benchmark("gsm8k")
  with pytest.raises(
    benchmarks.BenchmarksFailed, match=r"round_1/fit/.*the judge is away"
  ):
    rounds.main(config, workdir, runner)
  assert runner.measured == [("round_1", STEPS), ("round_2", STEPS)]
  lines = _lines(workdir / "round_2" / "fit" / "metrics.jsonl")
  assert lines[-1]["eval/math/accuracy"] == 0.5
  for name, array in _arrays(whole, 2).items():
    np.testing.assert_array_equal(array, _arrays(workdir, 2)[name])


def test_benchmarks_of_rounds_that_fit_nothing_are_refused(folder):
  config = make_config(folder)
  config.rounds.fit = False
  config.evals.benchmarks.math = base.benchmark("gsm8k")
  with pytest.raises(ValueError, match=r"rounds\.fit=False"):
    rounds.main(config, folder / "unfitted", _Runner())


def _after(stage):
  def crash(*arguments, **options):
    stage(*arguments, **options)
    raise Crash

  return crash


@pytest.fixture(scope="module")
def stopped(folder, whole):
  """A run that was stopped after each stage, and within those that can be."""
  del whole  # Made before, so that what runs here is compiled.
  workdir = folder / "stopped"
  config = make_config(folder)

  def launch(crashes, *patches):
    with pytest.MonkeyPatch.context() as patched:
      for module, name, value in patches:
        patched.setattr(module, name, value)
      if crashes is Crash:
        with pytest.raises(Crash):
          rounds.main(config, workdir)
        return
      assert rounds.main(config, workdir) is crashes

  ask, calls = round_sampling.Asker.ask, []

  def crash_at_the_second_chunk(self, start, prompts, *rest, **options):
    calls.append(len(prompts))
    if calls == [3, 16, 8]:
      raise Crash
    return ask(self, start, prompts, *rest, **options)

  def signal_in_the_first_chunk(*arguments, **options):
    os.kill(os.getpid(), signal.SIGTERM)
    return ask(*arguments, **options)

  count, steps = group_data.count_batch, []

  def signal_in_the_second_step(batch):
    steps.append(batch)
    if len(steps) == 2:
      os.kill(os.getpid(), signal.SIGTERM)
    return count(batch)

  algorithm = preference.ALGORITHM
  launch(Crash, (round_sampling.Asker, "ask", crash_at_the_second_chunk))
  partial = workdir / "round_1/samples.jsonl.partial"
  assert len(_lines(partial)) == 16
  for module, name in (
    (round_sampling, "sample"),
    (round_scoring, "score"),
    (rounds, "_select"),
  ):
    launch(Crash, (module, name, _after(getattr(module, name))))
  object.__setattr__(algorithm, "count_batch", signal_in_the_second_step)
  try:
    launch(loop.Outcome.PREEMPTED)
  finally:
    object.__setattr__(algorithm, "count_batch", count)
  assert not (workdir / "round_1" / round_files.FITTED).exists()
  launch(Crash, (round_fit, "fit", _after(round_fit.fit)))
  launch(Crash, (round_figures, "evaluate", _after(round_figures.evaluate)))
  launch(
    loop.Outcome.PREEMPTED,
    (round_sampling.Asker, "ask", signal_in_the_first_chunk),
  )
  partial = workdir / "round_2/samples.jsonl.partial"
  assert len(_lines(partial)) == 16
  assert rounds.main(config, workdir) is loop.Outcome.FINISHED
  return workdir


@pytest.mark.slow
def test_a_run_that_was_stopped_everywhere_ends_as_one_that_was_not(
  whole, stopped
):
  _assert_same(whole, stopped)


@pytest.mark.slow
def test_a_finished_run_says_so_and_samples_nothing(
  folder, whole, capsys, monkeypatch
):
  monkeypatch.setattr(rounds, "_prepare", None)
  assert rounds.main(make_config(folder), whole) is loop.Outcome.FINISHED
  assert "all 2 rounds" in capsys.readouterr().out


@pytest.mark.slow
def test_another_config_is_refused_by_name(folder, whole):
  config = make_config(folder)
  config.fit.optim.learning_rate = 0.5
  with pytest.raises(ValueError, match=r"fit\.optim\.learning_rate: 0\.001"):
    rounds.main(config, whole)


@pytest.mark.slow
def test_the_first_model_starts_every_round_where_it_should(folder):
  config = make_config(folder, base.sft(), name="best")
  config.rounds.start = "first"
  config.rounds.replay = 1
  config.rounds.human_rows = "tasks:5?seed=0"
  workdir = folder / "first"
  assert rounds.main(config, workdir) is loop.Outcome.FINISHED
  roles = _roles(workdir)
  assert roles["2"]["start"] == roles["1"]["policy"]
  assert roles["2"]["policy"]["folder"].endswith("round_1/fit")
  assert roles["2"]["reference"] is None
  rows = [len(_lines(workdir / f"round_{i}" / "rows.jsonl")) for i in (1, 2)]
  assert rows[0] <= 6 + 5 and rows[0] < rows[1] <= 12 + 5


@pytest.mark.slow
def test_a_phrase_is_asked_for_from_the_second_round_on(folder):
  config = make_config(
    folder, base.sft(), name="quantiles", phrase="q={quantile}"
  )
  # Adapters on adapters: the second round starts from the first's, merged.
  config.fit.lora.rank = 2
  workdir = folder / "quantiles"
  assert rounds.main(config, workdir) is loop.Outcome.FINISHED
  first, second = (
    _lines(workdir / f"round_{i}" / "samples.jsonl") for i in (1, 2)
  )
  assert {row["asked"] for row in first} == {None}
  for row in second:
    assert row["asked"] == [
      {"role": "system", "content": "q=5"}, *row["prompt"]
    ]  # fmt: skip


def test_best_of_n_writes_rows_and_makes_no_model(folder):
  config = make_config(folder, base.sft(), name="best")
  config.rounds.num_rounds = 1
  config.rounds.fit = False
  workdir = folder / "best_of_n"
  assert rounds.main(config, workdir) is loop.Outcome.FINISHED
  assert _lines(workdir / "round_1/rows.jsonl")
  assert not (workdir / "round_1/fit").exists()
  line = _lines(workdir / round_files.LOG)[-1]
  assert line["sampled/best_score"] >= line["sampled/score"]
  assert rounds.main(config, workdir) is loop.Outcome.FINISHED


def test_a_policy_judges_its_own_answers(folder):
  config = make_config(folder)
  config.rounds.num_rounds = 1
  config.judge.role = "policy"
  config.judge.template = "{prompt} {response}"
  config.judge.pattern = "(.)"
  config.judge.max_new_tokens = 4
  # Whatever is read is no number from -2 to -1.
  config.judge.lowest, config.judge.highest = -2.0, -1.0
  workdir = folder / "judged"
  with pytest.raises(ValueError, match="round 1 selected no rows") as caught:
    rounds.main(config, workdir)
  assert "without_score: 24" in str(caught.value)
  scores = _lines(workdir / "round_1" / "scores.jsonl")
  assert {row["score"] for row in scores} == {None}
  assert {row["rewards"]["judge"] for row in scores} == {None}
  assert _roles(workdir)["1"]["judge"] == _roles(workdir)["1"]["policy"]


@pytest.mark.slow
def test_random_weights_are_written_once_and_play_the_first_model(folder):
  config = make_config(folder)
  config.init.from_hf = ""
  config.model.preset = "tiny"
  config.model.num_layers = 1
  config.model.width = 32
  config.model.mlp_width = 32
  config.model.vocab_size = 400
  config.tokenizer.train_vocab_size = 400
  config.data.sources.main.path = "tasks:60?seed=0"
  config.rounds.num_rounds = 1
  config.evals.num_prompts = 0
  workdir = folder / "random"
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(round_scoring, "score", crash)
    with pytest.raises(Crash):
      rounds.main(config, workdir)
  roles = _roles(workdir)
  assert roles["1"]["policy"]["folder"] == str((workdir / "start").resolve())
  assert roles["1"]["policy"]["step"] == 0
  before = (workdir / "start/model.json").stat().st_mtime_ns
  assert rounds.main(config, workdir) is loop.Outcome.FINISHED
  assert (workdir / "start/model.json").stat().st_mtime_ns == before
