# SPDX-License-Identifier: Apache-2.0
"""JSON of a model's files is read strictly, and never eats the memory."""

import pytest

from ramjax.models import strict_json


def test_an_object_is_read():
  data = '{"a": [1, -2.5, "é", null, true]}'.encode()
  assert strict_json.parse_object(data, what="f") == {
    "a": [1, -2.5, "é", None, True]
  }


@pytest.mark.parametrize(
  ("data", "message"),
  [
    (b'{"a": 1, "a": 1}', r"^f: its x .*'a' stands twice"),
    (b'{"b": {"a": 1, "\\u0061": 2}}', "'a' stands twice"),
    (b'{"a": NaN}', "NaN is not a JSON number"),
    (b'{"a": -Infinity}', "-Infinity is not"),
    (b'{"a": 1e999}', "1e999 is too large"),
    (b"[1]", "holds a JSON list; it must be an object"),
    (b'{"a": 1} {}', "Extra data"),
    (b'{"a": "\xff"}', "not valid JSON: 'utf-8'"),
    ('{"a": 1}'.encode("utf-16"), "not valid JSON"),
    (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
    (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nests too deeply"),
    (b'{"a":[' + b"[]," * 2**18 + b"0]}", "262,146 opening brackets; at most"),
    (b"", "not valid JSON"),
  ],
)
def test_what_is_not_strict_json_is_refused(data, message):
  with pytest.raises(ValueError, match=message):
    strict_json.parse_object(data, what="f: its x")
