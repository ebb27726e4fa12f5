# SPDX-License-Identifier: Apache-2.0
"""Runs on pairs from the command line: their start, its gates, the cache."""

import json
import math
import shutil

import jax
import numpy as np
import pytest
import tiny_compile
import tiny_model_folder
from tiny_groups import CONFIG

from ramjax.models import sharding
from ramjax.trainers import from_config, launch
from ramjax.trainers.preference import make_preference_objective

_OVERRIDES = {
  "data.sources.main.path": "task_pairs:80?seed=0",
  "data.sources.main.eval_rows": 8,
  "data.max_length": 64,
  "data.batch_size": 8,
  "model.preset": "",
  "optim.learning_rate": 1e-2,
  "optim.warmup_steps": 1,
  "optim.clip_norm": 100.0,
  "run.total_steps": 2,
  "run.log_every": 1,
  "evals.every_steps": 0,
  "evals.num_prompts": 0,
}


@pytest.fixture(scope="module")
def train(tmp_path_factory):
  """Runs the command line; returns its exit status."""
  root = tmp_path_factory.mktemp("preference")
  tiny_model_folder.write(root / "model")
  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])

  def run(workdir, **overrides):
    fields = {
      **_OVERRIDES,
      "init.from_hf": root / "model",
      **overrides,
    }
    return launch.main(
      [
        "--config=dpo_tiny",
        f"--workdir={workdir}",
        *(f"--config.{name}={value}" for name, value in fields.items()),
      ]
    )

  with (
    pytest.MonkeyPatch.context() as patched,
    tiny_compile.programs_kept(root / "xla"),
  ):
    patched.setattr(from_config, "make_mesh", lambda *_: mesh)
    yield run


@pytest.fixture(scope="module")
def cached(train, tmp_path_factory):
  """A run that kept the reference's log-probabilities, and their folder."""
  root = tmp_path_factory.mktemp("cached")
  cache = {"reference.cache": root / "cache"}
  assert train(root / "run", **cache) == 0
  return root


@pytest.fixture
def broken(cached, tmp_path):
  """A folder whose log-probabilities are those of other rows."""
  for path in (cached / "cache").iterdir():
    (tmp_path / path.name).write_bytes(path.read_bytes())
  logps = np.load(tmp_path / "reference_logps.npy")
  np.save(tmp_path / "reference_logps.npy", np.roll(logps, 1, axis=0))
  return tmp_path


def _figures(workdir):
  found = {}
  for line in (workdir / "metrics.jsonl").read_text().splitlines():
    entry = json.loads(line)
    found.setdefault(entry["step"], {}).update(entry)
  return found


def test_dpo_starts_at_log_2_and_a_margin_of_0(train, cached, tmp_path):
  assert train(tmp_path / "run") == 0
  figures = _figures(tmp_path / "run")
  first = figures[1]
  assert first["train/loss"] == pytest.approx(math.log(2), abs=1e-6)
  assert first["train/rewards/margin"] == pytest.approx(0, abs=1e-6)
  assert figures[0]["eval/loss"] == pytest.approx(math.log(2), abs=1e-6)
  assert figures[2]["train/loss"] != pytest.approx(math.log(2), abs=1e-6)
  assert not any("gate" in name for name in first)
  # And with the reference from disk all of it is the same.
  for step, expected in figures.items():
    for name, value in _figures(cached / "run")[step].items():
      if "loss" in name or "rewards/" in name or "log_ratios/" in name:
        assert value == pytest.approx(expected[name], rel=1e-5, abs=1e-5), name


def test_log_probabilities_of_other_rows_stop_the_run_and_nothing_is_saved(
  train, broken, tmp_path, capsys
):
  workdir = tmp_path / "run"
  assert train(workdir, **{"reference.cache": broken}) == 1
  err = capsys.readouterr().err
  assert "the figures of the first step cannot be right" in err
  assert "log pi - log pi_ref of a chosen answer" in err
  assert "of a rejected answer" in err and "it must be 0.693147" in err
  assert "Traceback" not in err
  assert not list((workdir / "checkpoints").iterdir())


def test_a_run_can_be_told_to_train_regardless(train, broken, tmp_path):
  regardless = {"reference.cache": broken, "run.first_step_checks": False}
  assert train(tmp_path / "run", **regardless) == 0
  assert (tmp_path / "run/checkpoints/2").is_dir()


@pytest.mark.slow
def test_a_lost_cache_is_of_the_start_again_when_the_run_goes_on(
  train, cached, tmp_path
):
  run, cache = tmp_path / "run", tmp_path / "cache"
  assert train(run, **{"reference.cache": cache}) == 0
  shutil.rmtree(cache)
  further = {"run.total_steps": 3, "run.allow_config_change": True}
  assert train(run, **{"reference.cache": cache}, **further) == 0
  np.testing.assert_array_equal(
    np.load(cache / "reference_logps.npy"),
    np.load(cached / "cache/reference_logps.npy"),
  )
  assert (run / "checkpoints/3").is_dir()


@pytest.mark.slow
def test_a_run_from_another_reference_need_not_start_at_log_2(train, tmp_path):
  tiny_model_folder.write(tmp_path / "other", seed=1)
  other = {"reference.from_hf": tmp_path / "other"}
  assert train(tmp_path / "run", **other) == 0
  loss = _figures(tmp_path / "run")[1]["train/loss"]
  assert abs(loss - math.log(2)) > 1e-3


def test_terms_that_compare_with_nothing_need_no_reference():
  for term, needs in (
    (dict(simpo=dict(weight=1.0, beta=2.0, gamma=0.5)), False),
    (dict(dpo=dict(weight=1.0, beta=0.1)), True),
  ):
    objective = make_preference_objective(CONFIG, terms=term, chunk_size=8)
    assert (objective.reference_config is not None) == needs
    assert (objective.prepare is not None) == needs
