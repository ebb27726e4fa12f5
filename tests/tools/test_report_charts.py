# SPDX-License-Identifier: Apache-2.0
"""Which charts a run gets, in which order, and what is drawn in them."""

import re

from tiny_curves import PAIRS

from ramjax.tools import report_charts
from ramjax.tools.report_run import Curve


def titles(figures):
  return [re.findall("<b>(.*?)</b>", figure)[0] for figure in figures]


def test_loss_and_pair_accuracy_come_first_then_what_compares_answers():
  divergence = {"eval/kl_per_token": Curve([0, 10], [0.0, 0.02])}
  found = report_charts.charts(PAIRS | divergence, algorithm="preference")
  assert titles(found.first) == ["Loss", "Pair accuracy"]
  assert titles(found.of_answers) == [
    "Rewards",
    "Margin",
    "Log-probabilities",
    "Ratio to the reference",
    "Divergence from the reference",
  ]
  assert titles(found.more) == ["Weights changed"]
  assert found.left_out == 0


def test_accuracy_has_a_band_for_its_interval():
  accuracy = report_charts.charts(PAIRS).first[1]
  assert 'class="band"' in accuracy
  assert "held out with its 95% interval" in accuracy


def test_interval_of_other_steps_is_no_band():
  curves = dict(PAIRS)
  curves["eval/rewards/accuracy_low"] = Curve([7], [0.1])
  assert 'class="band"' not in report_charts.charts(curves).first[1]


def test_better_and_worse_answers_differ_in_mark_and_colour():
  curves = {
    f"{split}/rewards/{side}": Curve([0, 1], [0.0, 1.0])
    for split in ("train", "eval")
    for side in ("desirable", "undesirable")
  }
  curves["train/loss"] = curves["eval/error"] = Curve([0], [1.0])
  (figure,) = report_charts.charts(curves).of_answers
  assert set(re.findall('<g class="(.*?)"', figure)) == {
    "line chosen",
    "dots chosen",
    "dashes rejected",
    "dots rejected",
  }


def test_rewards_that_are_all_zero_have_no_tiny_axis():
  flat = Curve([0, 1], [0.0, 2e-8])
  curves = {
    "train/loss": flat,
    "eval/rewards/accuracy": flat,
    "eval/rewards/chosen": flat,
    "eval/log_ratios/chosen": flat,
  }
  for figure in report_charts.charts(curves).of_answers:
    assert not re.search(r'class="y"[^>]*>[^<]*e-', figure)


def test_share_of_weights_changed_is_read_out():
  (figure,) = report_charts.charts(PAIRS).more
  assert "The last updates each changed 26.5% of the weights" in figure
  lost = {**PAIRS, "train/weights_changed": Curve([1], [float("nan")])}
  (figure,) = report_charts.charts(lost).more
  assert "The last updates" not in figure


def test_metrics_of_other_algorithms_get_charts_too():
  curve = Curve([0, 1], [0.0, 1.0])
  found = report_charts.charts(
    {"train/reward_margin": curve, "eval/reward_margin": curve, "loss": curve}
  )
  assert len(found.more) == 2 and found.left_out == 0
  assert "reward margin" in found.more[1]
  many = {f"train/m{i}": curve for i in range(20)}
  assert report_charts.charts(many).left_out == 4


def test_wide_range_of_losses_is_on_a_log_axis():
  wide = {"train/loss": Curve([0, 1], [9.0, 0.009])}
  assert "log scale" in report_charts.charts(wide).first[0]
  narrow = {"train/loss": Curve([0, 1], [9.0, 3.0])}
  assert "log scale" not in report_charts.charts(narrow).first[0]


def test_the_score_of_an_online_run_comes_before_its_loss():
  curves = {
    "train/loss": Curve([1, 2], [0.0, 0.0]),
    "rollout/score": Curve([1, 2], [0.2, 0.4]),
    "rollout/entropy": Curve([1, 2], [1.0, 0.9]),
    "eval/score": Curve([0, 2], [0.5, 0.6]),
    "eval/sampled/score": Curve([0, 2], [0.2, 0.4]),
    "eval/sampled/verified_accuracy": Curve([0, 2], [0.2, 0.4]),
    "eval/sampled/verified_accuracy/kind": Curve([0, 2], [0.2, 0.4]),
  }
  found = report_charts.charts(curves, algorithm="ppo")
  assert titles(found.first) == ["Score", "Loss"]
  for name in ("rollouts", "held out, sampled", "held out, greedy"):
    assert name in found.first[0]
  assert titles(found.of_answers) == ["Entropy"]
  # Verified accuracy has a table.
  assert found.more == [] and found.left_out == 0
  both = curves | {"eval/verified_accuracy": Curve([0, 2], [0.5, 0.6])}
  chart = report_charts.verified_chart(both)
  assert "all kinds, sampled" in chart and "all kinds, greedy" in chart
