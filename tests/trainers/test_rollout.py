# SPDX-License-Identifier: Apache-2.0
"""A rollout on disk: every bit comes back, and damage is named."""

import dataclasses
import errno
import hashlib
import json

import numpy as np
import pytest
import tiny_rollouts

from ramjax.models.saved_digests import Damaged
from ramjax.trainers import rollout


def test_every_number_comes_back_with_its_dtype(tmp_path):
  made = tiny_rollouts.random_rollout()
  digest = rollout.save_arrays(tmp_path, 12, made)
  read = rollout.load_arrays(tmp_path, 12, digest)
  for field in dataclasses.fields(made):
    one, other = getattr(read, field.name), getattr(made, field.name)
    assert one.dtype == other.dtype, field.name
    np.testing.assert_array_equal(one, other)
  assert [path.name for path in tmp_path.iterdir()] == ["000012.npz"]


def test_the_mask_is_true_where_there_is_a_token():
  made = tiny_rollouts.random_rollout([(3, 1), (1, 3)], max_new_tokens=3)
  assert made.mask.tolist() == [[True, False, False], [True] * 3]


def test_records_are_one_object_a_line_and_replace_those_before(tmp_path):
  folder = tmp_path / "rollouts"
  rollout.save_records(folder, 3, [{"a": 1}, {"a": 2}, {"a": 3}])
  rollout.save_records(folder, 3, [{"a": "ü"}, {"a": 2}])
  lines = (folder / "000003.jsonl").read_text().splitlines()
  assert [json.loads(line)["a"] for line in lines] == ["ü", 2]
  assert [path.name for path in folder.iterdir()] == ["000003.jsonl"]


def test_the_digest_is_that_of_the_file_and_the_same_each_time(tmp_path):
  made = tiny_rollouts.random_rollout()
  digest = rollout.save_arrays(tmp_path, 1, made)
  data = (tmp_path / "000001.npz").read_bytes()
  assert digest == hashlib.sha256(data).hexdigest()
  assert rollout.save_arrays(tmp_path, 2, made) == digest
  other = tiny_rollouts.random_rollout(seed=1)
  assert rollout.save_arrays(tmp_path, 1, other) != digest


@pytest.mark.parametrize("digest", [None, "0" * 64])
def test_a_rollout_that_is_gone_is_damage(tmp_path, digest):
  assert not rollout.is_there(tmp_path, 4)
  with pytest.raises(Damaged, match=r"/000004\.npz, .* is gone"):
    rollout.load_arrays(tmp_path, 4, digest)


def _cut(path):
  path.write_bytes(path.read_bytes()[:100])


def _empty(path):
  path.write_bytes(b"")


def _of_objects(path):
  np.savez(path, prompts=np.array([{}], object))


def _of_other_names(path):
  np.savez(path, prompts=np.zeros(3))


@pytest.mark.parametrize("damage", [_cut, _empty, _of_objects, _of_other_names])
def test_without_a_digest_damage_is_named_and_nothing_is_unpickled(
  tmp_path, damage
):
  rollout.save_arrays(tmp_path, 0, tiny_rollouts.random_rollout())
  damage(tmp_path / "000000.npz")
  with pytest.raises(Damaged, match=r"/000000\.npz, .* cannot be read: "):
    rollout.load_arrays(tmp_path, 0, None)


def test_no_flipped_bit_of_the_file_goes_unnoticed(tmp_path):
  digest = rollout.save_arrays(tmp_path, 0, tiny_rollouts.random_rollout())
  path = tmp_path / "000000.npz"
  data = path.read_bytes()
  for place in range(0, len(data), 97):
    flipped = bytearray(data)
    flipped[place] ^= 1 << place % 8
    path.write_bytes(flipped)
    with pytest.raises(Damaged, match=r"digest of .*/000000\.npz"):
      rollout.load_arrays(tmp_path, 0, digest)


def test_what_the_system_does_not_give_is_no_damage(tmp_path, monkeypatch):
  digest = rollout.save_arrays(tmp_path, 0, tiny_rollouts.random_rollout())
  path = tmp_path / "000000.npz"

  def no_memory(*_, **__):
    raise MemoryError

  with monkeypatch.context() as patched:
    patched.setattr(np, "load", no_memory)
    with pytest.raises(MemoryError):
      rollout.load_arrays(tmp_path, 0, digest)
  path.unlink()
  path.symlink_to(path.name)
  for look in (rollout.is_there, lambda *of: rollout.load_arrays(*of, digest)):
    with pytest.raises(OSError) as error:
      look(tmp_path, 0)
    assert error.value.errno == errno.ELOOP
