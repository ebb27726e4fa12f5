# SPDX-License-Identifier: Apache-2.0
"""What MT-Bench's judge is asked, and the judgments that its words come to."""

import dataclasses
import json

import pytest

from ramjax.evals import mt_bench_files, mt_bench_judging
from ramjax.evals.engine import Completion
from ramjax.evals.mt_bench_files import JudgePrompt, ModelAnswer, Question

_SINGLE = (
  "Q {question} A {answer}",
  "{question_1} {answer_1} {question_2} {answer_2}",
)
_PAIR = (
  "Q {question} A {answer_a} B {answer_b}",
  "{question_1} {question_2} A {answer_a_1} {answer_a_2} B {answer_b_1}"
  " {answer_b_2}",
)
_REFERENCE = (" R {ref_answer_1}", " R {ref_answer_1} {ref_answer_2}")
_ENDS = ("", "-multi-turn")


def _prompts(pair_format="[[A]]"):
  found = {}
  for names, templates, kind, output_format in (
    (("single-v1", "single-math-v1"), _SINGLE, "single", "[[rating]]"),
    (("pair-v2", "pair-math-v1"), _PAIR, "pairwise", pair_format),
  ):
    for name in names:
      for turn in (0, 1):
        reference = _REFERENCE[turn] if "math" in name else ""
        found[name + _ENDS[turn]] = JudgePrompt(
          name=name + _ENDS[turn],
          type=kind,
          system_prompt=f"judge by {name}",
          prompt_template=templates[turn] + reference,
          output_format=output_format,
          where="prompts.jsonl",
        )
  return found


def _question(question_id, category, turns=("q1", "q2")):
  return Question(
    question_id=question_id,
    category=category,
    turns=turns,
    reference=None,
    where="question.jsonl",
  )


_QUESTIONS = {
  81: _question(81, "writing"),
  111: _question(111, "math"),
  150: _question(150, "stem", ("once",)),
}


def _answers(name, ids=(81, 111, 150)):
  return {
    number: ModelAnswer(
      question_id=number,
      answer_id="x",
      model_id=name,
      turns=(f"{name}{number}.1", f"{name}{number}.2"),
      tstamp=None,
      where=f"{name}.jsonl:{number}",
    )
    for number in ids
  }


def _cases(answers=None, *, baseline=None, prompts=None, references=None):
  return mt_bench_judging.cases(
    _QUESTIONS,
    _answers("m") if answers is None else answers,
    prompts=_prompts() if prompts is None else prompts,
    references=_answers("r", [111]) if references is None else references,
    baseline=baseline,
  )


class _Judge:
  def __init__(self, *verdicts):
    self._verdicts = verdicts
    self.asked = []

  def complete(self, requests, *, progress=None):
    self.asked += requests
    return [
      Completion(text, finished=True, num_tokens=1)
      for text, _ in zip(self._verdicts, requests, strict=True)
    ]


def _judged(cases, judge):
  return mt_bench_judging.judgment_records(
    judge,
    cases,
    judge="j",
    tstamp=2.5,
    max_tokens=lambda messages: 2048,
  )


def _written(tmp_path, records):
  path = tmp_path / "judgments.jsonl"
  path.write_text("".join(json.dumps(record) + "\n" for record in records))
  return path


def test_every_turn_of_every_question_is_graded_with_its_prompt():
  found = [(c.question.question_id, c.turn, c.prompt.name) for c in _cases()]
  assert found == [
    (81, 1, "single-v1"),
    (81, 2, "single-v1-multi-turn"),
    (111, 1, "single-math-v1"),
    (111, 2, "single-math-v1-multi-turn"),
    (150, 1, "single-v1"),
  ]
  shown = [[m.content for m in c.conversations[0]] for c in _cases()]
  assert shown[1] == ["judge by single-v1", "q1 m81.1 q2 m81.2"]
  assert shown[2] == ["judge by single-math-v1", "Q q1 A m111.1 R r111.1"]
  assert shown[4] == ["judge by single-v1", "Q once A m150.1"]


