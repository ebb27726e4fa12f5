# SPDX-License-Identifier: Apache-2.0
"""A judge's verdicts as a report reads, picks and groups them."""

import json
import re

import pytest

from ramjax.evals.evaluation import Evaluation
from ramjax.tools import (
  report_length_groups,
  report_verdict_samples,
  report_verdicts,
)
from ramjax.tools.report_verdict_samples import Answer
from ramjax.tools.report_verdicts import Verdict, Verdicts


def evaluation(benchmark="win_rate", model="mine"):
  return Evaluation(benchmark, model, {})


def annotation(i, preference, **changed):
  return {
    "instruction": f"task {i}",
    "output_1": f"base {i}",
    "output_2": f"mine {i}",
    "generator_1": "base",
    "generator_2": "mine",
    "annotator": "judge",
    "preference": preference,
    **changed,
  }


def write(folder, rows):
  (folder / "annotations.json").write_text(json.dumps(rows))


def read(folder, *of):
  found = report_verdicts.read(folder, evaluation(*of))
  assert found is not None
  return found


def pairs(worths, lengths=None):
  lengths = lengths or [0] * len(worths)
  return Verdicts(
    [
      Verdict(str(i), str(i), "b" * 100, "m" * (100 + n), w, "")
      for i, (w, n) in enumerate(zip(worths, lengths, strict=True))
    ],
    1.5,
    "",
  )


def test_annotations_are_pairs_with_the_judge_s_words(tmp_path):
  words = ["raw", {"text": "of logprobs"}, ["one", "two", 3], None, 7]
  rows = [
    annotation(i, 1.0 + i / 4, raw_completion=word)
    for i, word in enumerate(words)
  ]
  write(tmp_path, [*rows, annotation(9, None)])
  found = read(tmp_path)
  assert [row.said for row in found.rows] == [
    "lost, preference 0.0%",
    "lost, preference 25.0%",
    "tie",
    "won, preference 75.0%",
    "won, preference 100.0%",
  ]
  assert [list(row.words) for row in found.rows] == [
    ["raw"],
    ["of logprobs"],
    ["one", "two"],
    [],
    [],
  ]
  assert found.rows[0][:4] == ("task 0", "task 0", "base 0", "mine 0")
  assert found.parties == "mine against base, judged by judge"
  assert found.tie == 1.5


def test_nothing_beside_an_evaluation_is_nothing(tmp_path):
  assert report_verdicts.read(tmp_path, evaluation()) is None
  assert report_verdicts.read(tmp_path, evaluation("mt_bench")) is None


def test_a_broken_or_large_file_is_refused_by_name(tmp_path, monkeypatch):
  write(tmp_path, [annotation(0, 7.0)])
  with pytest.raises(ValueError, match=r"annotations\.json"):
    read(tmp_path)
  monkeypatch.setattr(report_verdicts, "MAX_BYTES", 10)
  with pytest.raises(ValueError, match=r"annotations\.json has [0-9]+ bytes"):
    read(tmp_path)


def test_questions_of_two_turns_may_have_one_instruction(tmp_path):
  rows = [annotation(0, 1.0, question_id=i) for i in (81, 82)]
  write(tmp_path, rows)
  assert len(read(tmp_path, "mt_bench_li").rows) == 2
  with pytest.raises(ValueError, match="task 0"):
    read(tmp_path)


def lines(path, rows):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def grade(question, turn, score, model="mine"):
  return {
    "question_id": question,
    "model": model,
    "judge": ["gpt", "single-v1"],
    "user_prompt": f"asked {question}",
    "judgment": f"words {question}.{turn}",
    "score": score,
    "turn": turn,
    "tstamp": 1.0,
  }


def test_grades_of_mt_bench_lie_beside_the_models(tmp_path):
  folder = tmp_path / "mine"
  folder.mkdir()
  rows = [grade(81, 1, 7), grade(81, 2, 3), grade(82, 1, -1)]
  other = grade(81, 1, 9, "other")
  lines(tmp_path / "model_judgment/gpt_single/mine.jsonl", [*rows, other])
  answer = {
    "question_id": 81,
    "answer_id": "a",
    "model_id": "mine",
    "choices": [{"index": 0, "turns": ["first", "second"]}],
    "tstamp": 1.0,
  }
  lines(tmp_path / "model_answer/mine.jsonl", [answer])
  found = read(folder, "mt_bench", "mine")
  assert found.tie is None and found.parties == "mine, judged by gpt"
  assert [row.said for row in found.rows] == ["grade 7", "grade 3"]
  assert [row.answer for row in found.rows] == ["first", "second"]
  assert found.rows[1].key == "Question 81, turn 2"
  assert found.rows[1].instruction == "Question 81, turn 2\nasked 81"
  assert found.rows[1].words == ["words 81.2"]
  assert report_verdicts.read(folder, evaluation("mt_bench", "no")) is None


def game(question, first, second, **changed):
  return {
    "question_id": question,
    "model_1": "mine",
    "model_2": "base",
    "g1_winner": first,
    "g2_winner": second,
    "judge": ["gpt", "pair-v2"],
    "g1_user_prompt": "p",
    "g1_judgment": "one",
    "g2_user_prompt": "p",
    "g2_judgment": "two",
    "turn": 1,
    "tstamp": 1.0,
    **changed,
  }


