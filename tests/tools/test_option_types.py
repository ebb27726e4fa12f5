# SPDX-License-Identifier: Apache-2.0
"""Options that are numbers: what is taken, and how the rest is refused."""

import argparse

import pytest

from ramjax.tools import option_types


def test_numbers_in_range_are_taken():
  assert option_types.positive_int("1") == 1
  assert option_types.positive_int(str(2**31 - 1)) == 2**31 - 1
  assert option_types.count("0") == 0
  assert option_types.positive_float("1e-3") == 0.001


@pytest.mark.parametrize(
  ("kind", "text"),
  [
    (option_types.positive_int, text)
    for text in ("0", "-1", "1.5", "", "many", str(2**31), "9" * 5000)
  ]
  + [(option_types.count, text) for text in ("-1", "0.0", "x", str(2**31))]
  + [
    (option_types.positive_float, text)
    for text in ("0", "-0.1", "nan", "inf", "x")
  ],
)
def test_anything_else_is_refused_by_what_was_given(kind, text):
  with pytest.raises(
    argparse.ArgumentTypeError, match=r"is no (whole )?number"
  ):
    kind(text)
