# SPDX-License-Identifier: Apache-2.0
"""The radar: corners by hand, gaps, and names that stay text."""

import math

import pytest
from tiny_page import EVIL, Seen

from ramjax.tools import report_radar


def radar(categories, series):
  return report_radar.radar(
    categories, series, title="t", unit="u", largest=10.0
  )


def test_corners_lie_on_their_spokes():
  found = radar(["n", "e", "s", "w"], {2: ("mine", [10.0, 5.0, 0.0, 10.0])})
  # A radius of 125 about (240, 165), clockwise from the top.
  assert (
    '<g class="area s2"><path d="M240.0 40.0L302.5 165.0L240.0 165.0'
    'L115.0 165.0Z"/>'
  ) in found
  assert '<i class="swatch s2"></i>mine' in found
  assert "mine: n 10.0, e 5.00, s 0, w 10.0" in found


def test_each_series_has_a_polygon_of_its_own_colour():
  series = {0: ("a", [1.0, 2.0, 3.0]), 1: ("b", [3.0, 2.0, 1.0])}
  found = radar(["x", "y", "z"], series)
  assert [found.count(f'class="area s{i}"') for i in range(3)] == [1, 1, 0]


def test_a_missing_value_has_no_corner_and_is_said():
  found = radar(["x", "y", "z"], {0: ("a", [1.0, math.nan, 3.0])})
  assert found.count("<circle") == 2
  assert "a has no figure in 1 of 3." in Seen(found).text


def test_values_beyond_the_outer_ring_stay_on_it():
  found = radar(["x", "y", "z"], {0: ("a", [99.0, -1.0, 0.0])})
  assert "M240.0 40.0L240.0 165.0L240.0 165.0Z" in found


@pytest.mark.parametrize("number", [0, 2, 17])
def test_what_is_no_radar_is_not_drawn(number):
  assert radar(["c"] * number, {0: ("a", [1.0] * number)}) == ""


def test_names_of_strangers_stay_text():
  found = radar([EVIL, EVIL, EVIL], {0: (EVIL, [1.0, 2.0, 3.0])})
  assert {"script", "img"}.isdisjoint(Seen(found).tags)
  assert "\u202e" not in found
