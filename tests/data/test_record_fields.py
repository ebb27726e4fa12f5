# SPDX-License-Identifier: Apache-2.0
"""Numbers of a record: only finite ones of sensible size."""

import math

import pytest

from ramjax.data import record_fields
from ramjax.data.rows import RowError


@pytest.mark.parametrize("value", [0, -3, 2.5, 10**6, -1e6, -0.0])
def test_finite_numbers_become_floats(value):
  number = record_fields.parse_number(value, "x")
  assert isinstance(number, float) and number == value


@pytest.mark.parametrize(
  ("value", "kind"),
  [
    (None, "null"),
    (False, "a boolean"),
    ("3", "a string"),
    (math.nan, "the number nan"),
    (math.inf, "a number"),
    (-math.inf, "a number"),
    (10**6 + 1, "the number 1000001"),
    pytest.param(10**400, "a number", id="huge"),
    (1j, "of type complex"),
  ],
)
def test_anything_else_is_refused_by_kind(value, kind):
  with pytest.raises(RowError, match=f"x is {kind}: it must be a finite"):
    record_fields.parse_number(value, "x")


def test_answers_are_returned_in_the_order_asked_for():
  record = {"prompt": "q", "a": "1", "b": "2"}
  assert record_fields.prompt_and_answers(record, "b", "a") == ("q", "2", "1")
