# SPDX-License-Identifier: Apache-2.0
"""How much of an evaluation's file is read."""

import gzip
import json

import pytest

from ramjax.evals import bounded_records

_ROWS = [{"a": "x" * 50, "b": [1, "y" * 30]}] * 4


@pytest.fixture(params=["rows.jsonl", "rows.jsonl.gz", "rows.json"])
def path(tmp_path, request):
  path = tmp_path / request.param
  text = "".join(json.dumps(row) + "\n" for row in _ROWS)
  if request.param == "rows.json":
    text = json.dumps(_ROWS)
  data = text.encode()
  path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
  return path


def _values(path, keys=None):
  records = bounded_records.read_records(path, keys)
  return [record.value for record in records]


def test_what_is_within_the_bounds_is_read_as_it_is(path, monkeypatch):
  monkeypatch.setattr(bounded_records, "MAX_ROWS", 4)
  assert _values(path) == _ROWS


def test_more_rows_are_refused_with_a_remedy(path, monkeypatch):
  monkeypatch.setattr(bounded_records, "MAX_ROWS", 3)
  with pytest.raises(ValueError, match=r"more than 3 records.*split the file"):
    _values(path)


def test_more_text_is_refused_at_its_row(path, monkeypatch):
  # A row: two names, 80 letters, a number, and 8 for the list.
  monkeypatch.setattr(bounded_records, "MAX_CHARS", 4 * 98)
  assert _values(path) == _ROWS
  monkeypatch.setattr(bounded_records, "MAX_CHARS", 4 * 98 - 1)
  with pytest.raises(ValueError, match=r"[:w] ?4: .*391 characters.*split"):
    _values(path)


def test_fields_that_are_not_kept_count_nothing(path, monkeypatch):
  monkeypatch.setattr(bounded_records, "MAX_CHARS", 300)
  assert _values(path, ["a"]) == _ROWS


def test_objects_come_with_their_places(tmp_path):
  path = tmp_path / "rows.jsonl"
  path.write_text('{"a": 1}\n\n{"a": 2}\n')
  found = list(bounded_records.read_objects(path, "an object"))
  assert [value for _, value in found] == [{"a": 1}, {"a": 2}]
  assert [where.rpartition(":")[2] for where, _ in found] == ["1", "3"]


@pytest.mark.parametrize(
  ("text", "problem"),
  [
    ('{"a": NaN}\n', r"rows\.jsonl:1"),
    ('{"a": 1}\n[1]\n', r"rows\.jsonl:2 is no JSON object .* write a thing"),
    ("\n", r"rows\.jsonl holds no records: write a thing"),
  ],
)
def test_a_file_of_anything_but_objects_is_refused(tmp_path, text, problem):
  path = tmp_path / "rows.jsonl"
  path.write_text(text)
  with pytest.raises(ValueError, match=problem):
    list(bounded_records.read_objects(path, "a thing"))
