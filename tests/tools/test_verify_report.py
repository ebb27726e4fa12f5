# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.tools.verify_report."""

import math

import numpy as np
import pytest

from ramjax.tools import verify_report


@pytest.mark.parametrize(
  ("rows", "expected"),
  [
    ([[1.0, 2.0], [5.0, 3.0]], (5.0, 1, 0)),
    ([[1.0], [0.0, 0.5]], (1.0, 0, 0)),
    ([[0.0], [0.0, 0.5]], (0.5, 1, 1)),
  ],
)
def test_the_peak_is_found_with_its_place(rows, expected):
  assert verify_report._peak([np.array(row) for row in rows]) == expected


def test_nan_is_the_peak():
  found = verify_report._peak([np.array([9.0]), np.array([1.0, math.nan])])
  assert math.isnan(found[0]) and found[1:] == (1, 1)


def test_long_lists_are_cut_and_say_so():
  shown = verify_report._few([str(i) for i in range(12)])
  assert shown[:10] == [str(i) for i in range(10)]
  assert shown[10:] == ["  ... and 2 more (--json has all)"]
  assert verify_report._few(["1"] * 10) == ["1"] * 10


def test_numbers_that_json_lacks_become_text():
  tree = {"a": [1.0, math.inf], "b": (math.nan, -math.inf), "c": "x"}
  expected = {"a": [1.0, "inf"], "b": ["nan", "-inf"], "c": "x"}
  assert verify_report._without_nonfinite(tree) == expected
