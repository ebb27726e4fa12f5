# SPDX-License-Identifier: Apache-2.0
"""Line charts: ticks and coordinates by hand, gaps, escaping, odd input."""

import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest

from ramjax.tools import curves, report_points, report_ticks
from ramjax.tools.report_points import Series

# The plot spans 52..466 across and 212..12 down, as curves.py says.
NAN = math.nan


def chart(*series, **options):
  """The parsed figure: it is XML too, so that every tag is closed."""
  options = {"title": "t", "x_label": "step", **options}
  return ElementTree.fromstring(curves.line_chart(series, **options))


def drawing(figure):
  (svg,) = figure.iterfind("svg")
  return svg


def found(element, where):
  """The text of the first element there."""
  return "".join(next(element.iterfind(where)).itertext())


def path(figure, mark="line"):
  """The d attribute of the only curve with this mark."""
  (group,) = drawing(figure).iterfind(f"g[@class='{mark}']")
  return group.find("path").get("d")


def texts(figure, axis):
  return [e.text for e in drawing(figure).iterfind(f"text[@class='{axis}']")]


@pytest.mark.parametrize(
  ("low", "high", "ticks"),
  [
    (0, 10, [0, 2, 4, 6, 8, 10]),
    (0.13, 0.97, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    (-1, 1, [-1, -0.5, 0, 0.5, 1]),
    (0, 3e-4, [0, 1e-4, 2e-4, 3e-4]),
    (1.2e6, 4.1e6, [1e6, 2e6, 3e6, 4e6, 5e6]),
  ],
)
def test_linear_ticks_are_round_and_enclose(low, high, ticks):
  # Exactly: 0.2 * 3 would give 0.6000000000000001.
  assert report_ticks.linear_ticks(low, high) == ticks


def test_whole_ticks_never_fall_between_steps():
  assert report_ticks.linear_ticks(0, 3, whole=True) == [0, 1, 2, 3]
  assert report_ticks.linear_ticks(0, 3) == [0, 1, 2, 3]
  assert report_ticks.linear_ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
  assert report_ticks.linear_ticks(0, 1, whole=True) == [0, 1]


def test_log_ticks_are_1_2_5_or_decades_or_every_few():
  assert report_ticks.log_ticks(3.2, 347) == [2, 5, 10, 20, 50, 100, 200, 500]
  assert report_ticks.log_ticks(1, 100) == [1, 2, 5, 10, 20, 50, 100]
  assert report_ticks.log_ticks(1, 1e6) == [10.0**i for i in range(7)]
  # 24 decades: every fourth.
  wide = report_ticks.log_ticks(1e-12, 1e12)
  assert wide == pytest.approx([1e-12, 1e-8, 1e-4, 1, 1e4, 1e8, 1e12])


@pytest.mark.parametrize(
  ("ticks", "labels"),
  [
    ([0, 0.5, 1], ["0", "0.5", "1"]),
    ([0, 20000, 40000], ["0", "20k", "40k"]),
    ([0, 500_000, 1_000_000], ["0", "0.5M", "1M"]),
    ([0, 1e-4, 3e-4], ["0", "1e-4", "3e-4"]),
    ([1e15, 2e15], ["1e15", "2e15"]),
    ([1234567.0, 1234568.0], ["1234567", "1234568"]),
  ],
)
def test_tick_labels_are_short_and_distinct(ticks, labels):
  assert report_ticks.tick_labels(ticks) == labels


def test_percent_labels():
  assert report_ticks.tick_labels([0, 0.2, 1], percent=True) == [
    "0%",
    "20%",
    "100%",
  ]


def test_points_lie_where_the_axes_say():
  # x 50 is half of 52..466, y 2.5 a quarter up from 212 to 12.
  figure = chart(Series("a", [0, 50, 100], [0, 2.5, 10]))
  assert path(figure) == "M52.0 212.0h0L259.0 162.0L466.0 12.0"
  assert texts(figure, "y") == ["0", "2", "4", "6", "8", "10"]
  assert texts(figure, "x") == ["0", "20", "40", "60", "80", "100"]


def test_equal_ratios_are_equal_heights_on_a_log_axis():
  figure = chart(Series("a", [0, 50, 100], [1, 10, 100]), y_log=True)
  assert path(figure) == "M52.0 212.0h0L259.0 112.0L466.0 12.0"


def test_axis_of_steps_starts_at_zero_when_the_log_nearly_does():
  figure = chart(Series("a", [1, 100], [0, 1]))
  # Step 1 of 100: 52 + 414 / 100.
  assert path(figure) == "M56.1 212.0h0L466.0 12.0"
  figure = chart(Series("a", [50, 100], [0, 1]))
  assert path(figure).startswith("M52.0 ")


def test_zero_is_on_the_axis_when_asked():
  assert texts(chart(Series("a", [0, 1], [9, 10])), "y")[0] == "9"
  figure = chart(Series("a", [0, 1], [9, 10]), y_zero=True)
  assert texts(figure, "y")[0] == "0"


def test_nan_breaks_the_line_and_is_counted():
  figure = chart(Series("loss", [0, 1, 2, 3, 4], [1, 0, NAN, math.inf, 1]))
  assert path(figure) == "M52.0 12.0h0L155.5 212.0M466.0 12.0h0"
  (note,) = figure.iterfind("p")
  assert note.text == (
    "2 of 5 values of loss cannot be drawn (NaN, infinite); the first is at"
    " step 2."
  )


def test_each_decade_of_a_log_axis_has_its_own_unit():
  figure = chart(Series("a", [0, 1], [1, 1e5]), y_log=True)
  for label in (">1<", ">10<", ">10k<", ">100k<"):
    assert label in ElementTree.tostring(figure, encoding="unicode")


def test_log_axis_leaves_a_gap_at_zero():
  figure = chart(Series("a", [0, 1, 2], [10, 0, 1]), y_log=True)
  assert path(figure) == "M52.0 12.0h0M466.0 212.0h0"
  assert "not above 0" in found(figure, "p")


@pytest.mark.parametrize(
  "series", [[], [Series("a", [], [])], [Series("a", [0, 1], [NAN, NAN])]]
)
def test_nothing_to_draw_is_said(series):
  figure = chart(*series)
  assert figure.find("svg") is None
  assert found(figure, "p") == "There is nothing to draw."


def test_single_point_is_a_dot_in_the_middle():
  figure = chart(Series("a", [7], [3.0]))
  (dot,) = drawing(figure).iterfind("g/circle")
  # The range is widened to 6.5..7.5 and 2.7..3.3, whose ticks are 0.2 apart.
  assert (dot.get("cx"), dot.get("cy")) == ("259.0", "112.0")
  assert texts(figure, "x") == ["7"]
  assert texts(figure, "y") == ["2.6", "2.8", "3", "3.2", "3.4"]


def test_constant_curve_is_level():
  figure = chart(Series("a", [0, 100], [0.0, 0.0]))
  assert path(figure) == "M52.0 112.0h0L466.0 112.0"


@pytest.mark.parametrize("values", [[0.0, 0.0], [0.0, -3e-7]])
def test_zero_and_rounding_are_not_magnified(values):
  figure = chart(Series("a", [0, 1], values), y_noise=1e-5)
  assert texts(figure, "y") == ["-1", "-0.5", "0", "0.5", "1"]
  shares = chart(Series("a", [0, 1], values), y_zero=True, y_noise=1e-5)
  assert texts(shares, "y") == ["0", "0.2", "0.4", "0.6", "0.8", "1"]


def test_learning_rates_below_rounding_keep_their_axis():
  figure = chart(Series("a", [0, 1], [0.0, 5e-7]), y_zero=True)
  assert texts(figure, "y")[-1] == "5e-7"


def test_float32_rounding_of_a_loss_is_level():
  # One unit in the last place of log 2, drawn on an axis of a tenth about it.
  figure = chart(Series("a", [0, 1], [0.6931471824, 0.6931472420]))
  assert texts(figure, "y") == ["0.6", "0.65", "0.7", "0.75", "0.8"]
  assert path(figure) == "M52.0 118.9h0L466.0 118.9"


def test_interval_is_a_band_around_its_curve():
  figure = chart(
    Series("a", [0, 1, 2], [4, 5, 5], "dots", low=[2, 0, NAN], high=[6, 10, 9])
  )
  (band,) = drawing(figure).iterfind("path[@class='band']")
  # Upper ends, then back along the lower ones; the third has none.
  assert band.get("d") == "M52.0 92.0L259.0 12.0L259.0 212.0L52.0 172.0Z"
  data = json.loads(drawing(figure).attrib["data-chart"])
  assert data["curves"][0]["points"] == [[0, 4, 2, 6], [1, 5, 0, 10], [2, 5]]
  assert "4 (2 to 6) at step 0" in drawing(figure).attrib["aria-label"]
  assert found(figure, "div/span") == "a"


def test_interval_without_a_finite_end_is_no_band():
  figure = chart(Series("a", [0, 1], [4, 5], low=[NAN, 1], high=[6, math.inf]))
  assert drawing(figure).find("path[@class='band']") is None


def test_thinned_interval_stays_with_its_points():
  x = np.arange(5_000.0)
  y = np.sin(x / 100)
  figure = chart(
    Series("a", list(x), list(y), low=list(y - 1), high=list(y + 1))
  )
  points = json.loads(drawing(figure).attrib["data-chart"])["curves"][0]
  assert 100 < len(points["points"]) <= 600
  for _, value, low, high in points["points"]:
    assert low == pytest.approx(value - 1, abs=1e-5)
    assert high == pytest.approx(value + 1, abs=1e-5)


def test_tint_is_the_colour_and_the_mark_stays():
  figure = chart(
    Series("a", [0, 1, 2], [0, 1, 2], "dashes", window=3, tint="rejected")
  )
  groups = drawing(figure).findall("g")
  assert [g.get("class") for g in groups] == [
    "faint rejected",
    "dashes rejected",
  ]


def test_note_is_below_the_chart_and_escaped():
  figure = chart(Series("a", [0, 1], [0, 1]), note="<b>1</b>")
  assert found(figure, "p") == "<b>1</b>"


def test_marks_differ_without_colour():
  x, y = [0, 1], [0, 1]
  figure = chart(
    Series("a", x, y), Series("b", x, y, "dots"), Series("c", x, [1, 0], "rule")
  )
  groups = drawing(figure).findall("g")
  assert [g.get("class") for g in groups] == ["line", "dots", "rule"]
  assert [len(g.findall("circle")) for g in groups] == [0, 2, 0]
  # A rule lies at its last value, over the whole width.
  assert path(figure, "rule") == "M52 212.0H466"
  keys = ["".join(key.itertext()) for key in figure.iterfind("div/span")]
  assert keys == ["a", "b", "c"]


def test_texts_are_escaped():
  evil = "<script>alert('1')</script>\"&"
  figure = chart(
    Series(evil, [0, 1], [0, NAN]),
    Series(evil, [0, 1], [0, 1]),
    title=evil,
    x_label=evil,
    y_label=evil,
  )
  assert not list(figure.iter("script"))
  assert found(figure, "figcaption/b") == evil
  assert found(figure, "figcaption/span") == evil
  assert evil in drawing(figure).attrib["aria-label"]


def test_points_are_there_for_the_read_out():
  figure = chart(Series("a", [0, 1, 2], [1 / 3, NAN, 1e99]), y_percent=True)
  data = json.loads(drawing(figure).attrib["data-chart"])
  assert data["curves"] == [{"name": "a", "points": [[0, 0.333333], [2, 1e99]]}]
  assert data["x"] == [0, 2]
  assert data["plot"] == [52, 466, 12, 212]
  assert data["percent"] is True


def test_chart_is_told_in_words():
  figure = chart(Series("train", [0, 5, 9], [4, 3, NAN]), title="Loss")
  label = drawing(figure).attrib["aria-label"]
  assert label == "Loss. train: 4 at step 0, 3 at step 5."


def test_running_mean_is_drawn_over_the_faint_points():
  figure = chart(Series("a", [0, 1, 2], [0, 6, 0], window=3))
  # Means: (0 + 6) / 2 = 3, 6 / 3 = 2, 3; the axis runs from 0 to 6.
  assert path(figure, "faint") == "M52.0 212.0h0L259.0 12.0L466.0 212.0"
  assert path(figure) == "M52.0 112.0h0L259.0 145.3L466.0 112.0"


def test_running_mean_skips_what_is_not_finite():
  means = report_points.running_mean(np.array([1, NAN, 3, math.inf, 6, 9.0]), 3)
  np.testing.assert_array_equal(means, [1, NAN, 3, NAN, 7.5, 7.5])


def test_thinning_keeps_extremes_gaps_and_ends():
  x = np.arange(100_000.0)
  y = np.sin(x / 9000)
  y[31_234], y[77_777], y[50_001] = 40.0, -40.0, NAN
  kept_x, kept_y = report_points.thin(x, y, 600)
  assert len(kept_x) <= 600
  assert {0, 31_234, 50_001, 77_777, 99_999} <= set(kept_x)
  assert np.isnan(kept_y[kept_x == 50_001]).all()
  assert (np.diff(kept_x) > 0).all()
  np.testing.assert_array_equal(kept_y, y[kept_x.astype(int)])


def test_short_curves_are_not_thinned():
  x = np.arange(600.0)
  kept_x, kept_y = report_points.thin(x, x, 600)
  assert kept_x is x and kept_y is x


@pytest.mark.parametrize("y_log", [False, True])
@pytest.mark.parametrize(
  "values",
  [
    [1e308, -1e308, 1.0],
    [1e99, 1e-99, 1.0],
    [5e-324, 1e-320, 0.0],
    [1.0, 1.0 + 1e-15, 1.0],
    [-3.0, -2.0, -1.0],
  ],
)
def test_extreme_values_do_not_break_a_chart(values, y_log):
  figure = chart(Series("a", [0, 1, 2], values), y_log=y_log)
  if figure.find("svg") is not None:
    assert "nan" not in path(figure) and "inf" not in path(figure)
