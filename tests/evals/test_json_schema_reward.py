# SPDX-License-Identifier: Apache-2.0
"""JSON Schema reward: strict JSON, the schema of the config or of the row."""

import json
import socket

import pytest

from ramjax.evals import json_schema_reward as module
from ramjax.evals.answers import Answer
from ramjax.evals.json_schema_reward import (
  MAX_CHARACTERS,
  NO_JSON,
  json_of,
  json_schema_reward,
)

pytest.importorskip("jsonschema")

_PERSON = {
  "type": "object",
  "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
  "required": ["name"],
  "additionalProperties": False,
}


def _score(*responses, schema=None, record=None, **options):
  answers = [Answer((), text, record or {}, True, 1) for text in responses]
  return json_schema_reward(answers, schema=schema, **options)


@pytest.mark.parametrize(
  "text,value",
  [
    (' {"a": [1]}\n', {"a": [1]}),
    ("null", None),
    ('So:\n```json\n{"a": 1}\n```\nDone.', {"a": 1}),
    ("```json\n1\n``` or ```json\n2\n```", 2),
    ('"```json"', "```json"),
    ('{"a": 1} {"b": 2}', NO_JSON),
    ("Sure: {}", NO_JSON),
    ('```json\n{"a": 1}', NO_JSON),
    ("", NO_JSON),
    ("NaN", NO_JSON),
    ('{"a": 1, "a": 2}', NO_JSON),
    ("[" * 65 + "]" * 65, NO_JSON),
    ("[" * 50_000, NO_JSON),
    ("9" * 401, NO_JSON),
    ("1e999", NO_JSON),
    ("\0", NO_JSON),
    ("\ud800", NO_JSON),
    ("0" + " " * MAX_CHARACTERS, NO_JSON),
    ("```json" * 10_000, NO_JSON),
  ],
)
def test_the_answer_or_its_last_fence_is_one_json_value(text, value):
  found = json_of(text)
  assert found is value if value is NO_JSON else found == value


def test_an_answer_satisfies_the_schema_of_the_config_or_not():
  responses = (
    '{"name": "A", "age": 3}',
    '{"name": "A", "age": "3"}',
    "{}",
    "A",
  )
  assert _score(*responses, schema=_PERSON) == [1, 0, 0, 0]
  assert _score(*responses, schema=json.dumps(_PERSON)) == [1, 0, 0, 0]


def test_without_one_the_schema_is_the_rows():
  for schema in (_PERSON, json.dumps(_PERSON)):
    record = {"format": schema}
    assert _score('{"name": ""}', "[]", record=record, field="format") == [1, 0]


def test_a_schema_that_names_its_draft_is_read_as_that_draft():
  # Draft 7 has lists in `items`, draft 2020-12 in `prefixItems`.
  schema = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "items": [{"type": "string"}],
  }
  assert _score("[1]", '["a"]', schema=schema) == [0.0, 1.0]


def test_a_reference_within_the_schema_is_followed():
  schema = {"$defs": {"n": {"type": "number"}}, "items": {"$ref": "#/$defs/n"}}
  assert _score("[1]", '["a"]', schema=schema) == [1.0, 0.0]


@pytest.mark.parametrize(
  "url", ["https://example.com/s.json", "file:///etc/passwd", "other.json"]
)
def test_a_remote_reference_is_refused_and_nothing_is_fetched(url, monkeypatch):
  def opened(*args, **kwargs):
    raise AssertionError("network")

  monkeypatch.setattr(socket, "socket", opened)
  for schema in (
    {"$ref": url},
    {"properties": {"a": {"items": {"$ref": url}}}},
  ):
    with pytest.raises(ValueError, match="nothing is fetched"):
      _score("{}", schema=schema)


def test_data_that_looks_like_a_reference_is_data():
  schema = {"const": {"$ref": "https://example.com"}}
  assert _score('{"$ref": "https://example.com"}', schema=schema) == [1.0]


def test_a_reference_to_nothing_is_refused():
  with pytest.raises(ValueError, match=r"/\$defs/n.* which it does not have"):
    _score("1", schema={"$ref": "#/$defs/n"})


@pytest.mark.parametrize(
  "schema", [{"type": "text"}, "5", "no json", {"items": 5}]
)
def test_what_is_no_schema_is_refused(schema):
  with pytest.raises(ValueError, match=r"rewards\.json_schema"):
    _score("1", schema=schema)


def test_a_row_without_a_schema_is_refused():
  with pytest.raises(ValueError, match=r"'schema'.*'prompt'"):
    _score("1", record={"prompt": ""})


def test_a_schema_that_doubles_its_work_with_depth_is_given_up(monkeypatch):
  monkeypatch.setattr(module, "_MAX_REFERENCES", 1000)
  again = {"items": {"$ref": "#"}}
  schema = {"anyOf": [{"type": "string"}, {"allOf": [again, again]}]}
  deep = "[" * 40 + "]" * 40
  assert _score("[]", deep, schema=schema) == [1.0, 0.0]


def test_a_schema_that_is_only_itself_satisfies_nothing():
  assert _score("1", schema={"$ref": "#"}) == [0.0]


def test_unique_items_follow_json_and_take_linear_time():
  schema = {"uniqueItems": True}
  many = json.dumps([{"a": i} for i in range(7000)])
  assert _score("[1, true]", "[[0], [false]]", many, schema=schema) == [1, 1, 1]
  assert _score("[1, 1.0]", '[{"a": [1]}, {"a": [1]}]', schema=schema) == [0, 0]


def test_an_integer_too_large_for_a_float_is_no_multiple():
  assert _score("9" * 400, "0.5", schema={"multipleOf": 0.25}) == [0.0, 1.0]
