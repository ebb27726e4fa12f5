# SPDX-License-Identifier: Apache-2.0
"""Curves of a small run on pairs, for the tests of reports."""

from ramjax.tools.report_run import Curve

PAIRS = {
  "train/loss": Curve([5, 10], [0.7, 0.5]),
  "train/weights_changed": Curve([5, 10], [0.4, 0.265]),
  "eval/loss": Curve([0, 10], [0.6931, 0.6]),
  "eval/rewards/accuracy": Curve([0, 10], [0.5, 0.75]),
  "eval/rewards/accuracy_low": Curve([0, 10], [0.4, 0.65]),
  "eval/rewards/accuracy_high": Curve([0, 10], [0.6, 0.8312]),
  "eval/rewards/margin": Curve([0, 10], [0.0, 1.234]),
  "eval/rewards/chosen": Curve([0, 10], [0.0, 0.2]),
  "eval/rewards/rejected": Curve([0, 10], [0.0, -1.034]),
  "eval/logps/chosen": Curve([0, 10], [-40.0, -38.0]),
  "eval/logps/rejected": Curve([0, 10], [-41.0, -51.0]),
  "eval/log_ratios/chosen": Curve([0, 10], [0.0, 2.0]),
  "eval/log_ratios/rejected": Curve([0, 10], [0.0, -10.0]),
  "eval/rewards/calibration_error": Curve([0, 10], [0.0, 0.125]),
  "eval/rewards/calibration/0.5-0.6": Curve([0, 10], [0.5, 0.625]),
  "eval/rewards/calibration/0.9-1.0": Curve([10], [1.0]),
}
