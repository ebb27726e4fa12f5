# SPDX-License-Identifier: Apache-2.0
"""Runs on answers, stopped in the middle: they end as if nothing had happened.

The same bits of parameters, optimizer, a reference that moves and scalars that
are carried; the same rows in the same order; the same figures in the log.
"""

import json
import os
import shutil
import signal
from typing import Any

import jax
import numpy as np
import pytest
import tiny_compile
import tiny_model_folder

from ramjax.configs import base
from ramjax.models import sharding
from ramjax.trainers import (
  cut,
  from_config,
  loop,
  preference,
  reward,
  unpaired,
)

_STEPS, _STOP = 6, 3
_CRINGE = dict(
  weight=0.5,
  alpha=0.5,
  b=-1.0,
  tau=5.0,
  stop_gradient_gate=False,
  logp_reduction="sum",
  token_reduction="mean",
  top_k=3,
  stop_candidate_gradient=False,
)


def _words(i, num):
  return " ".join(f"word {(i * 7 + k) % 97}" for k in range(num))


def _pair(i):
  return {
    "prompt": f"word {i} and",
    "chosen": _words(i, 1 + i % 2),
    "rejected": _words(i + 1, 1 + i % 3),
  }


def _judged(i):
  return {
    "prompt": f"word {i} and",
    "completion": _words(i, 1 + i % 2),
    "judgement": None if i % 3 else "more of it",
  }


def _preference():
  config = base.preference(
    dpo=dict(weight=1.0, beta=0.5), pairwise_cringe=_CRINGE
  )
  config.reference.sync_every = 2
  config.reference.sync_rate = 0.25
  return preference, config, _pair


def _unpaired():
  # The first updates are those in which BCO's running mean moves most.
  config = base.unpaired(
    bco=dict(weight=1.0, beta=0.5),
    kto=dict(
      weight=1.0, beta=0.5, desirable_weight=1.0, undesirable_weight=1.5
    ),
  )
  return unpaired, config, _pair


def _cut():
  config = base.cut(cut=dict(weight=1.0, alpha=0.5, threshold=1.0))
  return cut, config, _judged


def _reward():
  config = base.reward(
    bradley_terry=dict(
      weight=1.0, margin="none", label_smoothing=0.0, centering=0.01
    )
  )
  config.reward.init_std = 0.02
  return reward, config, _pair


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A model; one device, compiled programs kept between launches."""
  root = tmp_path_factory.mktemp("start")
  tiny_model_folder.write(root / "model")
  with tiny_compile.programs_kept(root / "xla"):
    yield root


def _one_device(*_):
  return sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])


class _Launches:
  """Starts a run again and again; remembers its last state."""

  def __init__(self, folder, case, monkeypatch):
    self._algorithm, self._config, row = case()
    name = self._config.algorithm
    data = folder / f"{name}.jsonl"
    rows = [json.dumps(row(i)) for i in range(60)]
    data.write_text("\n".join(rows))
    config = self._config
    config.init.from_hf = str(folder / "model")
    config.data.sources.main = base.source(str(data))
    config.data.max_length = 40
    config.data.batch_size = 16
    config.data.num_microbatches = 2
    config.optim.learning_rate = 1e-2
    config.optim.warmup_steps = 1
    config.optim.ema_decay = 0.9
    config.run.total_steps = _STEPS
    config.run.log_every = 1
    config.evals.num_prompts = 0
    config.checkpoint.every_steps = 0
    self.state: Any = None
    self._monkeypatch = monkeypatch

  def __call__(self, workdir, *, stop_after=None):
    """Runs it; SIGTERM arrives while step `stop_after` is counted."""
    train = loop.train
    counted = []

    def train_and_stop(state, batches, *, count_batch, **options):
      def count(batch):
        counted.append(batch)
        if len(counted) == stop_after:
          os.kill(os.getpid(), signal.SIGTERM)
        return count_batch(batch)

      self.state, outcome = train(state, batches, count_batch=count, **options)
      return self.state, outcome

    with self._monkeypatch.context() as patched:
      patched.setattr(loop, "train", train_and_stop)
      patched.setattr(from_config, "make_mesh", _one_device)
      outcome = self._algorithm.main(self._config, workdir)
    return outcome, counted


def _bits(state):
  rest = jax.device_get(
    (state.step, state.params, state.opt_state, state.ema, state.moving,
     state.carried, jax.random.key_data(state.key))
  )  # fmt: skip
  return jax.tree_util.tree_leaves_with_path(rest)


def _log(workdir):
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  found = {}
  for line in lines:
    entry = json.loads(line)
    found.setdefault(entry["step"], {}).update(
      (name, value)
      for name, value in entry.items()
      if not name.endswith(("_s", "/step_s", "tokens_per_s", "time"))
    )
  return found


@pytest.mark.slow
@pytest.mark.parametrize(
  "case",
  [_preference, _unpaired, _cut, _reward],
  ids=["preference", "unpaired", "cut", "reward"],
)
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
  folder, tmp_path, monkeypatch, case
):
  launch = _Launches(folder, case, monkeypatch)
  outcome, batches = launch(tmp_path / "whole")
  assert outcome is loop.Outcome.FINISHED and len(batches) == _STEPS
  whole = launch.state
  # Else nothing is shown: all that can move has moved.
  for name, value in whole.carried.items():
    assert value != 0, name
  for name, moved in whole.moving.items():
    same = jax.tree.map(np.array_equal, moved, whole.params[name])
    assert not any(jax.tree.leaves(same)), name

  outcome, first = launch(tmp_path / "cut", stop_after=_STOP)
  assert outcome is loop.Outcome.PREEMPTED and len(first) == _STOP
  outcome, second = launch(tmp_path / "cut")
  assert outcome is loop.Outcome.FINISHED and len(second) == _STEPS - _STOP
  resumed = launch.state

  for one, other in zip([*first, *second], batches, strict=True):
    jax.tree.map(np.testing.assert_array_equal, one, other)
  assert any((one.tokens != batches[0].tokens).any() for one in batches[1:])
  for (path, one), (_, other) in zip(_bits(resumed), _bits(whole), strict=True):
    np.testing.assert_array_equal(one, other, err_msg=str(path))
  assert _log(tmp_path / "cut") == _log(tmp_path / "whole")
  assert _log(tmp_path / "whole").keys() >= set(range(1, _STEPS + 1))
  shutil.rmtree(tmp_path)
