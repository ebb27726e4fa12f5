# SPDX-License-Identifier: Apache-2.0
"""Evaluations of a run over its steps: a chart where there are two or more."""

import pathlib

from ramjax.evals.evaluation import Evaluation
from ramjax.tools import report_eval_steps
from ramjax.tools.report_evals import Shown


def _shown(name, step, accuracy, **more):
  figures = {
    "problems": 9,
    "accuracy, %": accuracy,
    "accuracy, 95 % from": accuracy - 10,
    "accuracy, 95 % to": accuracy + 10,
  }
  evaluation = Evaluation("gsm8k", "mine", {**figures, **more})
  return Shown(name, step, pathlib.Path("x"), evaluation)


def test_each_name_with_several_steps_has_a_chart_with_its_interval():
  found = report_eval_steps.charts(
    [
      _shown("math", 100, 20.0),
      _shown("math", 200, 35.0),
      _shown("once", 200, 50.0),
      _shown("by hand", None, 50.0),
      _shown("by hand", None, 60.0),
    ]
  )
  assert len(found) == 1
  (drawn,) = found
  assert "math: accuracy" in drawn and "95% interval" in drawn
  assert "percent" in drawn and 'class="band' in drawn


def test_another_figure_under_the_same_name_is_not_drawn_with_it():
  other = Evaluation("perplexity", "mine", {"word_perplexity": 12.0})
  steps = [
    _shown("math", 100, 20.0),
    Shown("math", 200, pathlib.Path("x"), other),
  ]
  assert report_eval_steps.charts(steps) == []
  without = Evaluation("perplexity", "mine", {"word_perplexity": 9.0})
  steps.append(Shown("math", 300, pathlib.Path("x"), without))
  (drawn,) = report_eval_steps.charts(steps)
  assert "word perplexity" in drawn and 'class="band' not in drawn


def test_a_hostile_name_is_escaped():
  name = "<script>alert(1)</script>"
  (drawn,) = report_eval_steps.charts(
    [_shown(name, 1, 20.0), _shown(name, 2, 30.0)]
  )
  assert "<script>alert" not in drawn
