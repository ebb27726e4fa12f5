# SPDX-License-Identifier: Apache-2.0
"""Files of JSON lines: what stands in them, and what is no JSON."""

import math

import pytest

from ramjax.evals import record_file


def test_a_record_is_a_line(tmp_path):
  path = tmp_path / "records.jsonl"
  assert record_file.write_records(path, [{"a": "é\n"}, {"b": [1.5]}]) == path
  assert path.read_text("utf-8") == '{"a": "é\\n"}\n{"b": [1.5]}\n'


def test_what_is_no_number_of_json_leaves_the_file_as_it_was(tmp_path):
  path = tmp_path / "records.jsonl"
  record_file.write_records(path, [{"a": 1}])
  with pytest.raises(ValueError):
    record_file.write_records(path, [{"a": 2}, {"a": math.nan}])
  assert path.read_text() == '{"a": 1}\n'
