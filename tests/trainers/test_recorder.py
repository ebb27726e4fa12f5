# SPDX-License-Identifier: Apache-2.0
"""The recorder: every line readable, nothing lost to a kill, plain in a pipe."""

import json

import pytest

from ramjax.trainers import recorder as recorder_lib
from ramjax.trainers.recorder import Recorder

_TRAIN = {
  "train/loss": 1.5,
  "train/tokens_per_s": 12_345.0,
  "train/padding_share": 0.0625,
}


def _recorder(workdir, **changes):
  options = dict(
    total_steps=100,
    first_step=0,
    elapsed_s=0.0,
    tensorboard=False,
    wandb_project="",
    config={},
  )
  return Recorder(workdir, **{**options, **changes})


def _lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_logged_step_is_one_json_line(tmp_path):
  recorder = _recorder(tmp_path)
  recorder.log(0, {"eval/loss": 3.0})
  recorder.log(10, _TRAIN)
  recorder.close()
  first, second = _lines(tmp_path / "metrics.jsonl")
  assert (first["step"], first["eval/loss"]) == (0, 3.0)
  assert (second["step"], second["train/loss"]) == (10, 1.5)
  assert second["time_s"] >= first["time_s"] >= 0


def test_a_pipe_gets_one_plain_line_a_step(tmp_path, capsys):
  recorder = _recorder(tmp_path)
  recorder.log(10, _TRAIN)
  recorder.close()
  line = capsys.readouterr().out
  assert line.startswith(
    "step  10/100  loss 1.5000  12.3k tok/s  padding 6%  left "
  )
  assert "\r" not in line and "\x1b" not in line


def test_figures_by_kind_stay_off_the_terminal(tmp_path, capsys):
  recorder = _recorder(tmp_path)
  recorder.log(
    10, {"eval/verified_accuracy": 0.5, "eval/verified_accuracy/copy": 1.0}
  )
  recorder.close()
  assert capsys.readouterr().out == "step  10/100  eval/verified_accuracy 0.5\n"
  assert "eval/verified_accuracy/copy" in _lines(tmp_path / "metrics.jsonl")[0]


def test_figures_of_benchmarks_alone_are_no_line(tmp_path, capsys):
  recorder = _recorder(tmp_path)
  recorder.log(10, {"eval/math/accuracy": 0.5})
  recorder.close()
  assert capsys.readouterr().out == ""
  assert _lines(tmp_path / "metrics.jsonl")[0]["eval/math/accuracy"] == 0.5


def test_a_continued_run_appends_and_keeps_counting_time(tmp_path):
  _recorder(tmp_path).close()
  recorder = _recorder(tmp_path, first_step=10, elapsed_s=1000.0)
  recorder.log(20, _TRAIN)
  recorder.close()
  assert _lines(tmp_path / "metrics.jsonl")[0]["time_s"] >= 1000.0


def test_a_line_torn_by_a_kill_is_dropped_before_appending(tmp_path):
  path = tmp_path / "metrics.jsonl"
  path.write_text('{"step": 1}\n{"step": 2, "train/lo')
  recorder = _recorder(tmp_path)
  recorder.log(2, _TRAIN)
  recorder.close()
  assert [line["step"] for line in _lines(path)] == [1, 2]


def test_samples_are_appended(tmp_path):
  recorder = _recorder(tmp_path)
  recorder.samples([{"step": 0, "response": "a"}])
  recorder.samples([{"step": 9, "response": "\u2028"}])
  recorder.close()
  lines = _lines(tmp_path / "samples.jsonl")
  assert [line["response"] for line in lines] == ["a", "\u2028"]


def test_tensorboard_files_are_written_when_asked(tmp_path):
  pytest.importorskip("tensorboardX")
  recorder = _recorder(tmp_path, tensorboard=True)
  recorder.log(10, _TRAIN)
  recorder.close()
  assert list((tmp_path / "tensorboard").iterdir())


def test_a_missing_sink_names_what_to_install(tmp_path, monkeypatch):
  monkeypatch.setitem(__import__("sys").modules, "wandb", None)
  with pytest.raises(ModuleNotFoundError, match=r"ramjax\[wandb\]"):
    _recorder(tmp_path, wandb_project="mine")


def test_of_several_processes_the_first_alone_writes_and_prints(
  tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(recorder_lib.processes, "is_first", lambda: False)
  # No sink is opened, either: one would say that it is not installed.
  monkeypatch.setattr(recorder_lib.importlib, "import_module", None)
  recorder = _recorder(tmp_path, tensorboard=True, wandb_project="p")
  recorder.log(10, _TRAIN)
  recorder.samples([{"step": 10}])
  recorder.advance()
  recorder.say("hello")
  assert recorder.elapsed_s >= 0
  recorder.close()
  assert capsys.readouterr().out == ""
  assert not list(tmp_path.iterdir())
