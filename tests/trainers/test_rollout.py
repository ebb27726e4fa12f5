# SPDX-License-Identifier: Apache-2.0
"""A rollout on disk: every bit comes back, and damage is named."""

import dataclasses
import json

import numpy as np
import pytest
import tiny_rollouts

from ramjax.trainers import rollout


def test_every_number_comes_back_with_its_dtype(tmp_path):
  made = tiny_rollouts.random_rollout()
  rollout.save_arrays(tmp_path, 12, made)
  read = rollout.load_arrays(tmp_path, 12)
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


def test_a_rollout_that_is_gone_is_named_with_what_to_do(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"000004\.npz does not exist"):
    rollout.load_arrays(tmp_path, 4)


def _cut(path):
  path.write_bytes(path.read_bytes()[:100])


def _empty(path):
  path.write_bytes(b"")


def _of_objects(path):
  np.savez(path, prompts=np.array([{}], object))


def _of_other_names(path):
  np.savez(path, prompts=np.zeros(3))


@pytest.mark.parametrize("damage", [_cut, _empty, _of_objects, _of_other_names])
def test_damage_is_named_and_nothing_is_unpickled(tmp_path, damage):
  rollout.save_arrays(tmp_path, 0, tiny_rollouts.random_rollout())
  damage(tmp_path / "000000.npz")
  with pytest.raises(ValueError, match=r"000000\.npz is damaged .*older check"):
    rollout.load_arrays(tmp_path, 0)
