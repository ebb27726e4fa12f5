# SPDX-License-Identifier: Apache-2.0
"""Fields have the type that is asked for; the refusal names field and file."""

import pathlib

import pytest

from ramjax.models import json_fields

_PATH = pathlib.Path("theirs/config.json")


@pytest.mark.parametrize("value", [0, -3, 2**70])
def test_whole_number(value):
  assert json_fields.integer({"n": value}, "n", _PATH) == value


@pytest.mark.parametrize("value", [True, 1.0, "1", None, [1], {}])
def test_what_is_no_whole_number_is_refused(value):
  with pytest.raises(
    ValueError, match=r"config\.json: n=.* must be a whole number\.$"
  ):
    json_fields.integer({"n": value}, "n", _PATH)


def test_missing_field_is_called_missing():
  for get in (json_fields.integer, json_fields.number):
    with pytest.raises(
      ValueError, match=r"config\.json: n=None .*, and is missing\.$"
    ):
      get({}, "n", _PATH)


@pytest.mark.parametrize("value", [0, 1, 0.5, -1e300])
def test_number(value):
  got = json_fields.number({"x": value}, "x", _PATH)
  assert got == value and isinstance(got, float)


def test_number_has_its_default_where_it_is_missing_or_null():
  assert json_fields.number({}, "x", _PATH, default=0.0) == 0.0
  assert json_fields.number({"x": None}, "x", _PATH, default=2.0) == 2.0


@pytest.mark.parametrize("value", [True, "1", [1.0], {}])
def test_what_is_no_number_is_refused_in_spite_of_a_default(value):
  with pytest.raises(ValueError, match=r"config\.json: x=.* must be a number"):
    json_fields.number({"x": value}, "x", _PATH, default=1.0)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 10**400])
def test_number_that_no_float_holds_is_refused(value):
  with pytest.raises(ValueError, match=r"config\.json: x=.* finite number"):
    json_fields.number({"x": value}, "x", _PATH)


def test_boolean():
  assert json_fields.boolean({"b": True}, "b", _PATH) is True
  assert json_fields.boolean({"b": False}, "b", _PATH) is False
  assert json_fields.boolean({}, "b", _PATH) is False


@pytest.mark.parametrize("value", [0, 1, "true", None, []])
def test_what_is_no_boolean_is_refused(value):
  with pytest.raises(ValueError, match=r"config\.json: b=.* true or false"):
    json_fields.boolean({"b": value}, "b", _PATH)


def test_values_are_shown_short_and_in_ascii():
  assert json_fields.shown({"a": [1]}) == "{'a': [1]}"
  assert json_fields.shown("\u202e") == "'\\u202e'"
  assert len(json_fields.shown("x" * 10_000)) == 203
