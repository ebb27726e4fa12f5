# SPDX-License-Identifier: Apache-2.0
"""A run that hangs is found, and one that is only slow is not."""

import math
import os
import subprocess
import sys
import threading

import pytest

from ramjax.trainers import watchdog as watchdog_module
from ramjax.trainers.watchdog import Watchdog


class _Ends(list):
  """Collects the statuses with which a process would have ended."""

  def __call__(self, status):
    self.append(status)


def _watchdog(tmp_path):
  ends = _Ends()
  return Watchdog(100.0, tmp_path, long_seconds=250.0, leave=ends), ends


def _look(watchdog, times):
  for _ in range(times):
    watchdog.look()


def test_stacks_at_t_and_the_end_at_twice_t(tmp_path, capfd):
  watchdog, ends = _watchdog(tmp_path)
  _look(watchdog, 19)  # Of 20 looks within T.
  assert capfd.readouterr().err == ""
  _look(watchdog, 1)
  said = capfd.readouterr().err
  assert "a step has not ended for 100 s (run.watchdog_seconds)" in said
  assert "test_stacks_at_t_and_the_end_at_twice_t" in said
  _look(watchdog, 19)
  assert ends == []
  _look(watchdog, 1)
  assert ends == [76]
  assert "still a step after 200 s" in capfd.readouterr().err


def test_the_stacks_are_kept_in_the_workdir(tmp_path):
  # The run may hang before it makes one.
  workdir = tmp_path / "runs" / "new"
  watchdog, _ = _watchdog(workdir)
  _look(watchdog, 20)
  for thread in threading.enumerate():
    if thread.daemon and thread.name.startswith("stacks"):
      thread.join()
  text = (workdir / "stacks.txt").read_text()
  assert f"process {os.getpid()}: watchdog: a step" in text
  assert "test_the_stacks_are_kept_in_the_workdir" in text


def test_a_step_that_ends_starts_the_count_anew(tmp_path):
  watchdog, ends = _watchdog(tmp_path)
  for _ in range(5):
    _look(watchdog, 39)
    watchdog.beat()
  assert ends == []


def test_a_long_stretch_has_its_own_limit_and_the_old_one_comes_back(
  tmp_path, capfd
):
  watchdog, ends = _watchdog(tmp_path)
  _look(watchdog, 15)
  with watchdog.during("evaluation"):
    _look(watchdog, 49)
    assert capfd.readouterr().err == ""
    _look(watchdog, 1)
    said = capfd.readouterr().err
    assert "evaluation has not ended for 250 s" in said
    assert "(run.watchdog_long_seconds)" in said
  # What it took does not count against the step.
  _look(watchdog, 39)
  assert ends == []
  _look(watchdog, 1)
  assert ends == [76]


def test_a_long_stretch_that_hangs_ends_the_process_at_twice_its_time(
  tmp_path, capfd
):
  watchdog, ends = _watchdog(tmp_path)
  with watchdog.during("a checkpoint"):
    _look(watchdog, 99)
    assert ends == []
    _look(watchdog, 1)
  assert ends == [76]
  assert "still a checkpoint after 500 s" in capfd.readouterr().err


def test_a_stretch_that_fails_gives_the_limit_back(tmp_path):
  watchdog, ends = _watchdog(tmp_path)
  with pytest.raises(OSError):
    with watchdog.during("a checkpoint"):
      raise OSError
  _look(watchdog, 40)
  assert ends == [76]


def _with_a_look_at_each_line(watchdog, name, do):
  """Runs `do`; the thread looks whenever a line of a method is about to run."""

  def trace(frame, event, _):
    code = frame.f_code
    if (code.co_name, code.co_filename) != (name, watchdog_module.__file__):
      return None
    watchdog.look()
    return trace

  previous = sys.gettrace()
  sys.settrace(trace)
  try:
    do()
  finally:
    sys.settrace(previous)


def test_a_look_within_the_end_of_a_long_stretch_ends_nothing(tmp_path, capfd):
  watchdog, ends = _watchdog(tmp_path)
  stretch = watchdog.during("a checkpoint")
  stretch.__enter__()
  # Of 50 looks; a step that takes 40 is ended.
  _look(watchdog, 42)
  _with_a_look_at_each_line(
    watchdog, "during", lambda: stretch.__exit__(None, None, None)
  )
  assert ends == [] and capfd.readouterr().err == ""


@pytest.mark.parametrize("looks", [20, 21, 22, 23])
def test_a_look_within_the_start_of_a_long_stretch_writes_no_stacks(
  tmp_path, capfd, looks
):
  ends = _Ends()
  # Those of a long stretch are written after 24 looks here: none of the looks
  # at the step before it is one of them.
  watchdog = Watchdog(100.0, tmp_path, long_seconds=120.0, leave=ends)
  _look(watchdog, looks)
  capfd.readouterr()
  stretch = watchdog.during("a checkpoint")
  _with_a_look_at_each_line(watchdog, "during", stretch.__enter__)
  assert ends == [] and capfd.readouterr().err == ""


def _threads():
  """Its threads; those of other tests come and go."""
  return [
    thread for thread in threading.enumerate() if thread.name == "watchdog"
  ]


def test_its_thread_ends_with_the_context(tmp_path):
  with Watchdog(1000.0, tmp_path, long_seconds=1000.0):
    assert len(_threads()) == 1
  assert not _threads()


def test_without_seconds_there_is_no_thread(tmp_path):
  with Watchdog(0.0, tmp_path, long_seconds=0.0):
    assert not _threads()


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_a_time_that_is_none_is_refused(tmp_path, seconds):
  with pytest.raises(ValueError, match=r"run\.watchdog_seconds="):
    Watchdog(seconds, tmp_path, long_seconds=7200.0)


@pytest.mark.parametrize("seconds", [99.0, math.nan, math.inf])
def test_less_time_for_what_takes_longer_is_refused(tmp_path, seconds):
  with pytest.raises(ValueError, match=r"run\.watchdog_long_seconds="):
    Watchdog(100.0, tmp_path, long_seconds=seconds)


def test_a_process_that_hangs_in_a_call_of_jax_ends_with_76(tmp_path):
  """A callback of the step never returns, and no signal would end it."""
  # What takes long on a slow machine, to start and to compile, comes before.
  code = (
    "import pathlib, sys, threading, jax\n"
    "from ramjax.trainers.watchdog import Watchdog\n"
    "hangs = False\n"
    "def never(x):\n"
    "  if hangs:\n"
    "    threading.Event().wait()\n"
    "  return x\n"
    "@jax.jit\n"
    "def hung_step(x):\n"
    "  shape = jax.ShapeDtypeStruct(x.shape, x.dtype)\n"
    "  return jax.pure_callback(never, shape, x)\n"
    "jax.device_get(hung_step(1.0))\n"
    "hangs = True\n"
    "with Watchdog(1.0, pathlib.Path(sys.argv[1]), long_seconds=2.0):\n"
    "  jax.device_get(hung_step(1.0))\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", code, tmp_path],
    capture_output=True,
    text=True,
    check=False,
    timeout=300,
  )
  assert done.returncode == 76, done.stderr
  stacks = (tmp_path / "stacks.txt").read_text()
  for text in (done.stderr, stacks):
    # Where the main thread is, from the top to what it waits for.
    assert "in <module>" in text and "in never" in text
