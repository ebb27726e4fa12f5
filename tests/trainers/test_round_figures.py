# SPDX-License-Identifier: Apache-2.0
"""How much better a round's model answers, and how surely that is known."""

import dataclasses

import ml_collections
import numpy as np
import pytest

from ramjax.evals.answers import Answer
from ramjax.trainers import round_figures, round_files
from ramjax.trainers.prompt_data import Prompt

_FIRST = [-0.5, -0.2, None, 0.0]
_LAST = [-0.1, -0.3, -0.4, 0.0]


def test_a_change_is_the_mean_difference_over_prompts_that_both_have():
  # Differences 0.4, -0.1, 0: mean 0.1, squares of what is left 0.09, 0.04,
  # 0.01, so a variance of 0.14 / 2 and a standard error of sqrt(0.07 / 3).
  change = round_figures.score_change(_FIRST, _LAST)
  assert change == pytest.approx(
    {"score_change": 0.1, "score_change_stderr": 0.1527525}
  )


def test_a_change_is_surer_than_two_means_where_prompts_are_as_hard_for_both():
  change = round_figures.score_change([0.0, 1.0, 5.0], [0.5, 1.5, 5.5])
  assert change == {"score_change": 0.5, "score_change_stderr": 0.0}


def test_one_prompt_has_a_change_and_no_standard_error():
  assert round_figures.score_change([0.25], [0.5]) == {"score_change": 0.25}


@pytest.mark.parametrize(
  "first, last", [([], []), ([0.5], [None]), ([0.5], [0.5, 1.0])]
)
def test_prompts_that_cannot_be_compared_have_no_change(first, last):
  assert round_figures.score_change(first, last) == {}


class _Asker:
  """Answers with what it was made of; a stand-in without a model."""

  def options(self, **_):
    return None

  def tokens(self, prompt, condition):
    return prompt.tokens

  def ask(self, start, prompts, options, *, seeds, condition):
    answers = [Answer(p.messages, "ok", p.record, True, 1) for p in prompts]
    return answers, [np.array([7]) for _ in prompts]


@dataclasses.dataclass
class _Scorer:
  """Scores that were given to it."""

  scores: list[float | None]

  def score(self, roles, prompts, answers, tokens):
    return [{"score": score, "rewards": {}} for score in self.scores]


class _Roles:
  policy = None


def _evaluate(workdir, number, scores):
  config = ml_collections.ConfigDict(
    dict(
      data=dict(max_length=8),
      evals=dict(num_prompts=len(scores), num_samples=1, max_new_tokens=2),
    )
  )
  prompts = [Prompt(np.array([1], np.int32), "say ok", {}) for _ in scores]
  folder = round_files.folder(workdir, number)
  roles, asker, scorer = _Roles(), _Asker(), _Scorer(scores)
  args: tuple = (config, folder, roles, asker, scorer, prompts)
  round_figures.evaluate(*args, condition=None)
  return round_files.read_json(folder / round_files.EVALUATED)


def _no_prompt(number):
  raise AssertionError(number)


def test_every_score_is_kept_and_their_mean_has_a_standard_error(tmp_path):
  evaluated = _evaluate(tmp_path, 0, _FIRST)
  assert evaluated["scores"] == _FIRST
  assert len(evaluated["samples"]) == 1
  # Mean -0.7 / 3; squares of what is left sum to 0.38 / 3.
  line = round_figures.log_line(tmp_path, 0, _no_prompt)
  assert line["eval/score"] == pytest.approx(-0.2333333)
  assert line["eval/score_stderr"] == pytest.approx((0.38 / 3 / 2 / 3) ** 0.5)
  assert "eval/score_change" not in line


def test_one_score_has_no_standard_error(tmp_path):
  assert "score_stderr" not in _evaluate(tmp_path, 0, [0.5])["metrics"]


def test_a_round_is_compared_with_the_first_model(tmp_path, monkeypatch):
  monkeypatch.setattr(round_figures, "_of_samples", lambda *_: {})
  for number, scores in enumerate([_FIRST, [9.0] * 4, _LAST]):
    _evaluate(tmp_path, number, scores)
    folder = round_files.folder(tmp_path, number)
    round_files.write_json(folder / round_files.SELECTED, {})
  line = round_figures.log_line(tmp_path, 2, _no_prompt)
  assert line["eval/score_change"] == pytest.approx(0.1)


def test_nothing_is_scored_where_nothing_is_held_out(tmp_path):
  assert _evaluate(tmp_path, 0, []) == {
    "metrics": {},
    "samples": [],
    "scores": [],
  }
  assert round_figures.log_line(tmp_path, 0, _no_prompt) == {"round": 0}
