# SPDX-License-Identifier: Apache-2.0
"""How MT-Bench's questions are asked, and what records the answers come to."""

import json

import pytest

from ramjax.evals import mt_bench_answers, mt_bench_files
from ramjax.evals.engine import Completion
from ramjax.evals.mt_bench_files import Question
from ramjax.evals.sample_seeds import sample_seed


class _Engine:
  """Answers with the number of the request, and keeps all that was asked."""

  def __init__(self):
    self.calls = []

  def complete(self, requests, *, progress=None):
    number = sum(map(len, self.calls))
    self.calls.append(list(requests))
    for _ in requests:
      assert progress is not None
      progress(1)
    return [
      Completion(f"said {number + i}", finished=True, num_tokens=1)
      for i in range(len(requests))
    ]


def _question(question_id, category="writing", turns=("q1", "q2")):
  return Question(
    question_id=question_id,
    category=category,
    turns=turns,
    reference=None,
    where=f"question.jsonl:{question_id}",
  )


def _records(engine, questions, seed=3, told=None):
  return mt_bench_answers.answer_records(
    engine,
    questions,
    model_id="org/m",
    seed=seed,
    tstamp=12.5,
    max_tokens=lambda messages: 100 - len(messages),
    progress=([] if told is None else told).append,
  )


def _said(request):
  return [(turn.role, turn.content) for turn in request.messages]


def test_a_second_turn_stands_behind_the_models_own_first_answer():
  engine, told = _Engine(), []
  questions = [_question(81), _question(82, turns=("only",)), _question(83)]
  records = _records(engine, questions, told=told)
  first, second = engine.calls
  assert [_said(request) for request in first] == [
    [("user", "q1")],
    [("user", "only")],
    [("user", "q1")],
  ]
  assert [_said(request) for request in second] == [
    [("user", "q1"), ("assistant", f"said {i}"), ("user", "q2")] for i in (0, 2)
  ]
  assert [record["choices"] for record in records] == [
    [{"index": 0, "turns": turns}]
    for turns in (["said 0", "said 3"], ["said 1"], ["said 2", "said 4"])
  ]
  assert [r.options.max_tokens for r in (first[0], second[0])] == [99, 97]
  assert told == [1] * 5


def test_a_category_decides_the_temperature_of_both_turns():
  expected = {
    **{"writing": 0.7, "roleplay": 0.7, "another": 0.7},
    **{"extraction": 0, "math": 0, "coding": 0, "reasoning": 0},
    **{"stem": 0.1, "humanities": 0.1},
  }
  engine = _Engine()
  _records(engine, [_question(i, name) for i, name in enumerate(expected)])
  for call in engine.calls:
    found = [request.options.temperature for request in call]
    assert found == list(expected.values())


def test_seeds_are_of_question_and_turn_whatever_else_is_asked():
  engine = _Engine()
  _records(engine, [_question(81), _question(160)])
  _records(engine, [_question(160)])
  seeds = [[request.seed for request in call] for call in engine.calls]
  assert seeds[0] == [sample_seed(3, 81, 1), sample_seed(3, 160, 1)]
  assert seeds[1] == [sample_seed(3, 81, 2), sample_seed(3, 160, 2)]
  assert seeds[2:] == [seeds[0][1:], seeds[1][1:]]
  assert len({*seeds[0], *seeds[1]}) == 4


@pytest.mark.parametrize("question_id", [-1, 2**32])
def test_a_question_of_which_no_seed_can_be_made_is_refused(question_id):
  with pytest.raises(
    ValueError, match=rf"question_id={question_id} must be in"
  ):
    _records(_Engine(), [_question(question_id)])


def test_records_are_the_official_ones_and_are_read_again(tmp_path):
  (record,) = _records(_Engine(), [_question(81)])
  keys = ["question_id", "answer_id", "model_id", "choices", "tstamp"]
  assert list(record) == keys
  path = tmp_path / "m.jsonl"
  path.write_text(json.dumps(record) + "\n")
  answer = mt_bench_files.read_answers(path)[81]
  assert answer.turns == ("said 0", "said 1")
  assert (answer.model_id, answer.tstamp) == ("org/m", 12.5)
  assert answer.answer_id == record["answer_id"]


def test_the_name_of_an_answer_follows_from_model_and_question():
  # printf '["m", 81]' | sha256sum
  name = mt_bench_answers.answer_id("m", 81)
  assert name == "8fce052b638fafd5577d38"
  assert name == mt_bench_answers.answer_id("m", 81)
  others = [("m", 82), ("n", 81), ("m8", 1), ("m, 8", 1)]
  assert name not in {mt_bench_answers.answer_id(*each) for each in others}
