# SPDX-License-Identifier: Apache-2.0
"""Numbers and times are short."""

import math

import pytest

from ramjax.tools import report_text


def test_numbers_are_short():
  assert report_text.count(9_876) == "9,876"
  assert report_text.count(12_345) == "12.3k"
  assert report_text.count(999_600) == "1.00M"
  assert report_text.count(1_235_000_000) == "1.24B"
  assert report_text.number(3.19511, 3) == "3.20"
  assert report_text.number(22026.46) == "22,026"
  assert report_text.number(0.00001234) == "1.234e-05"
  assert report_text.number(0) == "0"
  assert report_text.number(-math.inf) == "\N{MINUS SIGN}∞"
  assert report_text.percent(0.12345) == "12.3%"
  assert report_text.percent(math.nan) == "NaN"


@pytest.mark.parametrize(
  ("seconds", "text"),
  [
    (0.26, "0.3 s"),
    (42.4, "42 s"),
    (59.7, "1 min 0 s"),
    (185, "3 min 5 s"),
    (8040, "2 h 14 min"),
    (86400 * 3 + 3600 * 5, "3 d 5 h"),
  ],
)
def test_durations_are_in_two_units(seconds, text):
  assert report_text.duration(seconds) == text
