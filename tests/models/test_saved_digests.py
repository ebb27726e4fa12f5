# SPDX-License-Identifier: Apache-2.0
"""The record of digests: it vouches for itself, and its absence is explained."""

import hashlib
import json

import pytest

from ramjax.models import saved_digests
from ramjax.models.saved_digests import Damaged

_LEAF = {"dtype": "float32", "shape": [2], "sums": [4, 2**32 - 1]}


def _write(step_dir, process=0, **fields):
  record = {"step": 3, "processes": 1, "arrays": {"params": {"w": _LEAF}}}
  folder = step_dir / saved_digests.ITEM
  folder.mkdir(exist_ok=True)
  path = folder / saved_digests.file_name(process)
  path.write_text(saved_digests.seal({**record, **fields}))
  return path


def _write_metadata(step_dir, *items):
  text = json.dumps({"item_handlers": dict.fromkeys(items, "x")})
  (step_dir / "_CHECKPOINT_METADATA").write_text(text)


def test_the_digest_of_a_text_by_hand():
  assert (
    saved_digests.text_digest({"b": (1, 2), "a": None})
    == hashlib.sha256(b'{"a":null,"b":[1,2]}').hexdigest()
  )


def test_order_and_kind_of_keys_do_not_count_but_values_do():
  digest = saved_digests.text_digest
  assert digest({10: "x", 2: "y"}) == digest({"2": "y", "10": "x"})
  assert digest({"a": 1}) != digest({"a": 2})
  assert digest({"a": 1}) != digest({"a": 1.0})


def test_what_was_written_is_read(tmp_path):
  _write(tmp_path)
  record = saved_digests.read(tmp_path)
  assert record is not None
  assert record["arrays"] == {"params": {"w": _LEAF}}
  assert record["step"] == 3


def test_the_sums_of_several_processes_are_added(tmp_path):
  other = {"params": {"w": {**_LEAF, "sums": [10, 3]}}}
  _write(tmp_path, processes=2)
  _write(tmp_path, 1, processes=2, arrays=other)
  record = saved_digests.read(tmp_path)
  assert record is not None
  assert record["arrays"]["params"]["w"]["sums"] == [14, 2]
  (tmp_path / saved_digests.ITEM / saved_digests.file_name(1)).unlink()
  with pytest.raises(Damaged, match=r"process_1\.json cannot be read"):
    saved_digests.read(tmp_path)


def test_a_flipped_bit_is_found_wherever_it_means_something(tmp_path):
  path = _write(tmp_path)
  sound = path.read_bytes()
  found = 0
  places = range(0, 8 * len(sound), 7)  # 7: each bit of a byte in turn.
  for place in places:
    damaged = bytearray(sound)
    damaged[place // 8] ^= 1 << (place % 8)
    path.write_bytes(damaged)
    try:
      record = saved_digests.read(tmp_path)
    except Damaged:
      found += 1
    else:  # White space, or its like.
      assert record is not None
      assert saved_digests.seal(record).encode() == sound
  assert found > 0.95 * len(places)


def test_a_format_of_the_future_is_no_damage(tmp_path, monkeypatch):
  with monkeypatch.context() as later:
    later.setattr(saved_digests, "FORMAT", 2)
    _write(tmp_path)
  with pytest.raises(ValueError, match="format 2 and this version reads 1"):
    saved_digests.read(tmp_path)


def test_a_checkpoint_written_without_digests_has_none(tmp_path):
  _write_metadata(tmp_path, "params", "train")
  assert saved_digests.read(tmp_path) is None


def test_lost_digests_are_damage(tmp_path):
  _write_metadata(tmp_path, "params", "train", saved_digests.ITEM)
  with pytest.raises(Damaged, match=r"process_0\.json is missing"):
    saved_digests.read(tmp_path)


@pytest.mark.parametrize("text", [None, "", "[1", '{"item_handlers": null}'])
def test_lost_digests_and_lost_metadata_are_damage(tmp_path, text):
  if text is not None:
    (tmp_path / "_CHECKPOINT_METADATA").write_text(text)
  with pytest.raises(Damaged, match="missing or damaged"):
    saved_digests.read(tmp_path)
