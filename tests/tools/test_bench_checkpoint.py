# SPDX-License-Identifier: Apache-2.0
"""`ramjax bench checkpoint`: a state worth saving, saved and restored."""

import json

import jax
import numpy as np
import pytest
from tiny_bench import PEAKS

from ramjax.models import presets, sharding
from ramjax.tools import (
  bench,
  bench_calls,
  bench_checkpoint,
  bench_ledger,
  bench_machine,
  bench_table,
  new_folder,
)
from ramjax.trainers import checkpoints

_FIELDS = dict(vocab_size=64, width=16, mlp_width=32, num_layers=1, head_dim=4)
_NAMES = [
  "save, loop blocked",
  "save, committed",
  "restore, digests checked",
  "digest alone",
]


@pytest.fixture(scope="module")
def state():
  mesh = sharding.make_mesh({}, jax.devices()[:1])
  return bench_checkpoint.make_state(_FIELDS, mesh)


def test_a_state_is_12_bytes_a_parameter(state):
  model = presets.llama_config("tiny", **_FIELDS)
  found = bench_checkpoint.state_bytes(state)
  # And the step, the counters of the optimizer, the key.
  assert 0 < found - 12 * model.num_parameters <= 64


def test_moments_are_not_zeros_which_would_take_no_room(state):
  for leaf in jax.tree.leaves(state.opt_state):
    if leaf.ndim:
      # In float32 hardly two random numbers are the same.
      assert np.unique(leaf).size > 0.99 * leaf.size


@pytest.mark.parametrize("size", ["tiny", "small", "large"])
def test_sizes_in_the_help_are_those_of_the_models(size):
  fields = bench_checkpoint.SIZES[size]
  num = presets.llama_config("tiny", **fields).num_parameters
  said = " ".join(bench_checkpoint._parser().format_help().split())
  assert f"{size} {num / 1e6:.1f}M" in said


def test_checkpoints_of_training_are_measured(state, tmp_path, monkeypatch):
  saved, restored = [], []
  save, restore = checkpoints.Checkpoints.save, checkpoints.Checkpoints.restore
  monkeypatch.setattr(
    checkpoints.Checkpoints,
    "save",
    lambda self, step, *rest: saved.append(step) or save(self, step, *rest),
  )
  monkeypatch.setattr(
    checkpoints.Checkpoints,
    "restore",
    lambda self, step, *rest: (
      restored.append(step) or restore(self, step, *rest)
    ),
  )
  times = bench_checkpoint.measure_state(state, tmp_path, steps=1, seconds=9)
  # Each save is of a new step, and each restore of what was just saved.
  assert saved == restored == [1, 2, 3, 4]
  assert list(times) == _NAMES and {len(t) for t in times.values()} == {1}
  blocked, committed = (times[name][0] for name in _NAMES[:2])
  assert 0 < blocked < committed
  kept = [p.name for p in (tmp_path / "checkpoints").iterdir()]
  assert [name for name in kept if name.isdigit()] == ["4"]


def test_the_command_prints_writes_and_keeps(tmp_path, capsys, monkeypatch):
  monkeypatch.setitem(bench_checkpoint.SIZES, "tiny", _FIELDS)
  monkeypatch.setattr(bench_calls, "find_peaks", lambda: PEAKS)
  monkeypatch.setattr(
    bench_machine, "disk_bytes_per_s", lambda folder, num_bytes: (2e6, 4e6)
  )
  out, ledger = tmp_path / "out.json", tmp_path / "ledger.jsonl"
  folder = tmp_path / "disk"
  folder.mkdir()
  argv = ["--size=tiny", "--steps=1", f"--dir={folder}"]
  argv += [f"--json={out}", f"--ledger={ledger}"]
  assert bench.main(["checkpoint", *argv]) == 0
  assert list(folder.iterdir()) == []
  shown = capsys.readouterr().out
  assert max(map(len, shown.splitlines())) <= bench_table.WIDTH
  report = json.loads(out.read_text())
  assert report["command"] == ["ramjax", "bench", "checkpoint", *argv]
  for name in ("formula", "versions", "date", "code", "device", "peaks"):
    assert report[name], name
  num_bytes = report["bytes"]
  floors = [report["figures"][name]["floor_s"] for name in _NAMES]
  assert floors == [None, num_bytes / 2e6, num_bytes / 4e6, num_bytes / 1e9]
  (entry,) = bench_ledger.read(ledger)
  assert list(entry["figures"]) == _NAMES
  assert entry["figures"]["save, loop blocked"]["floor"] is None


def test_too_small_a_disk_is_said_before_anything_is_written(
  tmp_path, capsys, monkeypatch
):
  monkeypatch.setitem(bench_checkpoint.SIZES, "tiny", _FIELDS)
  asked = []

  def check_space(target, num_bytes):
    asked.append(num_bytes)
    raise ValueError("the disk is full")

  monkeypatch.setattr(new_folder, "check_space", check_space)
  argv = ["checkpoint", "--size=tiny", f"--dir={tmp_path}"]
  assert bench.main(argv) == 1
  assert "ramjax bench checkpoint: the disk is full" in capsys.readouterr().err
  model = presets.llama_config("tiny", **_FIELDS)
  assert asked == [pytest.approx(3.2 * 12 * model.num_parameters, rel=0.01)]
  assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_refused(capsys):
  assert bench.main(["checkpoint", "--dir=none"]) == 1
  assert "--dir=none is not a folder" in capsys.readouterr().err


def test_an_unknown_size_exits_with_2(capsys):
  with pytest.raises(SystemExit) as end:
    bench.main(["checkpoint", "--size=70b"])
  assert end.value.code == 2
  assert "invalid choice: '70b'" in capsys.readouterr().err


def test_help_says_what_is_measured(capsys):
  with pytest.raises(SystemExit) as end:
    bench.main(["checkpoint", "--help"])
  assert end.value.code == 0
  assert "ramjax bench checkpoint --dir=runs" in capsys.readouterr().out
