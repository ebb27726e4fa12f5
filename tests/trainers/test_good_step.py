# SPDX-License-Identifier: Apache-2.0
"""The newest good checkpoint is found; what is not good is said and kept."""

import contextlib
import dataclasses
import errno
import shutil

import jax
import pytest
import tiny_checkpoints
from tiny_checkpoints import PROGRESS, Position

from ramjax.models import weights
from ramjax.trainers import (
  checkpoint_folder,
  checkpoint_step,
  good_step,
  state_items,
)
from ramjax.trainers.checkpoint_folder import CheckpointFolder
from ramjax.trainers.checkpoint_step import ReadError
from ramjax.trainers.checkpoints import Checkpoints
from ramjax.trainers.good_step import NoGoodStepError, restore_newest
from ramjax.trainers.skipped_updates import SkipRule


@pytest.fixture
def folder(tmp_path):
  opened = CheckpointFolder(tmp_path / "checkpoints", keep=5, keep_every=0)
  for step in (1, 2, 3):
    opened.save(step, tiny_checkpoints.state(step), Position(step), PROGRESS)
  opened.wait()
  yield opened
  opened.close()


def _lose(folder, step):
  shutil.rmtree(folder.path(step) / "params")


def test_the_newest_is_taken_where_it_is_good(folder):
  batches = Position()
  found = restore_newest([folder], tiny_checkpoints.state(9), batches)
  assert found is not None
  assert (found.step, found.notes, batches.at) == (3, [], 3)
  assert found.restored.progress == PROGRESS
  assert tiny_checkpoints.bits(found.restored.state) == tiny_checkpoints.bits(
    tiny_checkpoints.state(3)
  )


def test_damaged_ones_are_passed_over_said_and_set_aside(folder):
  _lose(folder, 3)
  tiny_checkpoints.flip_a_bit(folder.path(2) / "progress" / "metadata")
  batches = Position()
  found = restore_newest([folder], tiny_checkpoints.state(9), batches)
  assert found is not None
  assert (found.step, batches.at) == (1, 1)
  assert found.restored.state.step == 1
  first, second = found.notes
  assert first.startswith("checkpoint of step 3 rejected: cannot be read")
  assert first.endswith(f"it is now {folder.path(3)}.rejected")
  assert second.startswith("checkpoint of step 2 rejected: ")
  assert "progress/metadata" in second
  assert folder.steps() == [1]
  assert (folder.directory / "3.rejected" / "train").is_dir()


def test_a_step_that_was_set_aside_can_be_saved_again_and_again(folder):
  for name in ("3.rejected", "3.rejected-2"):
    _lose(folder, 3)
    restore_newest([folder], tiny_checkpoints.state(9), Position())
    assert (folder.directory / name).is_dir()
    state = tiny_checkpoints.state(3)
    folder.save(3, state, Position(3), PROGRESS)
    folder.wait()
    found = restore_newest([folder], tiny_checkpoints.state(9), Position())
    assert found is not None and (found.step, found.notes) == (3, [])


def test_without_a_good_one_nothing_moves_and_nothing_starts_anew(folder):
  for step in (1, 2, 3):
    _lose(folder, step)
  with pytest.raises(NoGoodStepError) as error:
    restore_newest([folder], tiny_checkpoints.state(9), Position())
  for step in (1, 2, 3):
    assert f"{folder.path(step)}: cannot be read" in str(error.value)
  assert "move these away" in str(error.value)
  assert folder.steps() == [1, 2, 3]


def test_a_folder_in_which_all_were_set_aside_is_no_fresh_start(folder):
  for step in (1, 2, 3):
    folder.set_aside(step)
  with pytest.raises(NoGoodStepError, match=r"1\.rejected"):
    restore_newest([folder], tiny_checkpoints.state(9), Position())


def test_an_empty_folder_is_a_fresh_start(tmp_path):
  opened = CheckpointFolder(tmp_path / "none", keep=1, keep_every=0)
  assert restore_newest([opened], tiny_checkpoints.state(9), Position()) is None
  opened.close()


def test_a_state_with_other_arrays_is_refused_and_nothing_is_set_aside(folder):
  like = tiny_checkpoints.state(9)
  del like.params["on"]
  with pytest.raises(ValueError, match=r"params/on: bool\[8\] there, absent"):
    restore_newest([folder], like, Position())
  assert folder.steps() == [1, 2, 3]


