# SPDX-License-Identifier: Apache-2.0
"""The scatter: places by hand, and numbers that lie on nothing."""

import math
import re

from tiny_page import EVIL, Seen

from ramjax.tools import report_scatter
from ramjax.tools.report_eval_figures import Figure
from ramjax.tools.report_scatter import Point


def point(x, y, name="a", half=math.nan, series=0):
  return Point(name, x, Figure("w", y, y - half, y + half, "%"), series)


def test_points_lie_at_their_length_and_win_rate():
  found = report_scatter.lengths(
    [point(1000.0, 40.0), point(500.0, 10.0, "b", 5.0, series=3)]
  )
  # 0 to 1000 over 52..466 across, 0 to 40 over 212..12 down.
  assert '<g class="dots s0"><circle cx="466.0" cy="12.0"' in found
  assert 'M259.0 137.0V187.0"/><circle cx="259.0" cy="162.0"' in found
  text = Seen(found).text
  assert "1 a: 1,000, 40.0% 2 b: 500, 10.0%" in text
  assert "average length of the answers, characters" in text


def test_a_point_without_a_number_is_left_out():
  points = [point(math.nan, 4.0), point(1.0, math.nan), point(1.0, 2.0)]
  assert report_scatter.lengths(points) == ""


def test_numbers_lie_beside_points_and_each_other():
  points = [point(1000.0 + 3 * i, 10.0 + i, half=2.0) for i in range(12)]
  found = report_scatter.lengths(points)
  numbers = [
    (float(x), float(y) - 4)
    for x, y in re.findall(
      r'class="value mid" x="([\d.]+)" y="([\d.]+)"', found
    )
  ]
  dots = [
    (float(x), float(y))
    for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', found)
  ]
  assert len(numbers) == len(dots) == 12
  for i, (x, y) in enumerate(numbers):
    for a, b in dots:
      assert abs(x - a) >= 13.9 or abs(y - b) >= 13.9
    for a, b in numbers[:i]:
      assert abs(x - a) >= 17.9 or abs(y - b) >= 17.9
  # Those that found no place beside their point have a line to it.
  far = [
    math.hypot(x - a, y - b) > 24
    for (x, y), (a, b) in zip(numbers, dots, strict=True)
  ]
  assert 0 < sum(far) == found.count('<path class="leader"')


def test_names_of_strangers_stay_text():
  found = report_scatter.lengths([point(1.0, 2.0, EVIL), point(2.0, 2.0, EVIL)])
  assert {"script", "img"}.isdisjoint(Seen(found).tags)
  assert "\u202e" not in found
