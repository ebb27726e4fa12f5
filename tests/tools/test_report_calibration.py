# SPDX-License-Identifier: Apache-2.0
"""The calibration chart: coordinates by hand, and bins that are none."""

import pytest

from ramjax.tools import report_calibration, report_eval_tables
from ramjax.tools.report_calibration import Bin
from ramjax.tools.report_run import Curve

_BINS = {
  "eval/rewards/calibration_error": Curve([0, 10], [0.0, 0.125]),
  "eval/rewards/calibration/0.5-0.6": Curve([0, 10], [0.5, 0.625]),
  "eval/rewards/calibration/0.9-1.0": Curve([10], [1.0]),
}


def test_calibration_dots_lie_at_the_middle_of_their_bins():
  figure = report_calibration.calibration_chart(_BINS)
  # 0.55 of 0.5..1 over 52..466 is 93.4; 0.625 of 0..1 over 212..12 is 87.
  assert '<circle cx="93.4" cy="87.0"' in figure
  assert '<circle cx="424.6" cy="12.0"' in figure
  # The diagonal: 50% at a confidence of 50%, 100% at 100%.
  assert 'd="M52 112.0L466 12.0"' in figure
  assert "Calibration error <b>0.125</b> (0 at step 0)" in figure
  assert ">62%</text>" in figure


def test_bin_that_was_empty_at_the_last_evaluation_is_not_drawn():
  name = "eval/rewards/calibration/0.7-0.8"
  figure = report_calibration.calibration_chart(
    {**_BINS, name: Curve([0], [0.5])}
  )
  assert figure == report_calibration.calibration_chart(_BINS)


@pytest.mark.parametrize(
  ("bounds", "value"),
  [
    ("0.9-0.8", 0.5),
    ("0.1-0.2", 0.5),
    ("0.5-1.9", 0.5),
    ("0.5-0.6", float("nan")),
    ("0.5-0.6", 7.0),
  ],
)
def test_bin_that_is_none_is_not_drawn(bounds, value):
  name = f"eval/rewards/calibration/{bounds}"
  curves = {
    "eval/rewards/calibration_error": Curve([0], [0.1]),
    name: Curve([0], [value]),
  }
  assert report_calibration.calibration_chart(curves) == ""


def test_bins_of_an_evaluation_lie_at_their_mean_confidence():
  found = report_calibration.chart(
    [Bin(0.5, 0.6, 0.5, 0.5), Bin(0.7, 0.8, 1.0, 0.75)],
    unit="u",
    dots="pairs",
    hint="h",
  )
  assert '<circle cx="52.0" cy="112.0"' in found
  assert '<circle cx="259.0" cy="12.0"' in found
  # Numbers lie off the line: below it where there is no room to the left.
  assert 'text-anchor="start" x="60.0" y="124.0">50%' in found
  assert 'text-anchor="end" x="251.0" y="20.0">100%' in found


def test_mean_confidence_that_is_none_is_not_drawn():
  bins = [Bin(0.5, 0.6, 0.5, mean) for mean in (0.4, 1.5, float("nan"))]
  assert report_calibration.chart(bins, unit="u", dots="d", hint="h") == ""


def test_the_legend_says_what_the_dots_are():
  held_out = report_calibration.calibration_chart(_BINS)
  given = report_eval_tables.calibration([Bin(0.5, 0.6, 0.5)])
  assert "held-out pairs" in held_out
  # `ramjax eval preference` takes any pairs.
  assert "held-out" not in given and "pairs</span>" in given
