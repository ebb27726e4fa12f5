# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.tools.bench_convert."""

import copy
import json

import pytest

from ramjax.models.hf_folder import HFFolder
from ramjax.models.run_folder import RunFolder
from ramjax.tools import bench, bench_convert, bench_table, new_folder

_REPORT = {
  "equal_bytes": True,
  "conversions": {
    "from-hf": {"growth_bytes": 1_500_000_000, "speed": 0.25},
    "to-hf": {"growth_bytes": 10, "speed": 1.5},
  },
}


def _failures(name=None, **changes):
  report = copy.deepcopy(_REPORT)
  report["conversions"].get(name, report).update(changes)
  return bench_convert.failures(report)


def test_what_keeps_to_the_limits_does_not_fail():
  assert _failures() == []


@pytest.mark.parametrize(
  ("name", "changes", "message"),
  [
    ("from-hf", {"growth_bytes": 1_510_000_000}, "from-hf took 1.51 GB"),
    ("to-hf", {"speed": 0.24}, "to-hf has 0.24 of the speed of a copy"),
    (None, {"equal_bytes": False}, "is not the original, to the byte"),
  ],
)
def test_what_does_not_fails_by_name(name, changes, message):
  (failure,) = _failures(name, **changes)
  assert message in failure


def test_too_small_a_disk_is_said_before_anything_is_written(
  tmp_path, monkeypatch, capsys
):
  seen = []

  def check_space(target, num_bytes):
    seen.append(num_bytes)
    raise ValueError("the disk is full")

  monkeypatch.setattr(new_folder, "check_space", check_space)
  argv = ["convert", "--gigabytes=0.02", f"--dir={tmp_path}"]
  assert bench.main(argv) == 1
  assert bench.main([*argv, "--keep"]) == 1
  assert "ramjax bench convert: the disk is full" in capsys.readouterr().err
  assert seen[0] == pytest.approx(3.2 * 0.02e9, rel=0.1)
  assert seen[1] == pytest.approx(4.2 * 0.02e9, rel=0.1)


@pytest.mark.parametrize(
  ("argv", "message"),
  [
    (["--json=none/out.json"], "the folder none does not exist"),
    (["--dir=none"], "--dir=none is not a folder"),
  ],
)
def test_folders_that_do_not_exist_are_refused(capsys, argv, message):
  assert bench_convert.main(argv) == 1
  assert message in capsys.readouterr().err


@pytest.mark.parametrize("size", ["0", "-1", "nan", "inf", "0.001", "big"])
def test_a_size_is_a_number_large_enough(size):
  with pytest.raises(SystemExit) as end:
    bench_convert.main([f"--gigabytes={size}"])
  assert end.value.code == 2


def test_20_mb_go_there_and_back(tmp_path, monkeypatch, capsys):
  monkeypatch.delenv("XLA_FLAGS", raising=False)
  out, folder = tmp_path / "out.json", tmp_path / "files"
  folder.mkdir()
  argv = ["convert", "--gigabytes=0.02", f"--dir={folder}", f"--json={out}"]
  # So few bytes are too little to tell whether it is fast.
  assert bench.main(argv) in (0, 1)
  shown = capsys.readouterr().out
  assert "There and back: every tensor is equal to the byte." in shown
  assert max(map(len, shown.splitlines())) <= bench_table.WIDTH
  assert list(folder.iterdir()) == []
  report = json.loads(out.read_text())
  assert report["command"] == ["ramjax", "bench", *argv]
  assert report["equal_bytes"] and report["shards"] > 2
  assert report["sha256"][0] == report["sha256"][1]
  slower = max(report["copy_seconds"])
  for case in report["conversions"].values():
    assert 0 <= case["growth_bytes"] < 1e9 and case["base_bytes"] > 0
    assert case["speed"] == pytest.approx(slower / case["seconds"])


@pytest.mark.slow
def test_kept_files_are_the_model_in_both_layouts(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.delenv("XLA_FLAGS", raising=False)
  argv = ["--gigabytes=0.01", f"--dir={tmp_path}", "--dtype=float32", "--keep"]
  bench_convert.main(argv)
  (folder,) = tmp_path.iterdir()
  assert f"kept: {folder}" in capsys.readouterr().out.replace("\n  ", " ")
  original = HFFolder(folder / "original")
  run, export = RunFolder(folder / "run"), HFFolder(folder / "export")
  assert original.specs == run.specs == export.specs
  assert {spec.dtype for spec in original.specs.values()} == {"float32"}
