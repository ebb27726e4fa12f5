# SPDX-License-Identifier: Apache-2.0
"""The key figures of runs on answers."""

import re

from ramjax.tools import report_headline
from ramjax.tools.report_run import Curve, Run

_PAIRS = {
  "eval/rewards/accuracy": Curve([0, 10], [0.5, 0.75]),
  "eval/rewards/accuracy_low": Curve([0, 10], [0.4, 0.65]),
  "eval/rewards/accuracy_high": Curve([0, 10], [0.6, 0.8312]),
  "eval/rewards/margin": Curve([0, 10], [0.0, 1.234]),
}


def headline(curves, algorithm="preference"):
  config = {"algorithm": algorithm, "model": {"preset": ""}}
  run = Run("r", curves, None, [], config, None, [])
  return " ".join(re.sub("<.*?>", " ", report_headline.headline(run)).split())


def test_key_figures_of_pairs_are_accuracy_with_its_interval_and_margin():
  text = headline(_PAIRS)
  assert (
    "Held-out pair accuracy 50.0% → 75.0% 95% interval 65.0% to 83.1%"
    " Held-out margin 0 → 1.23 reward of chosen less rejected"
  ) in text
  # The preset is "" where a checkpoint gives the model.
  assert "Model" not in text


def test_key_figure_without_an_interval_names_none():
  curves = {"eval/rewards/accuracy": Curve([3], [0.5])}
  text = headline(curves, "reward")
  assert "Held-out pair accuracy 50.0% of pairs" in text
  assert "interval" not in text


def test_key_figures_of_labels_and_ratings():
  labels = {
    "eval/rewards/desirable": Curve([0, 9], [0.0, 0.5]),
    "eval/rewards/undesirable": Curve([0, 9], [0.0, -0.25]),
  }
  text = headline(labels, "unpaired")
  assert "Held-out reward gap 0 → 0.750" in text
  rated = {"eval/error": Curve([0, 9], [2.0, 1.25])}
  text = headline(rated, "reward")
  assert "Held-out error 2.00 → 1.25 mean distance from the rating" in text


def test_an_online_run_shows_what_its_answers_are_worth_both_ways():
  curves = {
    "eval/score": Curve([0, 9], [0.5, 0.625]),
    "eval/sampled/score": Curve([0, 9], [0.25, 0.5]),
    "eval/verified_accuracy": Curve([0, 9], [0.5, 0.625]),
    "eval/sampled/verified_accuracy": Curve([0, 9], [0.25, 0.5]),
  }
  text = headline(curves, "ppo")
  assert (
    "Score 0.250 → 0.500 held-out answers, sampled"
    " Score 0.500 → 0.625 held-out answers, greedy"
    " Verified accuracy 25.0% → 50.0% of held-out answers, sampled; of"
    " greedy ones 50.0% to 62.5%"
  ) in text