def test_games_of_mt_bench_are_worth_what_pairs_are(tmp_path):
  rows = [
    game(81, "model_1", "model_1"),
    game(82, "model_1", "tie"),
    game(83, "model_2", "model_2"),
    game(84, "error", "tie"),
    game(85, "model_1", "model_1", model_1="base", model_2="mine"),
  ]
  lines(tmp_path / "model_judgment/gpt_pair/mine.jsonl", rows)
  found = read(tmp_path, "mt_bench", "mine")
  assert [(row.worth, row.said) for row in found.rows] == [
    (2.0, "won and won"),
    (1.75, "won and tie"),
    (1.0, "lost and lost"),
    (1.0, "lost and lost"),
  ]
  assert found.tie == 1.5
  assert found.rows[0].words == ["one", "two"]


def test_ten_are_chosen_from_both_ends_and_next_to_a_tie():
  worths = [1.0 + i / 100 for i in range(101)]
  found = report_verdicts.chosen(pairs(worths))
  assert [row.worth for row in found] == pytest.approx(
    [2.0, 1.99, 1.98, 1.97, 1.51, 1.5, 1.03, 1.02, 1.01, 1.0]
  )


@pytest.mark.parametrize("number", [0, 1, 7, 9])
def test_few_are_chosen_once_each(number):
  found = report_verdicts.chosen(pairs([1.5] * number))
  assert [row.key for row in found] == [str(i) for i in range(number)]


def test_groups_by_length_have_rates_and_errors_by_hand():
  lengths = [-20, -19, -18, -17, -16, 5, 6, 7, 8, 9]
  worths = [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
  short, long = report_length_groups.by_length(pairs(worths, lengths))
  assert short.name == "\N{MINUS SIGN}20 to \N{MINUS SIGN}16"
  assert long.name == "+5 to +9"
  assert short.detail == "5 pairs"
  # Mean 20 %, and 1.96 of sqrt(0.2 / 5) = 0.2 on either side, but not below 0.
  figure = short.marks[0].figure
  assert figure.value == pytest.approx(20.0)
  assert figure.low == 0.0
  assert figure.high == pytest.approx(20.0 + 1.96 * 20.0)
  assert not long.marks[0].figure.has_interval


def test_pairs_of_one_length_are_one_group_and_none_is_lost():
  (group,) = report_length_groups.by_length(pairs([1.5] * 50, [4] * 50))
  assert (group.name, group.detail) == ("+4", "50 pairs")
  lengths = [*[0] * 30, *range(20)]
  groups = report_length_groups.by_length(pairs([1.5] * 50, lengths))
  assert sum(int(group.detail.split()[0]) for group in groups) == 50


def test_few_pairs_and_grades_have_no_groups():
  assert report_length_groups.by_length(pairs([1.5] * 9)) == []
  grades = pairs([1.5] * 50)._replace(tie=None)
  assert report_length_groups.by_length(grades) == []


@pytest.mark.parametrize(
  ("prompt", "question"),
  [
    ("[Instruction]\nx\n\n[Question]\nWhy?\n\n[The Start of A", "Why?"),
    ("[User Question]\nWhy?\n\n[The Start of Reference", "Why?"),
    (
      "<|The Start|>\n\n### User:\nWhy?\n\n### Assistant A:\nx\n\n### User:\n"
      "How?\n\n### Assistant A:\n[Question]\nNo\n\n[The Start of ",
      "Why?",
    ),
    # What an answer holds is no question.
    ("[Question]\nWhy?\n\n[The Start of A\n### User:\nNo\n\n### x", "Why?"),
    ("[Question]\nthat does not end", None),
    ("another form", None),
    (None, None),
  ],
)
def test_the_question_is_read_from_what_the_judge_saw(
  tmp_path, prompt, question
):
  row = {**grade(81, 2, 7), "user_prompt": prompt}
  lines(tmp_path / "model_judgment/gpt_single/mine.jsonl", [row])
  assert read(tmp_path, "mt_bench", "mine").rows[0].question == question


def test_verdicts_have_the_colour_of_their_worth(tmp_path):
  rows = [
    game(81, "model_1", "model_2"),
    game(82, "tie", "model_1"),
    game(83, "tie", "model_2"),
    game(84, "model_2", "tie"),
  ]
  lines(tmp_path / "model_judgment/gpt_pair/mine.jsonl", rows)
  page = report_verdict_samples.table(read(tmp_path, "mt_bench", "mine"))
  found = re.findall('class="mark (.*?)">(.*?)<', page)
  assert sorted(found) == [
    ("kind", "won and lost"),
    ("right", "tie and won"),
    ("wrong", "lost and tie"),
    ("wrong", "tie and lost"),
  ]


def test_answers_side_by_side_have_the_colour_of_their_worth():
  answers = {
    "a": {"p": Answer("x", "won and lost", 1.5, 1.5)},
    "b": {"p": Answer("y", "tie and won", 1.75, 1.5)},
    "c": {"p": Answer("z", "losses", 3.0)},
  }
  page = report_verdict_samples.same_prompts(answers, "abc")
  assert re.findall('class="mark (.*?)">', page) == ["kind", "right", "kind"]
