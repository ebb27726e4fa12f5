# SPDX-License-Identifier: Apache-2.0
"""No damage of a checkpoint's files goes unnoticed: flips, cuts, losses, age."""

import random
import shutil

import jax
import pytest
import tiny_checkpoints
from tiny_checkpoints import PROGRESS, Position

from ramjax.trainers.checkpoint_folder import CheckpointFolder
from ramjax.trainers.good_step import restore_newest

_ITEMS = ("params", "train", "data", "progress", "digests")


def _files(folder):
  return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """Two steps; a test damages a copy of the second."""
  directory = tmp_path_factory.mktemp("saved")
  folder = CheckpointFolder(directory, keep=2, keep_every=0)
  for step in (1, 2):
    folder.save(
      step, tiny_checkpoints.state(step), Position(step), dict(PROGRESS)
    )
  folder.close()
  return directory


def _verdict(saved, directory, damage):
  """What a run makes of the steps after `damage(path of step 2)`.

  Returns:
    "rejected" where it goes on from step 1 and says so, "equal" where it goes on
    from step 2 with every bit as saved. Anything else fails.
  """
  shutil.copytree(saved, directory)
  damage(directory / "2")
  folder = CheckpointFolder(directory, keep=2, keep_every=0)
  batches = Position()
  found = restore_newest([folder], tiny_checkpoints.state(9), batches)
  folder.close()
  shutil.rmtree(directory)
  assert found is not None
  state, step = found.restored.state, found.step
  assert tiny_checkpoints.bits(state) == tiny_checkpoints.bits(
    tiny_checkpoints.state(step)
  )
  assert batches.at == step and found.restored.progress == PROGRESS
  assert found.restored.is_proven
  if step == 1:
    assert found.notes[0].startswith("checkpoint of step 2 rejected: ")
    return "rejected"
  assert not found.notes
  return "equal"


def _flip_a_bit(rng, paths):
  """A bit of all the bytes in the files: large files get the most."""
  sizes = [path.stat().st_size for path in paths]
  (path,) = rng.choices(paths, sizes)
  data = bytearray(path.read_bytes())
  place = rng.randrange(8 * len(data))
  data[place // 8] ^= 1 << (place % 8)
  path.write_bytes(data)


@pytest.mark.slow
def test_of_100_flipped_bits_none_goes_unnoticed(saved, tmp_path, capsys):
  rng = random.Random(0)
  verdicts = [
    _verdict(saved, tmp_path / "copy", lambda at: _flip_a_bit(rng, _files(at)))
    for _ in range(100)
  ]
  rejected = verdicts.count("rejected")
  with capsys.disabled():
    print(
      f"\nbit flips anywhere: {rejected} of 100 rejected,"
      f" {100 - rejected} loaded bit-equal, 0 unnoticed"
    )
  # The rest hits what Orbax notes and no run reads.
  assert rejected >= 50


@pytest.mark.slow
def test_of_100_bits_flipped_in_stored_numbers_none_goes_unnoticed(
  saved, tmp_path, capsys
):
  rng = random.Random(1)

  def damage(step):
    _flip_a_bit(rng, [path for path in _files(step) if path.parent.name == "d"])

  verdicts = [_verdict(saved, tmp_path / "copy", damage) for _ in range(100)]
  rejected = verdicts.count("rejected")
  with capsys.disabled():
    print(
      f"\nbit flips in array files: {rejected} of 100 rejected,"
      f" {100 - rejected} loaded bit-equal, 0 unnoticed"
    )
  assert rejected >= 50


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", "deleted", "zeroed", "emptied"])
def test_a_file_that_is_broken_whole_is_noticed(saved, tmp_path, how, capsys):
  names = [path.relative_to(saved / "2") for path in _files(saved / "2")]

  def damage_of(name):
    def damage(step):
      path = step / name
      data = path.read_bytes()
      if how == "deleted":
        path.unlink()
      elif how == "zeroed":
        path.write_bytes(bytes(len(data)))
      else:
        path.write_bytes(data[: len(data) // 2] if how == "cut" else b"")

    return damage

  verdicts = {
    name: _verdict(saved, tmp_path / "copy", damage_of(name)) for name in names
  }
  rejected = list(verdicts.values()).count("rejected")
  with capsys.disabled():
    print(
      f"\nfiles {how}: {rejected} of {len(names)} rejected,"
      f" {len(names) - rejected} loaded bit-equal, 0 unnoticed"
    )
  assert rejected >= 5  # The rest is what Orbax notes and no run reads.


@pytest.mark.parametrize("item", _ITEMS)
def test_a_missing_item_is_noticed(saved, tmp_path, item):
  def damage(step):
    shutil.rmtree(step / item)

  assert _verdict(saved, tmp_path / "copy", damage) == "rejected"


def test_an_empty_step_is_noticed(saved, tmp_path):
  def damage(step):
    shutil.rmtree(step)
    step.mkdir()

  assert _verdict(saved, tmp_path / "copy", damage) == "rejected"


def test_an_item_of_another_step_is_noticed(saved, tmp_path):
  def damage(step):
    shutil.rmtree(step / "params")
    shutil.copytree(step.parent / "1" / "params", step / "params")

  assert _verdict(saved, tmp_path / "copy", damage) == "rejected"


def test_one_flipped_bit_of_a_weight_is_named(saved, tmp_path):
  shutil.copytree(saved, tmp_path / "copy")
  folder = CheckpointFolder(tmp_path / "copy", keep=3, keep_every=0)
  state = tiny_checkpoints.state(2)
  # As a disk would: sound files, one wrong bit in what they decode to.
  weight = state.params["weight"]
  bits = jax.lax.bitcast_convert_type(weight, "uint32")
  flipped = bits.at[3, 4].set(bits[3, 4] ^ 1)
  wrong = jax.lax.bitcast_convert_type(flipped, "float32")
  state.params["weight"] = jax.device_put(wrong, weight.sharding)
  folder.save(3, state, Position(3), dict(PROGRESS))
  folder.wait()
  shutil.rmtree(folder.path(2) / "params")
  shutil.copytree(folder.path(3) / "params", folder.path(2) / "params")
  folder.set_aside(3)
  found = restore_newest([folder], tiny_checkpoints.state(9), Position())
  folder.close()
  assert found is not None
  assert "digest of params/weight is not the one saved" in found.notes[0]
