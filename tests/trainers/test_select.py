# SPDX-License-Identifier: Apache-2.0
"""Which answers become rows, worked out by hand."""

import pytest

from ramjax.data import parse_rows
from ramjax.data.rows import Message, Text
from ramjax.trainers import select
from ramjax.trainers.select import Group, ScoredAnswer

_ASKED = (Message("user", "q"),)


def _group(*answers, prompt=_ASKED):
  """A group of (text, score) or (text, score, finished)."""
  made = []
  for answer in answers:
    text, score, *finished = answer
    made.append(ScoredAnswer(text, score, finished[0] if finished else True))
  return Group(prompt, tuple(made))


def _texts(selected, field="completion"):
  return [row[field][0]["content"] for row in selected.rows]


def test_best_is_the_first_of_the_highest():
  groups = [_group(("a", 1.0), ("b", 3.0), ("c", 3.0)), _group(("d", -1.0))]
  selected = select.best(groups)
  assert _texts(selected) == ["b", "d"]
  assert [row["score"] for row in selected.rows] == [3.0, -1.0]
  assert selected.rows[0]["prompt"] == [{"role": "user", "content": "q"}]
  parse_rows.parse_sft(selected.rows[0])


def test_best_leaves_out_a_prompt_whose_best_is_below_the_least():
  groups = [_group(("a", 1.0)), _group(("b", 2.0))]
  selected = select.best(groups, least_score=2.0)
  assert _texts(selected) == ["b"]
  assert selected.counts["below_least_score"] == 1
  assert selected.counts["rows"] == 1


def test_raw_text_stays_raw_text():
  selected = select.best([_group(("a", 1.0), prompt="q")])
  assert selected.rows == [{"prompt": "q", "completion": "a", "score": 1.0}]
  parse_rows.parse_sft(selected.rows[0])


def test_what_has_no_score_or_no_text_is_never_selected_and_is_counted():
  groups = [_group(("a", None), (" ", 9.0), ("b", 1.0)), _group(("c", None))]
  selected = select.best(groups)
  assert _texts(selected) == ["b"]
  counts = selected.counts
  assert (counts["without_score"], counts["blank"]) == (2, 1)
  assert (counts["prompts"], counts["answers"]) == (2, 4)


_CUT = _group(("cut", 3.0, False), ("end", 2.0), ("low", 1.0, False))


@pytest.mark.parametrize(
  "options,unfinished",
  [
    (dict(name="best"), 2),
    (dict(name="correct", threshold=2.0), 1),
    (dict(name="quantiles"), 2),
  ],
)
def test_an_answer_that_was_cut_off_is_never_imitated(options, unfinished):
  selected = select.find(options).select([_CUT, _group(("c", 9.0, False))])
  assert _texts(selected) == ["end"]
  # And that of the other group.
  assert selected.counts["unfinished"] == unfinished + 1


def test_an_answer_that_was_cut_off_is_rejected_but_never_chosen():
  selected = select.best_and_worst([_CUT, _group(("c", 9.0, False))])
  assert _texts(selected, "chosen") == ["end"]
  assert _texts(selected, "rejected") == ["low"]
  assert selected.rows[0]["margin"] == 1.0
  assert selected.counts["unfinished"] == 3


def test_an_answer_that_was_cut_off_is_called_bad_but_never_good():
  selected = select.labelled([_CUT], threshold=2.0)
  assert [(row["label"]) for row in selected.rows] == [True, False]
  assert _texts(selected) == ["end", "low"]
  assert selected.counts["unfinished"] == 1


def test_correct_keeps_each_different_right_answer_once():
  group = _group(("a", 1.0), ("b", 0.0), ("a", 1.0), ("c", 2.0), ("d", 1.0))
  selected = select.correct([group], threshold=1.0)
  assert _texts(selected) == ["c", "a", "d"]
  assert selected.counts["below_threshold"] == 1
  assert selected.counts["repeated"] == 1


def test_correct_keeps_the_best_and_then_the_first_up_to_the_most():
  group = _group(("a", 1.0), ("b", 1.0), ("c", 2.0))
  selected = select.correct([group], threshold=1.0, most=2)
  assert _texts(selected) == ["c", "a"]
  assert selected.counts["over_most"] == 1


def test_best_and_worst_are_a_pair_with_its_margin():
  selected = select.best_and_worst([_group(("a", 1.0), ("b", 3.5), ("c", 0.5))])
  (row,) = selected.rows
  assert row["chosen"] == [{"role": "assistant", "content": "b"}]
  assert row["rejected"] == [{"role": "assistant", "content": "c"}]
  assert row["margin"] == 3.0
  assert parse_rows.parse_preference(row).margin == 3.0


