# SPDX-License-Identifier: Apache-2.0
"""Figures of answers with a limit, by hand."""

import pytest

from ramjax.data.wilson import wilson_interval
from ramjax.evals import length_instructed
from ramjax.evals.alpaca_annotations import Annotation, Annotations
from ramjax.evals.length_instructed import Verdicts
from ramjax.evals.length_instructed_files import LimitedPrompt


def _prompts(*limits, groups=None):
  return [
    LimitedPrompt(
      key=f"p{i}",
      instruction=f"p{i}",
      max_len=limit,
      baseline="base",
      group=None if groups is None else groups[i],
      where=f"row {i + 1}",
    )
    for i, limit in enumerate(limits)
  ]


def _answered(*words, limit=3, groups=None, **more):
  prompts = _prompts(*[limit] * len(words), groups=groups)
  answers = {f"p{i}": "word " * n for i, n in enumerate(words)}
  return length_instructed.match(prompts, {**answers, **more})


def _judged(**by_key):
  return Verdicts("judge", "base", by_key)


def test_as_many_words_as_the_limit_are_within_it():
  answered = _answered(2, 3, 4, 0, 9)
  assert answered.violates == [False, False, True, False, True]
  assert answered.within == [0, 1, 3]
  got = length_instructed.evaluate("li", "mine", answered)
  low, high = wilson_interval(2, 5)
  assert got.figures == {
    "prompts": 5,
    "violations": 2,
    "Vlt, %": 40.0,
    "Vlt, 95 % from": 100 * low,
    "Vlt, 95 % to": 100 * high,
    "mean words": 18 / 5,
    "mean limit, words": 3.0,
  }
  assert got.counted == {"answers are empty": 1} and got.tables == {}


def test_a_violation_loses_whatever_a_verdict_says_of_it():
  answered = _answered(1, 2, 3, 4, 5)
  judged = _judged(p0=2.0, p1=1.5, p2=None, p4=2.0)
  got = length_instructed.evaluate("li", "mine", answered, judged)
  figures = got.figures
  # 1, a half, none, 0 and 0.
  assert figures["win_rate, %"] == pytest.approx(100 * 1.5 / 4)
  assert figures["win_rate within limits, %"] == pytest.approx(75)
  assert (figures["n_wins"], figures["n_wins_base"]) == (1, 2)
  assert (figures["n_draws"], figures["n_total"]) == (1, 4)
  assert figures["n_total within limits"] == 2
  assert got.counted == {
    "answers beyond their limit lose without a judge": 2,
    "verdicts are on such answers: not used": 1,
    "answers within their limit have no verdict: no part of win rates": 1,
  }
  assert any("judge for mine over base" in note for note in got.notes)


def test_where_all_violate_the_win_rate_is_0_and_there_is_none_within():
  answered = _answered(4, 5)
  got = length_instructed.evaluate("li", "mine", answered, _judged())
  assert got.figures["win_rate, %"] == 0
  assert got.figures["win_rate within limits, %"] is None
  assert got.figures["n_total"] == 2


def test_groups_have_rows_of_their_own_in_the_order_of_the_prompts():
  answered = _answered(1, 4, 5, 2, groups=["b", "a", "a", "b"])
  judged = _judged(p0=2.0, p3=1.2)
  got = length_instructed.evaluate(
    "li", "mine", answered, judged, group="category"
  )
  assert got.tables["by category"] == [
    {
      "category": "b",
      "prompts": 2,
      "Vlt, %": 0.0,
      "mean words": 1.5,
      "win_rate, %": pytest.approx(60),
      "within limits, %": pytest.approx(60),
    },
    {
      "category": "a",
      "prompts": 2,
      "Vlt, %": 100.0,
      "mean words": 4.5,
      "win_rate, %": 0.0,
      "within limits, %": None,
    },
  ]


def test_what_is_not_answered_or_asked_is_counted():
  prompts = _prompts(3, 3, 1)
  answered = length_instructed.match(prompts, {"p2": "one", "other": "x y"})
  got = length_instructed.evaluate("li", "mine", answered)
  assert got.figures["prompts"] == 1
  assert got.counted == {
    "prompts have no answer of the model": 2,
    "answers of the model are to no prompt": 1,
  }
  with pytest.raises(ValueError, match="none of the 3 prompts is among the 1"):
    length_instructed.match(prompts, {"other": "x"})


def test_a_baseline_beyond_the_limit_is_counted():
  (prompt,) = _prompts(1)
  prompt = LimitedPrompt(**{**vars(prompt), "baseline": "two words"})
  answered = length_instructed.match([prompt], {"p0": "one"})
  assert length_instructed.evaluate("li", "m", answered).counted == {
    "answers of the baseline have more words than the limit": 1
  }


def _annotations(*rows, **changes):
  made = []
  for position, (key, text, preference) in enumerate(rows):
    texts = {
      "instruction": key,
      "output_1": "base",
      "output_2": text,
      "generator_1": "base",
      "generator_2": "mine",
    } | changes
    made.append(
      Annotation(
        **texts,
        preference=preference,
        position=position,
        where=f"verdict {position + 1}",
        original={**texts, "preference": preference},
      )
    )
  return Annotations(made, None, 0, 0)


def test_recorded_verdicts_meet_their_prompts():
  answered = _answered(1, 4)
  rows = ("p1", "word " * 4, 2.0), ("p0", "word ", 1.75)
  got = length_instructed.verdicts(answered, _annotations(*rows), "instruction")
  assert got.by_key == {"p0": 1.75, "p1": 2.0}
  assert got.judge == "a judge that is not named" and got.baseline == "base"


@pytest.mark.parametrize(
  "rows,changes,match",
  [
    ([("p9", "word ", 2.0)], {}, r"verdict 1 judges instruction='p9'"),
    ([("p0", "other", 2.0)], {}, "output_2 is not what .*'p0'"),
    ([("p0", "word ", 2.0)], {"output_1": "x"}, "output_1 is not what"),
    ([("p0", "word ", None)], {}, "none of the 1 answers within"),
    ([("p1", "word " * 4, 2.0)], {}, "none of the 1 answers within"),
  ],
)
def test_verdicts_on_something_else_are_refused(rows, changes, match):
  with pytest.raises(ValueError, match=match):
    length_instructed.verdicts(
      _answered(1, 4), _annotations(*rows, **changes), "instruction"
    )
