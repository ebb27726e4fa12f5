# SPDX-License-Identifier: Apache-2.0
"""A folder of checkpoints: errors of the disk are said at the next look."""

import contextlib
import errno
import json
import resource
import time

import numpy as np
import pytest
import tiny_checkpoints
from tiny_checkpoints import PROGRESS, Position

from ramjax.models import saved_digests
from ramjax.trainers.checkpoint_folder import CheckpointFolder, SaveError


@contextlib.contextmanager
def _no_file_above(num_bytes):
  """As on a disk that is full after so many bytes of a file."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _checked_until_error(folder):
  """Looks as the loop does after each step; an error must come of itself."""
  deadline = time.monotonic() + 60
  while time.monotonic() < deadline:
    folder.check()
    time.sleep(0.005)
  raise AssertionError("no error in 60 s")


@pytest.fixture
def folder(tmp_path):
  opened = CheckpointFolder(tmp_path / "checkpoints", keep=1, keep_every=0)
  state = tiny_checkpoints.state(1)
  opened.save(1, state, Position(1), PROGRESS)
  opened.wait()
  yield opened
  opened.close()


def test_a_save_that_goes_well_is_silent(folder):
  folder.save(2, tiny_checkpoints.state(2), Position(2), PROGRESS)
  folder.check()
  folder.wait()
  folder.check()
  assert folder.steps() == [2]


def test_a_full_disk_is_said_without_waiting_and_the_last_step_stays(folder):
  with _no_file_above(4096), pytest.raises(SaveError) as error:
    folder.save(2, tiny_checkpoints.state(2), Position(2), PROGRESS)
    _checked_until_error(folder)
  message = str(error.value)
  assert str(folder.directory) in message
  assert f"the last good one is {folder.path(1)}" in message
  assert "df -h" in message and "same command" in message
  assert folder.steps() == [1]
  folder.check()  # It is said once.
  folder.close()
  again = CheckpointFolder(folder.directory, keep=1, keep_every=0)
  assert again.steps() == [1]
  batches = Position()
  restored = again.restore(1, tiny_checkpoints.state(9), batches)
  assert tiny_checkpoints.bits(restored.state) == tiny_checkpoints.bits(
    tiny_checkpoints.state(1)
  )
  again.close()


def test_a_position_that_finds_no_room_is_said_as_the_rest(folder):
  class Full(Position):
    def get_state(self):
      raise OSError(errno.ENOSPC, "No space left on device")

  with pytest.raises(SaveError, match=r"No space left .*good one is .*df -h"):
    folder.save(2, tiny_checkpoints.state(2), Full(2), PROGRESS)
  assert folder.steps() == [1]


def test_a_folder_that_went_away_is_said_by_its_name(folder, tmp_path):
  # As where its mount is lost; permissions do not bind who runs as root.
  folder.directory.rename(tmp_path / "elsewhere")
  folder.directory.write_text("not a folder")
  with pytest.raises(SaveError, match="checkpoints: "):
    folder.save(2, tiny_checkpoints.state(2), Position(2), PROGRESS)
    _checked_until_error(folder)
  assert (tmp_path / "elsewhere" / "1" / "params").is_dir()


def test_a_folder_that_cannot_be_made_is_said_before_anything_runs(tmp_path):
  (tmp_path / "run").write_text("a file")
  with pytest.raises(SaveError, match="there is none yet"):
    CheckpointFolder(tmp_path / "run" / "checkpoints", keep=1, keep_every=0)


def test_the_record_names_every_array_and_text(folder):
  record = saved_digests.read(folder.path(1))
  assert record is not None
  assert (record["step"], record["processes"]) == (1, 1)
  assert record["arrays"].keys() == {"params", "train"}
  half = record["arrays"]["params"]["half"]
  assert (half["dtype"], half["shape"]) == ("bfloat16", [16, 8])
  assert "opt_state/0/mu/weight" in record["arrays"]["train"]
  assert record["texts"] == {
    "data": saved_digests.text_digest(Position(1).get_state()),
    "progress": saved_digests.text_digest(PROGRESS),
  }


def test_digests_are_there_when_the_step_is_and_not_before(folder):
  state = tiny_checkpoints.state(2)
  folder.save(2, state, Position(2), PROGRESS)
  # Training goes on: the buffers are given away and overwritten.
  for leaf in state.params.values():
    leaf.delete()
  folder.wait()
  restored = folder.restore(2, tiny_checkpoints.state(9), Position())
  assert restored.is_proven
  np.testing.assert_array_equal(
    restored.state.params["weight"], tiny_checkpoints.state(2).params["weight"]
  )


def test_another_position_in_the_data_is_damage(folder):
  path = folder.path(1) / "data" / "position.json"
  position = json.loads(path.read_text())
  position["next_index"] = 7
  path.write_text(json.dumps(position))
  batches = Position()
  with pytest.raises(saved_digests.Damaged, match=r"data/position\.json"):
    folder.restore(1, tiny_checkpoints.state(9), batches)
  assert batches.at == 0
