# SPDX-License-Identifier: Apache-2.0
"""A file of rows goes on behind its last whole chunk, and behind no other's."""

import json

import pytest

from ramjax.tools.resumed_rows import ResumedRows, differences

_COMMAND = {"model": {"fingerprint": "a"}, "options": {"seed": 0, "stop": ()}}
_ROWS = [{"row": i, "text": "é\n"} for i in range(5)]


def _open(path, command=None, **options):
  given = {"chunk": 2, "total": 5} | options
  return ResumedRows(path, command or _COMMAND, **given)


def _write(path, **options):
  with _open(path, **options) as rows:
    begun = rows.num_rows
    for start in range(begun, 5, 2):
      rows.append(_ROWS[start : start + 2])
    assert rows.num_rows == 5
  return begun


def test_rows_are_lines_in_their_order(tmp_path):
  path = tmp_path / "a.jsonl"
  assert _write(path) == 0
  assert [json.loads(line) for line in path.read_text().splitlines()] == _ROWS
  side = json.loads((tmp_path / "a.jsonl.run.json").read_text())
  assert side["options"] == {"seed": 0, "stop": []}
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    "a.jsonl",
    "a.jsonl.run.json",
  ]


def test_a_file_cut_anywhere_is_continued_to_the_same_bytes(tmp_path):
  path = tmp_path / "a.jsonl"
  _write(path)
  data = path.read_bytes()
  ends = [i + 1 for i, byte in enumerate(data) if byte == 10]
  for size in range(len(data) + 1):
    path.write_bytes(data[:size])
    whole = sum(end <= size for end in ends)
    assert _write(path) == (5 if whole == 5 else whole // 2 * 2)
    assert path.read_bytes() == data


def test_a_side_file_without_rows_is_begun(tmp_path):
  path = tmp_path / "a.jsonl"
  _write(path)
  path.unlink()
  assert _write(path) == 0


@pytest.mark.parametrize("side", [True, False])
def test_another_commands_rows_are_left_alone_without_force(tmp_path, side):
  path = tmp_path / "a.jsonl"
  _write(path)
  data = path.read_bytes()
  other = {"model": {"fingerprint": "b"}, "options": {"seed": 1, "stop": ()}}
  if side:
    match = (
      r'model.fingerprint: "a" there, "b" now; options.seed: 0 there, 1 now\):'
      r".*--force"
    )
  else:
    (tmp_path / "a.jsonl.run.json").unlink()
    match = r"there is no a.jsonl.run.json beside it.*--force"
  with pytest.raises(ValueError, match=match):
    _open(path, other)
  assert path.read_bytes() == data
  with _open(path, other, force=True) as rows:
    assert rows.num_rows == 0
    rows.append(_ROWS[:2])
  with _open(path, other) as rows:
    assert rows.num_rows == 2


def test_force_begins_the_same_command_anew(tmp_path):
  path = tmp_path / "a.jsonl"
  _write(path)
  assert _write(path, force=True) == 0


def test_two_writers_at_a_time_are_refused(tmp_path):
  path = tmp_path / "a.jsonl"
  with _open(path):
    for force in (False, True):
      with pytest.raises(ValueError, match="is being written by another"):
        _open(path, force=force)
  _open(path).__exit__()


def test_more_rows_than_the_command_makes_are_refused(tmp_path):
  path = tmp_path / "a.jsonl"
  _write(path)
  with path.open("a") as file:
    file.write("{}\n")
  with pytest.raises(ValueError, match="has 6 rows, and the command makes 5"):
    _open(path)


def test_a_damaged_side_file_is_named(tmp_path):
  path = tmp_path / "a.jsonl"
  _write(path)
  (tmp_path / "a.jsonl.run.json").write_text("{")
  with pytest.raises(ValueError, match=r"a.jsonl.run.json is not valid JSON"):
    _open(path)


def test_a_number_that_is_not_finite_is_not_written(tmp_path):
  path = tmp_path / "a.jsonl"
  with _open(path) as rows:
    with pytest.raises(ValueError, match="Out of range float"):
      rows.append([{"row": 0}, {"row": float("nan")}])
  assert path.read_bytes() == b""


@pytest.mark.parametrize(
  "there,now,found",
  [
    ({}, {}, []),
    ({"a": [1, 2]}, {"a": [1, 2]}, []),
    ({"a": [1, 2]}, {"a": [2, 1]}, ["a: [1, 2] there, [2, 1] now"]),
    ({"a": 1}, {"b": 1}, ["a: 1 there, null now", "b: null there, 1 now"]),
    ({"a": {"b": 1}}, {"a": 3}, ['a: {"b": 1} there, 3 now']),
    ({"a": 100 * "x"}, {"a": ""}, [f'a: "{79 * "x"}... there, "" now']),
  ],
)
def test_differences_are_named(there, now, found):
  assert differences(there, now) == found
