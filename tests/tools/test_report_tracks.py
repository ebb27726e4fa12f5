# SPDX-License-Identifier: Apache-2.0
"""Bars and whiskers: their places by hand, and their numbers beside them."""

import math

from tiny_page import EVIL, Seen

from ramjax.tools import report_tracks
from ramjax.tools.report_eval_figures import Figure
from ramjax.tools.report_tracks import Mark, Row


def percent(value, low=math.nan, high=math.nan):
  return Figure("a", value, low, high, "%")


def test_a_dot_and_its_whisker_lie_at_their_percents():
  row = Row("name", [Mark(percent(70.5, 67.25, 73.75))])
  found = report_tracks.tracks([row], title="t", kind="dots", reference=50.0)
  assert '<circle cx="70.50%" cy="9" r="4.5"/>' in found
  assert '<line class="whisker" x1="67.25%" x2="73.75%"' in found
  assert '<line class="half" x1="50.00%" x2="50.00%"' in found
  assert "name 70.5% (67.2 to 73.8)" in Seen(found).text
  assert "<rect" not in found


def test_a_bar_begins_at_zero_also_of_a_negative_value():
  marks = [Mark(Figure("kappa", -0.5)), Mark(Figure("kappa", 1.0), 1)]
  found = report_tracks.tracks([Row("r", marks)], title="t")
  # Ticks are -0.5, 0, 0.5 and 1: zero is at a third.
  assert '<g class="bars s0"><rect x="0.00%" width="33.33%" y="4"' in found
  assert '<g class="bars s1"><rect x="33.33%" width="66.67%" y="22"' in found


def test_grades_are_on_an_axis_to_ten():
  row = Row("math", [Mark(Figure("turn_1", 2.5, unit="of 10"))])
  found = report_tracks.tracks([row], title="t")
  assert '<rect x="0.00%" width="25.00%"' in found
  assert ">10</text>" in found and "2.50" in found


def test_what_is_no_number_has_a_dash_and_no_mark():
  rows = [Row("a", [Mark(percent(math.nan))]), Row("b", [Mark(percent(5.0))])]
  found = report_tracks.tracks(rows, title="t")
  assert found.count("<rect") == 1
  assert "a \N{EN DASH} b 5.0%" in Seen(found).text


def test_equal_values_have_an_axis():
  rows = [Row(n, [Mark(Figure("rating", 1000.0))]) for n in "ab"]
  found = report_tracks.tracks(rows, title="t", kind="dots")
  assert found.count('<circle cx="50.00%"') == 2


def test_nothing_to_draw_has_an_axis():
  found = report_tracks.tracks(
    [Row("a", [Mark(Figure("x", math.nan))])], title="t", kind="dots"
  )
  assert "<circle" not in found


def test_names_of_strangers_stay_text():
  found = report_tracks.tracks(
    [Row(EVIL, [Mark(percent(1.0))], EVIL)],
    title=EVIL,
    unit=EVIL,
    legend={0: EVIL},
    note=EVIL,
  )
  assert {"script", "img"}.isdisjoint(Seen(found).tags)
  assert "\u202e" not in found
