# SPDX-License-Identifier: Apache-2.0
"""The lock of a workdir: one job, released by a kill, no file left over."""

import errno
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from ramjax.trainers import workdir_lock

_HOLDER = """
import pathlib, sys, time
from ramjax.trainers import workdir_lock
with workdir_lock.held(pathlib.Path(sys.argv[1]), is_first=True):
  print("held", flush=True)
  time.sleep(600)
"""


def _listing(folder: pathlib.Path) -> dict[str, bytes]:
  return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_nothing_is_left_behind(tmp_path):
  workdir = tmp_path / "new" / "run"
  with workdir_lock.held(workdir, is_first=True):
    assert (workdir / workdir_lock.FILE).exists()
  assert not workdir.exists()


def test_a_workdir_in_which_something_was_written_stays(tmp_path):
  workdir = tmp_path / "run"
  with workdir_lock.held(workdir, is_first=True):
    (workdir / "metrics.jsonl").write_text("{}")
  assert [p.name for p in workdir.iterdir()] == ["metrics.jsonl"]


def test_the_second_is_told_who_runs_and_touches_nothing(tmp_path):
  with workdir_lock.held(tmp_path, is_first=True):
    (tmp_path / "config.json").write_text("{}")
    before = _listing(tmp_path)
    with pytest.raises(workdir_lock.InUseError) as refused:
      with workdir_lock.held(tmp_path, is_first=True):
        raise AssertionError("both hold it")
    assert _listing(tmp_path) == before
  message = str(refused.value)
  assert f"process {os.getpid()} on {os.uname().nodename}" in message
  assert "another --workdir" in message and str(tmp_path) in message


def test_it_can_be_held_again_after_an_error(tmp_path):
  with pytest.raises(KeyError), workdir_lock.held(tmp_path, is_first=True):
    raise KeyError
  with workdir_lock.held(tmp_path, is_first=True):
    pass


def test_the_other_processes_of_a_job_do_not_ask_for_it(tmp_path):
  with workdir_lock.held(tmp_path, is_first=True):
    with workdir_lock.held(tmp_path, is_first=False):
      assert (tmp_path / workdir_lock.FILE).exists()
    assert (tmp_path / workdir_lock.FILE).exists()


def test_a_lock_file_that_was_removed_meanwhile_is_made_anew(
  tmp_path, monkeypatch
):
  # Between its opening and its locking, the holder let go and removed it.
  flock, calls = fcntl.flock, []

  def removing(descriptor, operation):
    if not calls:
      (tmp_path / workdir_lock.FILE).unlink()
    calls.append(operation)
    return flock(descriptor, operation)

  monkeypatch.setattr(fcntl, "flock", removing)
  with workdir_lock.held(tmp_path, is_first=True):
    holder = json.loads((tmp_path / workdir_lock.FILE).read_text())
    assert holder["pid"] == os.getpid()
  assert len(calls) == 2


def test_a_file_system_without_locks_is_said_and_used(
  tmp_path, monkeypatch, capsys
):
  def unsupported(*_):
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

  monkeypatch.setattr(fcntl, "flock", unsupported)
  with workdir_lock.held(tmp_path, is_first=True):
    pass
  said = capsys.readouterr().err
  assert "without locks" in said and str(tmp_path) in said


def test_another_error_of_the_file_system_is_raised(tmp_path, monkeypatch):
  def broken(*_):
    raise OSError(errno.EIO, os.strerror(errno.EIO))

  monkeypatch.setattr(fcntl, "flock", broken)
  with pytest.raises(OSError, match="Input/output"):
    with workdir_lock.held(tmp_path, is_first=True):
      raise AssertionError("entered")


@pytest.mark.slow
def test_a_killed_process_holds_nothing(tmp_path):
  holder = subprocess.Popen(
    [sys.executable, "-c", _HOLDER, str(tmp_path)],
    stdout=subprocess.PIPE,
    text=True,
  )
  assert holder.stdout is not None
  assert holder.stdout.readline() == "held\n"
  with pytest.raises(workdir_lock.InUseError, match=f"process {holder.pid} "):
    with workdir_lock.held(tmp_path, is_first=True):
      raise AssertionError("both hold it")
  holder.send_signal(signal.SIGKILL)
  holder.communicate()
  with workdir_lock.held(tmp_path, is_first=True):
    pass
