# SPDX-License-Identifier: Apache-2.0
"""A run's folder on a fast disk is its own; what cannot be one is named."""

import contextlib
import errno
import pathlib
import re
import resource
import shutil

import pytest
import tiny_checkpoints
from tiny_checkpoints import PROGRESS, Position

from ramjax.trainers import local_tier, workdir_lock
from ramjax.trainers.checkpoint_folder import SaveError
from ramjax.trainers.checkpoints import Checkpoints


@contextlib.contextmanager
def _claimed(tmp_path, name="a", local="fast"):
  """The local folder of the run in `name`, held."""
  checkpoints = tmp_path / name / "checkpoints"
  checkpoints.mkdir(parents=True, exist_ok=True)
  with contextlib.ExitStack() as held:
    yield local_tier.claim(str(tmp_path / local), checkpoints, held)


def _claim(tmp_path, name="a", local="fast"):
  with _claimed(tmp_path, name, local) as folder:
    return folder


def _run_id(tmp_path, name="a"):
  return tmp_path / name / "checkpoints" / local_tier.RUN_ID_FILE


def test_a_run_has_one_folder_and_another_run_another(tmp_path, capsys):
  first = _claim(tmp_path)
  assert first.is_dir() and first.parent == tmp_path / "fast"
  assert _run_id(tmp_path).read_text() == f"{first.name}\n"
  assert _claim(tmp_path) == first != _claim(tmp_path, "b")
  assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
  "content",
  [b"", b"\n", b"0123456789abcdef", b"../other", b"\xff" * 32, b"0" * 33],
)
def test_an_id_that_was_not_written_whole_is_as_one_that_is_missing(
  tmp_path, content
):
  first = _claim(tmp_path)
  _run_id(tmp_path).write_bytes(content)
  second = _claim(tmp_path)
  assert second.parent == first.parent and second != first
  assert _claim(tmp_path) == second


def test_a_full_disk_leaves_no_half_of_an_id(tmp_path):
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
  try:
    with pytest.raises(
      SaveError, match=r"checkpoints/run_id could not .*df -h"
    ):
      _claim(tmp_path)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  assert not _run_id(tmp_path).exists()
  assert _claim(tmp_path) == _claim(tmp_path)


def _local(tmp_path, name):
  return Checkpoints(
    tmp_path / name,
    keep=3,
    keep_every=0,
    local_dir=str(tmp_path / "fast"),
    local_every=1,
  )


def test_a_copy_of_a_workdir_does_not_go_on_from_the_other_ones_step(
  tmp_path, capsys
):
  with contextlib.closing(_local(tmp_path, "a")) as checkpoints:
    checkpoints.save(1, tiny_checkpoints.state(1), Position(1), PROGRESS)
    checkpoints.save_local(2, tiny_checkpoints.state(2), Position(2), PROGRESS)
  shutil.copytree(tmp_path / "a", tmp_path / "b")
  with contextlib.closing(_local(tmp_path, "b")) as checkpoints:
    assert checkpoints.latest_step() == 1
    checkpoints.save_local(3, tiny_checkpoints.state(3), Position(3), PROGRESS)
  said = capsys.readouterr().err
  assert f"{tmp_path}/b/checkpoints was copied or moved" in said
  assert f'those of "{tmp_path}/a/checkpoints"' in said
  with contextlib.closing(_local(tmp_path, "b")) as checkpoints:
    assert checkpoints.latest_step() == 3
  with contextlib.closing(_local(tmp_path, "a")) as checkpoints:
    assert checkpoints.latest_step() == 2
  assert capsys.readouterr().err == ""  # It is said once.


def test_a_copy_needs_not_wait_for_the_run_it_was_copied_from(tmp_path):
  with _claimed(tmp_path) as first:
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert _claim(tmp_path, "b") != first


def test_a_workdir_that_was_moved_begins_an_empty_folder(tmp_path, capsys):
  first = _claim(tmp_path)
  (tmp_path / "a").rename(tmp_path / "b")
  second = _claim(tmp_path, "b")
  assert second != first and first.is_dir()
  assert str(first) in capsys.readouterr().err


def test_a_folder_of_an_earlier_version_is_taken_over(tmp_path, capsys):
  first = _claim(tmp_path)
  (first / local_tier.OWNER_FILE).unlink()
  assert _claim(tmp_path) == first
  assert (first / local_tier.OWNER_FILE).exists()
  assert capsys.readouterr().err == ""


def test_a_second_job_is_refused_until_the_first_one_ends(tmp_path):
  first = _local(tmp_path, "a")
  with pytest.raises(workdir_lock.InUseError) as refused:
    _claim(tmp_path)
  assert str(refused.value).startswith("checkpoint.local_dir='")
  assert "is in use: process " in str(refused.value)
  first.close()
  _claim(tmp_path)


def test_a_folder_that_could_not_be_opened_is_not_held(tmp_path, monkeypatch):
  def fail(*_):
    raise ValueError("process 1 does not see it")

  with monkeypatch.context() as patched:
    patched.setattr(local_tier, "_require_shared", fail)
    with pytest.raises(ValueError, match="does not see it"):
      _claim(tmp_path)
  _claim(tmp_path)


def _a_file(path, monkeypatch):
  path.write_text("not a folder")


def _a_link_in_a_circle(path, monkeypatch):
  path.symlink_to(path)


def _forbidden(path, monkeypatch):
  # Permissions do not bind who runs as root.
  def refuse(*_, **__):
    raise PermissionError(errno.EACCES, "Permission denied", str(path))

  monkeypatch.setattr(pathlib.Path, "mkdir", refuse)


@pytest.mark.parametrize(
  "make,why",
  [
    (_a_file, "Not a directory"),
    # Python 3.13 leaves it to the system to say so.
    (_a_link_in_a_circle, r"Symlink loop|levels of symbolic links"),
    (_forbidden, "Permission denied"),
  ],
)
def test_what_cannot_be_a_local_folder_is_named_with_what_to_do(
  tmp_path, monkeypatch, make, why
):
  (tmp_path / "a" / "checkpoints").mkdir(parents=True)
  path = tmp_path / "fast"
  make(path, monkeypatch)
  with contextlib.ExitStack() as held, pytest.raises(SaveError) as error:
    local_tier.claim(str(path), tmp_path / "a" / "checkpoints", held)
  message = str(error.value)
  assert message.startswith(f"checkpoint.local_dir='{path}' cannot be used: ")
  assert re.search(why, message) and "checkpoint.local_every_steps=0" in message