def test_a_config_that_the_position_does_not_fit_sets_nothing_aside(folder):
  class Other(Position):
    def set_state(self, state):
      raise ValueError("change rollout.prompts between two rollouts")

  with pytest.raises(ValueError, match=r"^change rollout\.prompts"):
    restore_newest([folder], tiny_checkpoints.state(9), Other())
  assert folder.steps() == [1, 2, 3] and not folder.set_aside_before()


def test_rows_that_are_gone_set_nothing_aside(folder):
  class Gone(Position):
    def set_state(self, state):
      raise FileNotFoundError("rows.jsonl does not exist")

  with pytest.raises(FileNotFoundError, match=r"^rows\.jsonl"):
    restore_newest([folder], tiny_checkpoints.state(9), Gone())
  assert folder.steps() == [1, 2, 3] and not folder.set_aside_before()


@pytest.mark.parametrize(
  "error",
  [
    MemoryError("cannot allocate"),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ESTALE, "Stale file handle"),
    OSError(errno.EMFILE, "Too many open files"),
    PermissionError(errno.EACCES, "Permission denied"),
  ],
  ids=lambda error: type(error).__name__ + str(getattr(error, "errno", "")),
)
def test_what_fails_of_the_machine_stops_and_sets_nothing_aside(
  folder, monkeypatch, error
):
  def fail(*_):
    raise error

  monkeypatch.setattr(state_items, "read", fail)
  with pytest.raises(ReadError, match="run the same command again") as found:
    restore_newest([folder], tiny_checkpoints.state(9), Position())
  assert str(folder.path(3)) in str(found.value)
  assert error.args[-1] in str(found.value)
  assert folder.steps() == [1, 2, 3] and not folder.set_aside_before()


@pytest.mark.parametrize(
  "error",
  [
    MemoryError("cannot allocate"),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ESTALE, "Stale file handle"),
  ],
  ids=lambda error: type(error).__name__ + str(getattr(error, "errno", "")),
)
def test_what_fails_of_the_machine_beside_the_step_sets_nothing_aside(
  folder, error
):
  class Unread(Position):
    def set_state(self, state):
      raise error

  with pytest.raises(ReadError, match="run the same command again") as found:
    restore_newest([folder], tiny_checkpoints.state(9), Unread())
  assert str(folder.path(3)) in str(found.value)
  assert error.args[-1] in str(found.value)
  assert folder.steps() == [1, 2, 3] and not folder.set_aside_before()


@pytest.mark.parametrize("name", ["params/manifest.ocdbt", "progress/metadata"])
def test_a_file_that_the_system_will_not_open_sets_nothing_aside(folder, name):
  path = folder.path(3) / name
  path.unlink()
  path.symlink_to(path.name)  # Permissions do not bind who runs as root.
  with pytest.raises(ReadError, match="may be sound"):
    restore_newest([folder], tiny_checkpoints.state(9), Position())
  assert folder.steps() == [1, 2, 3] and not folder.set_aside_before()


def test_the_first_process_alone_lists_the_steps(folder, monkeypatch):
  told = []

  def of_first(make):
    told.append(make())
    # As where this process sees an older listing than the first.
    monkeypatch.setattr(CheckpointFolder, "steps", lambda self: [1])
    return told[-1]

  monkeypatch.setattr(good_step.processes, "first_tells", of_first)
  found = restore_newest([folder], tiny_checkpoints.state(9), Position())
  assert found is not None and found.step == 3
  assert told[0] == [(-3, 0), (-2, 0), (-1, 0)]


def test_all_list_the_folder_before_the_next_step_is_renamed(
  folder, monkeypatch
):
  # Orbax fails where a step that it lists is renamed.
  events = []

  def together(do):
    events.append("all")
    do()

  monkeypatch.setattr(checkpoint_folder.processes, "together", together)
  monkeypatch.setattr(folder._manager, "reload", lambda: events.append("list"))
  folder.set_aside(3)
  assert events == ["all", "list"]