def test_grades_are_asked_greedily_and_written_as_the_official_ones(tmp_path):
  judge = _Judge("[[7]]", "so [[8.5]]", "no number", "[3]", "[[10]] [[1]]")
  records = _judged(_cases(), judge)
  assert {request.options.temperature for request in judge.asked} == {0.0}
  assert {request.options.max_tokens for request in judge.asked} == {2048}
  assert list(records[0].items()) == [
    ("question_id", 81),
    ("model", "m"),
    ("judge", ["j", "single-v1"]),
    ("user_prompt", "Q q1 A m81.1"),
    ("judgment", "[[7]]"),
    ("score", 7),
    ("turn", 1),
    ("tstamp", 2.5),
  ]
  path = _written(tmp_path, records)
  assert mt_bench_files.mode_of(path) == "single"
  rows = mt_bench_files.read_judgments(path)
  assert [row.score for row in rows] == [7, 8.5, -1, 3, 10]
  copy = tmp_path / "copy.jsonl"
  mt_bench_files.write_judgments(copy, rows)
  assert copy.read_bytes() == path.read_bytes()


def test_pairs_are_shown_in_both_orders_and_winners_are_models(tmp_path):
  cases = _cases(baseline=_answers("b"))
  # A is model_1 in the first game, and model_2 in the second.
  judge = _Judge(
    *("[[A]]", "[[B]]"),
    *("[[B]]", "[[A]]"),
    *("[[A]]", "[[A]]"),
    *("[[C]]", "nothing"),
    *("[[B]]", "[[C]]"),
  )
  records = _judged(cases, judge)
  assert [request.messages[-1].content for request in judge.asked[:2]] == [
    "Q q1 A m81.1 B b81.1",
    "Q q1 A b81.1 B m81.1",
  ]
  assert judge.asked[7].messages[-1].content == (
    "q1 q2 A b111.1 b111.2 B m111.1 m111.2 R r111.1 r111.2"
  )
  assert list(records[0].items()) == [
    ("question_id", 81),
    ("model_1", "m"),
    ("model_2", "b"),
    ("g1_winner", "model_1"),
    ("g2_winner", "model_1"),
    ("judge", ["j", "pair-v2"]),
    ("g1_user_prompt", "Q q1 A m81.1 B b81.1"),
    ("g1_judgment", "[[A]]"),
    ("g2_user_prompt", "Q q1 A b81.1 B m81.1"),
    ("g2_judgment", "[[B]]"),
    ("turn", 1),
    ("tstamp", 2.5),
  ]
  path = _written(tmp_path, records)
  assert mt_bench_files.mode_of(path) == "pair"
  rows = mt_bench_files.read_pair_judgments(path)
  assert [(row.g1_winner, row.g2_winner) for row in rows] == [
    ("model_1", "model_1"),
    ("model_2", "model_2"),
    ("model_1", "model_2"),
    ("tie", "error"),
    ("model_2", "tie"),
  ]
  copy = tmp_path / "copy.jsonl"
  mt_bench_files.write_judgments(copy, rows)
  assert copy.read_bytes() == path.read_bytes()


def test_a_prompt_that_asks_for_two_ratings_is_read_so():
  prompts = _prompts("[[rating_a,rating_b]]")
  cases = _cases(baseline=_answers("b"), prompts=prompts)[:1]
  (record,) = _judged(cases, _Judge("[[9,2]]", "[[9.05, 9]]"))
  assert (record["g1_winner"], record["g2_winner"]) == ("model_1", "tie")


def test_answers_to_other_questions_are_refused():
  with pytest.raises(ValueError, match=r"m.jsonl:7: question_id=7 is none of"):
    _cases(_answers("m", [81, 111, 150, 7]))
  with pytest.raises(ValueError, match="1 of the 3 questions have no answer"):
    _cases(_answers("m", [81, 111]))
  with pytest.raises(ValueError, match="no answer of 'b', such as"):
    _cases(baseline=_answers("b", [111]))


def test_an_answer_of_one_turn_to_a_question_of_two_is_refused():
  answers = _answers("m")
  answers[81] = dataclasses.replace(answers[81], turns=("one",))
  with pytest.raises(ValueError, match="has 1 turns, and question 81 has 2"):
    _cases(answers)


def test_a_model_is_not_compared_with_itself():
  with pytest.raises(ValueError, match="both models are called 'm'"):
    _cases(baseline=_answers("m"))


@pytest.mark.parametrize("mode", ["single", "pair"])
def test_what_is_missing_is_known_before_there_are_answers(mode):
  def check(prompts, references):
    mt_bench_judging.check(
      _QUESTIONS, prompts=prompts, references=references, mode=mode
    )

  references = _answers("r", [111])
  check(_prompts(), references)
  with pytest.raises(ValueError, match="question 111 of category 'math' is"):
    check(_prompts(), {})
  name = {"single": "single-v1", "pair": "pair-v2"}[mode] + "-multi-turn"
  prompts = _prompts()
  del prompts[name]
  with pytest.raises(ValueError, match=f"there is no judge prompt '{name}'"):
    check(prompts, references)
