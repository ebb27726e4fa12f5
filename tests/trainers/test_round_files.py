# SPDX-License-Identifier: Apache-2.0
"""A stage's file is there whole or not at all, however often it was begun."""

import fcntl
import json

import pytest

from ramjax.trainers import round_files


def _write(path, *, stop_at=None, made=None):
  """Seven items of two rows, three at a time; stops before some item."""

  def make(items):
    if made is not None:
      made.extend(items)
    return [{"item": item, "row": row} for item in items for row in range(2)]

  chunks = iter(range(0, 7, 3))
  begun = []

  def before_chunk():
    begun.append(next(chunks))
    if stop_at is not None and len(begun) > stop_at:
      raise KeyboardInterrupt

  round_files.write_in_chunks(
    path,
    make,
    num_items=7,
    rows_per_item=2,
    chunk=3,
    before_chunk=before_chunk,
  )


def test_the_last_chunk_may_be_smaller(tmp_path):
  path = tmp_path / "rows.jsonl"
  _write(path)
  rows = round_files.read_rows(path)
  assert [row["item"] for row in rows] == [i for i in range(7) for _ in "ab"]
  assert [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("torn", [b"", b'{"item": 3, "row": 0}\n', b'{"it'])
@pytest.mark.parametrize("stop_at", [0, 1, 2])
def test_a_file_that_was_begun_is_finished_with_the_same_bytes(
  tmp_path, stop_at, torn
):
  whole, cut = tmp_path / "whole", tmp_path / "cut"
  _write(whole)
  with pytest.raises(KeyboardInterrupt):
    _write(cut, stop_at=stop_at)
  assert not cut.exists()
  with (tmp_path / "cut.partial").open("ab") as file:
    file.write(torn)
  made = []
  _write(cut, made=made)
  assert made == list(range(3 * stop_at, 7))
  assert cut.read_bytes() == whole.read_bytes()


def test_two_processes_do_not_write_one_file(tmp_path):
  path = tmp_path / "rows.jsonl"
  with (tmp_path / "rows.jsonl.partial").open("ab") as other:
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(ValueError, match="written by another process"):
      _write(path)
  _write(path)
  assert len(round_files.read_rows(path)) == 14


def test_a_finished_file_is_not_made_again(tmp_path):
  path = tmp_path / "rows.jsonl"
  path.write_text("{}\n")
  _write(path, stop_at=0)
  assert path.read_text() == "{}\n"


def test_a_file_that_is_gone_is_named_with_the_remedy(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"rows\.jsonl does not exist"):
    round_files.read_rows(tmp_path / "rows.jsonl")


def test_an_object_is_read_back_and_a_missing_one_is_none(tmp_path):
  path = tmp_path / "value.json"
  assert round_files.read_json(path) is None
  round_files.write_json(path, {"b": 1, "a": [2.5]})
  assert round_files.read_json(path) == {"b": 1, "a": [2.5]}
  assert json.loads(path.read_text()) == {"a": [2.5], "b": 1}


def test_what_json_has_no_number_for_is_refused(tmp_path):
  path = tmp_path / "rows.jsonl"
  with pytest.raises(ValueError, match="not JSON compliant"):
    round_files.write_rows(path, [{"score": float("nan")}])
  assert not path.exists()
