# SPDX-License-Identifier: Apache-2.0
"""The place in the data: one file, read by any number of processes."""

import json

import numpy as np
import orbax.checkpoint as ocp
import pytest

from ramjax.data.batches import train_batches
from ramjax.trainers import data_position, processes


def _batches():
  examples = [
    {"tokens": np.full(5, i), "response_mask": np.ones(5, bool)}
    for i in range(1, 30)
  ]
  rows = [_Example(**example) for example in examples]
  return train_batches(
    [rows], weights=[1.0], length=8, batch_size=2, pack=False, seed=0
  )


class _Example:
  def __init__(self, tokens, response_mask):
    self.tokens, self.response_mask = tokens, response_mask


def _manager(folder):
  return ocp.CheckpointManager(folder)


def _save(folder, batches):
  with _manager(folder) as manager:
    manager.save(3, args=ocp.args.Composite(data=data_position.Save(batches)))
  return folder / "3" / "data"


def _restore(folder):
  batches = _batches()
  batches.set_state(data_position.read(folder / "3" / "data"))
  return batches


def test_batches_go_on_where_they_were_saved(tmp_path):
  batches = _batches()
  next(batches)
  held = _save(tmp_path, batches)
  assert [path.name for path in held.glob("*.json")] == ["position.json"]
  expected = [next(batches).tokens for _ in range(5)]
  resumed = _restore(tmp_path)
  np.testing.assert_array_equal(
    [next(resumed).tokens for _ in range(5)], expected
  )


def test_the_first_process_alone_writes(tmp_path, monkeypatch):
  monkeypatch.setattr(processes, "is_first", lambda: False)
  assert not list(_save(tmp_path, _batches()).glob("*.json"))


def test_what_grain_wrote_of_one_process_is_read(tmp_path):
  batches = _batches()
  next(batches)
  held = _save(tmp_path, batches)
  (held / "position.json").rename(held / "process_0-of-1.json")
  expected = next(batches).tokens
  np.testing.assert_array_equal(next(_restore(tmp_path)).tokens, expected)


def test_places_of_each_process_are_refused(tmp_path):
  held = _save(tmp_path, _batches())
  (held / "position.json").unlink()
  for index in range(2):
    (held / f"process_{index}-of-2.json").write_text(json.dumps({}))
  with pytest.raises(ValueError, match="several processes that each read rows"):
    _restore(tmp_path)