def test_a_step_that_this_process_never_sees_is_no_damage(folder, monkeypatch):
  record = checkpoint_step.record(folder.path(3), 3)
  monkeypatch.setattr(good_step.processes, "_SHARED_SECONDS", 0)
  monkeypatch.setattr(checkpoint_step, "record", lambda *_: record)
  folder.path(3).rename(folder.directory / "hidden")
  monkeypatch.setattr(CheckpointFolder, "steps", lambda self: [1, 2, 3])
  with pytest.raises(ReadError, match="process 0 sees it"):
    restore_newest([folder], tiny_checkpoints.state(9), Position())
  assert (folder.directory / "hidden").is_dir()


def _rule(max_in_a_row, sigma, window=4):
  return SkipRule(max_in_a_row, sigma, window).initial()


@pytest.mark.parametrize("before", [(0, 0.0), (3, 0.0), (3, 6.0), (3, 6.0, 5)])
@pytest.mark.parametrize("after", [(0, 0.0), (3, 0.0), (3, 6.0), (2, 9.0)])
def test_a_run_goes_on_under_another_rule_on_skipped_updates(
  tmp_path, before, after
):
  def state(seed, rule, by):
    made = tiny_checkpoints.state(seed)
    kept = jax.tree.map(lambda x: x + by, _rule(*rule))
    return dataclasses.replace(
      made, skips=jax.device_put(kept, made.step.sharding)
    )

  saved = state(1, before, 7)
  with contextlib.closing(
    CheckpointFolder(tmp_path / "run", keep=1, keep_every=0)
  ) as opened:
    opened.save(1, saved, Position(1), PROGRESS)
    opened.wait()
    like = state(9, after, 0)
    found = restore_newest([opened], like, Position())
  assert found is not None and found.restored.is_proven
  skips = found.restored.state.skips
  assert skips.keys() == like.skips.keys()
  same_window = before[1] and after[1] and len(before) == 2
  for name, value in skips.items():
    is_kept = before[0] and (same_window or name in ("skipped", "in_a_row"))
    assert (value == (7 if is_kept else 0)).all(), name
    assert value.shape == like.skips[name].shape


def test_a_checkpoint_of_another_step_is_rejected(folder):
  shutil.rmtree(folder.path(3))
  shutil.copytree(folder.path(1), folder.path(3))
  found = restore_newest([folder], tiny_checkpoints.state(9), Position())
  assert found is not None and found.step == 2
  assert "it is the checkpoint of step 1" in found.notes[0]


def _local(tmp_path, name="run"):
  return Checkpoints(
    tmp_path / name,
    keep=3,
    keep_every=0,
    local_dir=str(tmp_path / "fast"),
    local_every=2,
  )


def _save_both(checkpoints):
  for step in (2, 3, 4):
    state, batches = tiny_checkpoints.state(step), Position(step)
    if step == 3:
      checkpoints.save(step, state, batches, PROGRESS)
    else:
      checkpoints.save_local(step, state, batches, PROGRESS)
  checkpoints.wait()


def test_the_newest_of_both_tiers_is_taken(tmp_path):
  checkpoints = _local(tmp_path)
  _save_both(checkpoints)
  assert [checkpoints.is_local_due(step) for step in (1, 2, 3)] == [
    *(False, True, False)
  ]
  assert checkpoints.latest_step() == 4
  continued = checkpoints.restore_latest(tiny_checkpoints.state(9), Position())
  assert (continued.step, continued.notes) == (4, [])
  shutil.rmtree(checkpoints.path(4) / "train")
  continued = checkpoints.restore_latest(tiny_checkpoints.state(9), Position())
  assert continued.step == 3 and "step 4 rejected" in continued.notes[0]
  assert weights.checkpoint_steps(tmp_path / "run") == [3]
  checkpoints.close()


def test_the_local_tier_of_another_run_is_not_read(tmp_path):
  checkpoints = _local(tmp_path)
  _save_both(checkpoints)
  checkpoints.close()
  shutil.rmtree(tmp_path / "run")  # And the run starts anew in its place.
  checkpoints = _local(tmp_path)
  fresh = tiny_checkpoints.state(9)
  continued = checkpoints.restore_latest(fresh, Position())
  assert continued.step is None and continued.state is fresh
  checkpoints.close()


@pytest.mark.parametrize("folder,every", [("", 5), ("/tmp/x", 0), ("", -1)])
def test_half_a_local_tier_is_refused(tmp_path, folder, every):
  with pytest.raises(ValueError, match="local_dir"):
    Checkpoints(
      tmp_path, keep=1, keep_every=0, local_dir=folder, local_every=every
    )
