# SPDX-License-Identifier: Apache-2.0
"""What is read of a checkpoint: damage is found once an array was read whole."""

import json
import shutil

import numpy as np
import pytest

from ramjax.models import array_digest, saved_digests
from ramjax.models.checked_reads import CheckedReads
from ramjax.models.tensors import TensorError

_PATH = ("layers", "up", "kernel")
_ARRAY = np.random.default_rng(0).normal(size=(2, 6, 5)).astype(np.float32)


def _item(folder, array=_ARRAY):
  """A checkpoint's `params`, of which only the record of digests is there."""
  item = folder / "3" / "params"
  item.mkdir(parents=True)
  leaf = {
    "dtype": str(array.dtype),
    "shape": list(array.shape),
    "sums": [int(part) for part in array_digest.digest(array)],
  }
  digests = item.parent / saved_digests.ITEM
  digests.mkdir()
  arrays = {"params": {"/".join(_PATH): leaf}}
  record = {"step": 3, "processes": 1, "arrays": arrays}
  (digests / saved_digests.file_name(0)).write_text(saved_digests.seal(record))
  metadata = {"item_handlers": {"params": "", saved_digests.ITEM: ""}}
  (item.parent / "_CHECKPOINT_METADATA").write_text(json.dumps(metadata))
  return item


def _read(checked, array, pieces):
  for layer, start, stop, axis in pieces:
    block = array[layer].take(range(start, stop), axis=axis)
    checked.saw(_PATH, block, layer=layer, start=start, axis=axis)


def _left(checked):
  """Elements of the array that were not read yet."""
  return checked._seen["/".join(_PATH)].left


_ROWS = [(1, 0, 4, 0), (0, 4, 6, 0), (1, 4, 6, 0), (0, 0, 4, 0)]
_COLUMNS = [(layer, at, at + 1, 1) for layer in (0, 1) for at in range(5)]
# What was read before is read again, in other blocks, and counts once.
_TWICE = [(1, 2, 3, 0), (0, 4, 6, 0), (1, 1, 5, 0), (0, 0, 6, 0), (1, 0, 6, 0)]
_OVERLAPPING = [
  (layer, start, start + 4, 0) for layer in (0, 1) for start in (0, 1, 2)
]


def _flipped(at):
  bits = _ARRAY.copy()
  bits.view(np.uint32)[at] ^= 1
  return bits


@pytest.mark.parametrize("pieces", [_ROWS, _COLUMNS, _TWICE, _OVERLAPPING])
def test_blocks_of_a_sound_array_pass_in_any_order(tmp_path, pieces):
  checked = CheckedReads(_item(tmp_path))
  for _ in range(2):
    _read(checked, _ARRAY, pieces)
    assert _left(checked) == 0  # So it was compared.


@pytest.mark.parametrize("pieces", [_ROWS, _COLUMNS, _TWICE, _OVERLAPPING])
@pytest.mark.parametrize("at", [(0, 0, 0), (0, 5, 4), (1, 3, 2)])
def test_one_bit_is_found_with_the_last_block(tmp_path, pieces, at):
  checked = CheckedReads(_item(tmp_path))
  _read(checked, _flipped(at), pieces[:-1])
  with pytest.raises(TensorError, match="params/layers/up/kernel") as error:
    _read(checked, _flipped(at), pieces[-1:])
  assert str(tmp_path / "3") in str(error.value)
  assert "another checkpoint of the run" in str(error.value)


def test_an_array_that_has_no_layers_is_compared_too(tmp_path):
  item = _item(tmp_path, _ARRAY[0])
  CheckedReads(item).saw(_PATH, _ARRAY[0], layer=None, start=0, axis=0)
  with pytest.raises(TensorError):
    CheckedReads(item).saw(_PATH, _ARRAY[1], layer=None, start=0, axis=0)


def test_what_is_read_again_is_refused_again(tmp_path):
  checked = CheckedReads(_item(tmp_path))
  for _ in range(2):
    with pytest.raises(TensorError):
      _read(checked, _flipped((0, 0, 0)), [(1, 0, 6, 0), (0, 0, 6, 0)])


def test_what_is_read_in_part_is_not_vouched_for(tmp_path):
  checked = CheckedReads(_item(tmp_path))
  _read(checked, _flipped((0, 0, 0)), [(0, 0, 6, 0), (1, 0, 5, 0)])
  assert _left(checked) == 5


def _parts(folder, array, pieces_of_each):
  """Of a reader of each list of pieces, as messages carry them."""
  item = _item(folder, array)
  found = [CheckedReads(item) for _ in pieces_of_each]
  for one, pieces in zip(found, pieces_of_each, strict=True):
    _read(one, array, pieces)
  return CheckedReads(item), json.loads(
    json.dumps([one.parts() for one in found])
  )