@pytest.mark.parametrize(
  "answers",
  [
    [("a", 1.0), ("b", 1.0)],
    [("a", 1.0)],
    # One text, two verdicts.
    [("a", 1.0), ("a", 2.0)],
  ],
)
def test_a_tie_is_no_pair(answers):
  selected = select.best_and_worst([_group(*answers)])
  assert selected.rows == [] and selected.counts["tied"] == 1


def test_a_pair_closer_than_the_least_margin_is_left_out():
  groups = [_group(("a", 1.0), ("b", 1.5)), _group(("c", 0.0), ("d", 1.0))]
  selected = select.best_and_worst(groups, least_margin=1.0)
  assert _texts(selected, "chosen") == ["d"]
  assert selected.counts["below_least_margin"] == 1


def test_labelled_marks_what_reaches_the_threshold():
  selected = select.labelled(
    [_group(("a", 1.0), ("b", 0.9))], threshold=1.0, balance=False
  )
  assert [row["label"] for row in selected.rows] == [True, False]
  parse_rows.parse_unpaired(selected.rows[1])


def test_labelled_keeps_as_many_good_as_bad_ones():
  group = _group(*((f"bad {i}", 0.0) for i in range(9)), ("good", 1.0))
  selected = select.labelled([group], threshold=1.0)
  assert sorted(row["label"] for row in selected.rows) == [False, True]
  counts = selected.counts
  assert (counts["desirable"], counts["undesirable"]) == (1, 1)
  assert counts["unbalanced"] == 8
  assert select.labelled([group], threshold=1.0).rows == selected.rows
  others = {
    tuple(_texts(select.labelled([group], threshold=1.0, seed=seed)))
    for seed in range(9)
  }
  assert len(others) > 1


def test_without_one_side_a_balance_is_empty():
  selected = select.labelled([_group(("a", 1.0))], threshold=1.0)
  assert selected.rows == [] and selected.counts["unbalanced"] == 1


def test_quantiles_are_told_in_the_prompt_and_pooled_over_the_groups():
  groups = [_group(("a", 4.0), ("b", 1.0)), _group(("c", 3.0), ("d", 2.0))]
  selected = select.quantiles(groups, num_quantiles=2, phrase="q={quantile}")
  told = {
    row["completion"][0]["content"]: row["prompt"] for row in selected.rows
  }
  assert told["a"] == [
    {"role": "system", "content": "q=2"},
    {"role": "user", "content": "q"},
  ]
  levels = {text: prompt[0]["content"] for text, prompt in told.items()}
  assert levels == {"a": "q=2", "c": "q=2", "d": "q=1", "b": "q=1"}
  assert selected.counts["quantile_1"] == selected.counts["quantile_2"] == 2
  parse_rows.parse_sft(selected.rows[0])


def _first_turn(prompt: Text) -> str:
  assert not isinstance(prompt, str)
  return prompt[0].content


def test_the_best_quantile_is_what_is_asked_for():
  found = select.find(dict(name="quantiles", num_quantiles=3, place="user"))
  assert found.condition is not None
  told = _first_turn(found.condition(_ASKED))
  assert told == "Quality of the answer: 3 of 3.\n\nq"
  found = select.find(dict(name="quantiles", phrase="{quantile}"))
  system = (Message("system", "be kind"), *_ASKED)
  assert found.condition is not None
  assert _first_turn(found.condition(system)) == "5\n\nbe kind"


def test_a_selection_is_found_by_name_with_its_options():
  found = select.find(dict(name="correct", threshold=1, most=2))
  assert found.algorithms == ("sft",) and found.condition is None
  assert _texts(found.select([_group(("a", 1.0), ("b", 0.0))])) == ["a"]


@pytest.mark.parametrize(
  "options,message",
  [
    ({}, "select.name=None is not one of best, best_and_worst, correct"),
    (dict(name="worst"), "select.name='worst'"),
    (dict(name="correct"), "missing: threshold"),
    (dict(name="best", threshold=1.0), "unknown: threshold"),
    (dict(name="best", groups=[]), "unknown: groups"),
    (dict(name="correct", threshold="high"), "select.threshold='high'"),
    (dict(name="correct", threshold=True), "select.threshold=True"),
    (dict(name="correct", threshold=float("nan")), "select.threshold=nan"),
    (dict(name="correct", threshold=1.0, most=-1), "select.most=-1"),
    (dict(name="best_and_worst", least_margin=-1.0), "least_margin=-1.0"),
    (dict(name="quantiles", num_quantiles=1), "num_quantiles=1"),
    (dict(name="quantiles", phrase="good"), "must hold {quantile}"),
    (dict(name="quantiles", place="end"), "select.place='end'"),
  ],
)
def test_an_option_that_cannot_work_is_refused(options, message):
  with pytest.raises(ValueError) as caught:
    select.find(options)
  assert message in str(caught.value)


def test_a_phrase_has_no_turn_in_raw_text():
  with pytest.raises(ValueError, match="write it as messages"):
    select.quantiles([_group(("a", 1.0), prompt="q")])
