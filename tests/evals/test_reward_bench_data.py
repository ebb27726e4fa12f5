# SPDX-License-Identifier: Apache-2.0
"""RewardBench's rows become questions, or are refused with their place."""

import pytest

from ramjax.data.rows import Message
from ramjax.evals import reward_bench, reward_bench_2, reward_bench_data

_ONE = {
  "prompt": "How?",
  "chosen": "So.",
  "chosen_model": "m",
  "rejected": "No.",
  "subset": "hep-go",
  "id": 7,
}
_TWO = {
  "prompt": "How?",
  "chosen": ["So."],
  "rejected": ["No.", "", "Why?"],
  "num_correct": 1,
  "total_completions": 4,
  "subset": "Math",
  "id": "7",
}


def _turns(*contents, **more):
  roles = ("user", "assistant") * 3
  return [
    {"role": roles[i], "content": content, **more}
    for i, content in enumerate(contents)
  ]


def test_a_question_of_version_1_has_one_right_answer_and_one_wrong():
  found = reward_bench_data.read_question(_ONE, "a:1", 1)
  assert found.prompt == (Message("user", "How?"),)
  assert (found.answers, found.num_correct) == (("So.", "No."), 1)
  assert [c.response for c in found.conversations] == ["So.", "No."]
  record = reward_bench_data.scores_record(found, [2, 1], 1)
  assert record == {
    "subset": "hep-go",
    "id": 7,
    "scores_chosen": 2.0,
    "scores_rejected": 1.0,
  }
  item = reward_bench.read_item(record, "a:1")
  assert (item.subset, item.id, item.score) == ("hep-go", "7", 1.0)


def test_a_question_of_version_2_has_right_answers_first():
  found = reward_bench_data.read_question(_TWO, "a:1", 2)
  assert found.answers == ("So.", "No.", "", "Why?")
  record = reward_bench_data.scores_record(found, [1, 1, 0, 0], 2)
  item = reward_bench_2.read_item(record, "a:1")
  assert item.scores == (1.0, 1.0, 0.0, 0.0) and item.score == 0.5
  without = {k: x for k, x in _TWO.items() if k not in ("num_correct", "id")}
  found = reward_bench_data.read_question(without, "a:1", 2)
  assert found.num_correct == 1
  assert "id" not in reward_bench_data.scores_record(found, [1] * 4, 2)


def test_a_prompt_of_several_turns_alternates():
  prompt = _turns("a", "b", "c", more=1)
  found = reward_bench_data.read_question({**_ONE, "prompt": prompt}, "a:1", 1)
  assert found.prompt == (
    Message("user", "a"),
    Message("assistant", "b"),
    Message("user", "c"),
  )
  # Roles of other names say nothing, as in the authors' tool.
  prompt[0]["role"] = "human"
  del prompt[1]["role"]
  again = reward_bench_data.read_question({**_ONE, "prompt": prompt}, "a:1", 1)
  assert again == found


@pytest.mark.parametrize(
  "version, fields, message",
  [
    (1, {"prompt": None}, "a:1: no 'prompt': a model is run on"),
    (1, {"chosen": None}, "a:1: no 'chosen'"),
    (1, {"chosen": 3}, "a:1: chosen is the number 3, not a string"),
    (1, {"rejected": ["a"]}, "a:1: rejected is a list, not a string"),
    (1, {"prompt": 3}, "a:1: prompt is the number 3"),
    (1, {"prompt": "\ud800"}, "a:1: prompt holds a lone surrogate"),
    (1, {"prompt": []}, "prompt has 0 turns"),
    (1, {"prompt": _turns("a", "b")}, "prompt has 2 turns"),
    (1, {"prompt": ["a"]}, r"a:1: prompt\[0\] is a string"),
    (1, {"prompt": [{"content": None}]}, r"prompt\[0\] is null, not a string"),
    (
      1,
      {"prompt": [{"role": "system", "content": "a"}]},
      r"prompt\[0\] is the system's, and the user's is due",
    ),
    (
      1,
      {"prompt": _turns("a", "b", "c")[1:]},
      r"prompt\[0\] is the assistant's, and the user's is due",
    ),
    (2, {"chosen": "So."}, "a:1: chosen is a string: RewardBench 2 has a list"),
    (2, {"rejected": []}, "a:1: rejected is a list: RewardBench 2"),
    (2, {"rejected": ["a", None]}, "a:1: rejected is null, not a string"),
    (2, {"num_correct": 2}, "num_correct=2, and there are 1"),
    (2, {"total_completions": 3}, "total_completions=3, and there are 4"),
  ],
)
def test_rows_of_another_form_are_refused(version, fields, message):
  record = {**(_ONE, _TWO)[version - 1], **fields}
  with pytest.raises(ValueError, match=message):
    reward_bench_data.read_question(record, "a:1", version)


def test_a_record_that_is_none_is_refused():
  with pytest.raises(ValueError, match="a:1: a list, not an object"):
    reward_bench_data.read_question([], "a:1", 1)