# Readers of whom each has something, and all have everything between them.
_SHARES = {
  "rows": [[(0, 0, 2, 0), (1, 0, 2, 0)], [(0, 2, 6, 0), (1, 2, 6, 0)]],
  "columns": [
    [(layer, 0, 3, 1) for layer in (0, 1)],
    _COLUMNS[3:5] + _COLUMNS[8:],
  ],
  "layers": [[(1, 0, 6, 0)], [(0, 2, 6, 0), (0, 0, 2, 0)]],
  "copies of a share": [
    [(0, 0, 4, 0), (1, 0, 6, 0)],
    [(0, 4, 6, 0)],
    [(1, 0, 6, 0), (0, 2, 4, 0), (0, 0, 2, 0)],
    [(0, 4, 6, 0)],
  ],
}


@pytest.mark.parametrize("share", _SHARES)
@pytest.mark.parametrize("at", [(0, 0, 0), (0, 5, 4), (1, 3, 2)])
def test_one_bit_is_found_in_what_several_read_between_them(
  tmp_path, share, at
):
  sound, parts = _parts(tmp_path / "sound", _ARRAY, _SHARES[share])
  assert all(part["layers/up/kernel"]["left"] for part in parts)
  sound.compare(parts)
  _, parts = _parts(tmp_path / "flipped", _flipped(at), _SHARES[share])
  with pytest.raises(
    TensorError, match="the digest of params/layers/up/kernel"
  ):
    sound.compare(parts)


def test_copies_that_differ_are_damage(tmp_path):
  pieces = [[(0, 0, 4, 0)]]
  sound, (one,) = _parts(tmp_path / "sound", _ARRAY, pieces)
  _, (other,) = _parts(tmp_path / "flipped", _flipped((0, 3, 1)), pieces)
  sound.compare([one, one])
  with pytest.raises(TensorError, match="read different bits of params/layers"):
    sound.compare([one, other])


_FIRST_LAYER = [(0, 0, 6, 0)]


@pytest.mark.parametrize(
  ("part", "rest"),
  [
    pytest.param([(1, 0, 5, 0)], [(1, 0, 6, 0)], id="left out"),
    # As many elements as the array has, but some of them twice.
    pytest.param([(0, 1, 6, 0), (1, 0, 1, 0)], [(1, 0, 6, 0)], id="overlap"),
  ],
)
def test_only_what_is_read_whole_and_once_is_vouched_for(tmp_path, part, rest):
  array = _flipped((0, 0, 0))
  sound = CheckedReads(_item(tmp_path / "sound"))
  _, parts = _parts(tmp_path / "part", array, [_FIRST_LAYER, part])
  assert sound.compare(parts) is None
  # The same bit, where nothing else stands in the way.
  _, parts = _parts(tmp_path / "rest", array, [_FIRST_LAYER, rest])
  with pytest.raises(TensorError, match="is not the one saved"):
    sound.compare(parts)


def test_what_one_process_has_digests_of_and_another_has_not_is_damage(
  tmp_path,
):
  item = _item(tmp_path)
  _, parts = _parts(tmp_path / "other", _ARRAY, [_FIRST_LAYER])
  (item.parent / "_CHECKPOINT_METADATA").unlink()
  shutil.rmtree(item.parent / saved_digests.ITEM)
  with pytest.raises(TensorError, match="has a digest of layers/up/kernel"):
    CheckedReads(item).compare(parts)


def test_what_a_reader_of_many_layers_tells_is_short(tmp_path):
  array = np.zeros((80, 6, 5), np.float32)
  _, (part,) = _parts(
    tmp_path, array, [[(layer, 2, 6, 0) for layer in range(80)]]
  )
  assert part["layers/up/kernel"]["read"] == [[0, 79, [[2, 6]]]]


def test_what_has_no_digests_is_read_as_before(tmp_path):
  item = _item(tmp_path)
  checked = CheckedReads(item)
  checked.saw(("other",), _ARRAY[0], layer=None, start=0, axis=0)
  assert not checked._seen
  # As of a converter.
  (item.parent / "_CHECKPOINT_METADATA").unlink()
  shutil.rmtree(item.parent / saved_digests.ITEM)
  checked = CheckedReads(item)
  _read(checked, _flipped((0, 0, 0)), _ROWS)
  assert not checked._seen


def test_digests_count_where_orbaxs_metadata_were_lost(tmp_path):
  item = _item(tmp_path)
  (item.parent / "_CHECKPOINT_METADATA").unlink()
  with pytest.raises(TensorError, match="is not the one saved"):
    _read(CheckedReads(item), _flipped((0, 0, 0)), _ROWS)


def test_lost_digests_are_damage(tmp_path):
  item = _item(tmp_path)
  shutil.rmtree(item.parent / saved_digests.ITEM)
  with pytest.raises(TensorError, match="is missing"):
    CheckedReads(item)


def test_the_checkpoint_of_another_step_is_refused(tmp_path):
  item = _item(tmp_path)
  item.parent.rename(tmp_path / "4")
  with pytest.raises(TensorError, match="it is the checkpoint of step 3"):
    CheckedReads(tmp_path / "4" / "params")


def test_a_damaged_record_is_told(tmp_path):
  item = _item(tmp_path)
  path = item.parent / saved_digests.ITEM / saved_digests.file_name(0)
  path.write_text(path.read_text().replace("float32", "float64"))
  with pytest.raises(TensorError, match="is not what was written"):
    CheckedReads(item)
