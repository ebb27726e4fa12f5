# SPDX-License-Identifier: Apache-2.0
"""A supervisor starts again what is worth it, and hands on the rest."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from ramjax.tools import supervise
from ramjax.tools.supervise import Progress, Supervisor
from ramjax.trainers.goodput import Goodput

# A run that notes each start in a file, and ends as the next word says: a
# status, a signal as -N, or first a checkpoint of a step as "@N", or the account
# of a step as "+N".
_RUN = """
import json, os, pathlib, sys
workdir = pathlib.Path(sys.argv[1].partition("=")[2])
notes = workdir / "starts"
number = len(notes.read_text()) if notes.exists() else 0
notes.write_text("x" * (number + 1))
plan = sys.argv[2:]
for word in plan[min(number, len(plan) - 1)].split(","):
  if word.startswith("@"):
    (workdir / "checkpoints" / word[1:]).mkdir(parents=True)
  elif word.startswith("+"):
    with (workdir / "goodput.jsonl").open("a") as file:
      record = dict(started=number, at=1, step=int(word), finished=False)
      file.write(json.dumps(record | dict(seconds={})) + "\\n")
  elif word.startswith("-"):
    os.kill(os.getpid(), -int(word))
  else:
    sys.exit(int(word))
"""


def _supervise(tmp_path, *plan, max_restarts=2):
  command = [sys.executable, "-c", _RUN, f"--workdir={tmp_path}", *plan]
  waits = []

  class _Quick(Supervisor):
    def _wait(self, seconds):
      waits.append(seconds)
      return False

  status = _Quick(command, max_restarts=max_restarts, wait_s=2.0).run()
  return status, len((tmp_path / "starts").read_text()), waits


def test_a_run_that_finishes_is_started_once(tmp_path):
  assert _supervise(tmp_path, "0") == (0, 1, [])


@pytest.mark.parametrize("first", ["75", "76", "77", "-9", "-6", "-15", "134"])
def test_what_another_start_may_mend_is_started_again(tmp_path, first):
  assert _supervise(tmp_path, first, "0")[:2] == (0, 2)


@pytest.mark.parametrize("first,status", [("1", 1), ("2", 2), ("-2", 130)])
def test_a_mistake_and_an_interrupt_are_handed_on(tmp_path, first, status):
  assert _supervise(tmp_path, first, "0")[:2] == (status, 1)


def test_without_a_new_checkpoint_it_gives_up_and_waits_longer(tmp_path, capfd):
  status, starts, waits = _supervise(tmp_path, "76", max_restarts=3)
  assert (status, starts) == (76, 4)
  assert waits == [2.0, 4.0, 8.0]
  assert "no progress in 4 starts in a row: giving up" in capfd.readouterr().err


def test_a_new_checkpoint_starts_the_count_anew(tmp_path):
  plan = ["@1,75", "76", "@2,77", "76", "76", "@3,0"]
  status, starts, waits = _supervise(tmp_path, *plan, max_restarts=2)
  assert (status, starts) == (0, 6)
  # At once where there is progress.
  assert waits == [0.0, 2.0, 0.0, 2.0, 4.0]


def test_a_step_further_than_before_is_progress_wherever_it_was_saved(tmp_path):
  plan = ["+5,77", "+9,77", "+9,77", "+8,77", "+10,77", "0"]
  status, starts, waits = _supervise(tmp_path, *plan, max_restarts=2)
  assert (status, starts) == (0, 6)
  assert waits == [0.0, 0.0, 2.0, 4.0, 0.0]


def test_the_default_gives_up_after_six_starts(tmp_path, monkeypatch, capfd):
  monkeypatch.setattr(Supervisor, "_wait", lambda *_: False)
  command = [sys.executable, "-c", _RUN, f"--workdir={tmp_path}", "77"]
  assert supervise.main(["--", *command]) == 77
  assert len((tmp_path / "starts").read_text()) == 6
  assert "in 6 starts in a row" in capfd.readouterr().err


def test_a_wait_is_at_most_five_minutes(tmp_path):
  _, _, waits = _supervise(tmp_path, "76", max_restarts=9)
  assert waits[-1] == 300.0 and max(waits) == 300.0


def test_a_program_that_is_not_there_is_named(capfd):
  assert supervise.main(["--", "no-such-program", "x"]) == 127
  assert "no-such-program does not start" in capfd.readouterr().err


@pytest.mark.parametrize(
  "argv,message",
  [
    ([], "there is no command behind --"),
    (["--"], "there is no command behind --"),
    (["--max-restarts=-1", "--", "x"], "no whole number from 0 on"),
    (["--wait=0", "--", "x"], "no number above 0"),
  ],
)
def test_wrong_arguments_are_refused(argv, message, capsys):
  with pytest.raises(SystemExit) as error:
    supervise.main(argv)
  assert error.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize(
  "command,workdir",
  [
    (["ramjax", "train", "--workdir=runs/a"], "runs/a"),
    (["ramjax", "train", "--workdir", "runs/b", "--x"], "runs/b"),
    (["sleep", "1"], None),
  ],
)
def test_the_workdir_is_that_of_the_command(command, workdir):
  expected = None if workdir is None else pathlib.Path(workdir)
  assert supervise.workdir_of(command) == expected


def test_checkpoints_of_rounds_count_and_unfinished_ones_do_not(tmp_path):
  for name in (
    "checkpoints/3", "round_1/checkpoints/8", "checkpoints/5.rejected",
    "checkpoints/4.orbax-checkpoint-tmp",
  ):  # fmt: skip
    (tmp_path / name).mkdir(parents=True)
  found = Progress.of(tmp_path).checkpoints
  assert {str(path.relative_to(tmp_path)) for path in found} == {
    "checkpoints/3", "round_1/checkpoints/8",
  }  # fmt: skip
  assert Progress.of(None) == Progress(frozenset(), 0)


def test_steps_of_all_rounds_count_whatever_else_is_in_the_file(tmp_path):
  for name, step in (("round_1", 8), ("round_2", 3)):
    folder = tmp_path / name
    folder.mkdir()
    goodput = Goodput(folder)
    goodput.begin(step)
    goodput.write()
    with (folder / "goodput.jsonl").open("a") as file:
      file.write('{"step": 99}\n{"started": 1')
  before = Progress.of(tmp_path)
  assert before.steps == 8 + 3
  # The same step again is no progress, one more is.
  for step, is_progress in ((3, False), (4, True)):
    goodput = Goodput(tmp_path / "round_2")
    goodput.begin(step)
    goodput.write()
    assert Progress.of(tmp_path).is_beyond(before) is is_progress


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_command_and_nothing_starts_after_it(
  tmp_path, number
):
  """A process of its own, for signals go to the main thread."""
  ready = tmp_path / "ready"
  child = (
    "import pathlib, signal, sys\n"
    "def stop(number, _):\n"
    "  pathlib.Path(sys.argv[1] + '.got').write_text(str(int(number)))\n"
    "  sys.exit(75)\n"
    "for number in (signal.SIGTERM, signal.SIGINT):\n"
    "  signal.signal(number, stop)\n"
    "pathlib.Path(sys.argv[1]).touch()\n"
    "while True:\n"
    "  signal.pause()\n"
  )
  command = [sys.executable, "-m", "ramjax.tools.cli", "supervise", "--"]
  process = subprocess.Popen(
    [*command, sys.executable, "-c", child, str(ready)],
    stderr=subprocess.PIPE,
    text=True,
  )
  deadline = time.monotonic() + 60
  while not ready.exists() and time.monotonic() < deadline:
    time.sleep(0.02)
  os.kill(process.pid, number)
  _, err = process.communicate(timeout=60)
  assert process.returncode == 75, err
  assert pathlib.Path(f"{ready}.got").read_text() == str(int(number))
  assert "starting again" not in err


def test_it_needs_no_jax():
  code = (
    "import sys, ramjax.tools.supervise;"
    " assert 'jax' not in sys.modules, 'jax was imported'"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stderr
