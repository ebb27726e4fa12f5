# SPDX-License-Identifier: Apache-2.0
"""Chosen is right, rejected is wrong, and nothing else tells them apart."""

import collections
import hashlib
import json
import random

import pytest

from ramjax.data import parse_rows, task_kinds, task_pairs, tasks
from ramjax.data.rows import Message, PreferenceRow

ALL_KINDS = tuple(tasks.TASK_KINDS)
SUM = task_kinds.exact_task("arithmetic", "What is 2 + 11?", "13")
WORDS = task_kinds.exact_task(
  "copy_words", "Repeat these words: old bee", "old bee"
)
BULLETS = task_kinds.Task(
  "format_list",
  "Turn this into a bullet list: horse forest",
  "- horse\n- forest",
  {"style": "bullets", "items": ["horse", "forest"]},
)
SENTENCE = task_kinds.Task(
  "sentence_ending",
  'Use "farm" in a sentence and end it with a question mark.',
  "Does Gus know the farm?",
  {"ending": "?", "must_contain": ["farm"]},
)

# Of the JSON of the first 240 pairs for seed 0.
STREAM_DIGEST = (
  "0528aaa7ba7c20b978df936ffd11c78cac381fd26d3a30546875786559e86933"
)


@pytest.fixture(scope="module")
def pairs():
  return task_pairs.generate_pairs(num_pairs=50 * len(ALL_KINDS), seed=0)


def _answers(pair):
  return pair["chosen"][0]["content"], pair["rejected"][0]["content"]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_chosen_is_right_and_rejected_is_wrong(pairs, kind):
  of_kind = [pair for pair in pairs if pair["task"]["kind"] == kind]
  assert len(of_kind) == 50
  for pair in of_kind:
    chosen, rejected = _answers(pair)
    assert tasks.verify_response(pair["task"], chosen)
    assert not tasks.verify_response(pair["task"], rejected)
    assert rejected.strip() not in ("", chosen.strip())


def test_a_pair_is_its_task_with_a_wrong_answer(pairs):
  made = tasks.generate_tasks(num_tasks=len(pairs), seed=0)
  for pair, task in zip(pairs, made, strict=True):
    record = tasks.task_record(task)
    assert json.loads(json.dumps(pair)) == pair
    assert pair == {
      "prompt": record["prompt"],
      "chosen": record["completion"],
      "rejected": [{"role": "assistant", "content": _answers(pair)[1]}],
      "task": record["task"],
    }


def test_a_pair_parses_as_a_preference_row(pairs):
  chosen, rejected = _answers(pairs[0])
  row = parse_rows.parse_preference(pairs[0])
  assert isinstance(row, PreferenceRow)
  assert row.prompt == (Message("user", pairs[0]["prompt"][0]["content"]),)
  assert [turn.content for turn in row.chosen] == [chosen]
  assert [turn.content for turn in row.rejected] == [rejected]


def test_length_does_not_tell_which_answer_is_wrong(pairs):
  lengths = [tuple(map(len, _answers(pair))) for pair in pairs[:1000]]
  unequal = [(right, wrong) for right, wrong in lengths if right != wrong]
  shorter = sum(wrong < right for right, wrong in unequal)
  assert len(unequal) > 300
  assert 0.4 < shorter / len(unequal) < 0.6


def test_every_mistake_is_made():
  made = tasks.generate_tasks(num_tasks=1000, seed=1)
  rng = random.Random(0)
  names = collections.Counter(
    task_pairs.wrong_answer(
      task, rng, [other for other in made[-240:] if other.kind == task.kind]
    )[0]
    for task in made[:-240]
  )
  assert set(names) == set(task_pairs.MISTAKES)
  # None is most of them, and each is seen more than once.
  assert max(names.values()) < 0.3 * names.total()
  assert min(names.values()) >= 5


@pytest.mark.parametrize(
  ("mistake", "task", "expected"),
  [
    ("other_answer", WORDS, ["13", "big cat"]),
    ("borrowed_word", SUM, ["2", "11"]),
    ("borrowed_word", WORDS, []),
    ("foreign_word", WORDS, ["big bee", "cat bee", "old big", "old cat"]),
    ("foreign_word", SUM, []),
    ("wrong_number", SUM, ["11", "12", "14", "15"]),
    ("dropped_word", WORDS, ["bee", "old"]),
    ("dropped_word", BULLETS, ["- forest", "- horse"]),
    ("dropped_word", SUM, []),
    ("doubled_word", WORDS, ["old old bee", "old bee bee"]),
    (
      "doubled_word",
      BULLETS,
      ["- horse\n- horse\n- forest", "- horse\n- forest\n- forest"],
    ),
    ("swapped_words", WORDS, ["bee old"]),
    (
      "swapped_words",
      SENTENCE,
      [
        "Gus Does know the farm?",
        "Does Gus the know farm?",
        "Does Gus know farm the?",
      ],
    ),
    (
      "changed_letter",
      WORDS,
      ["uld bee", "ord bee", "olb bee", "old dee", "old bae", "old bea"],
    ),
    (
      "dropped_letter",
      WORDS,
      ["ld bee", "od bee", "ol bee", "old ee", "old be", "old be"],
    ),
    ("dropped_letter", SUM, ["3", "1"]),
    (
      "doubled_letter",
      WORDS,
      ["oold bee", "olld bee", "oldd bee", "old bbee", "old beee", "old beee"],
    ),
    (
      "wrong_case",
      WORDS,
      [
        *("old bee", "OLD BEE", "Old Bee"),
        *("old bee", "Old bee", "old bee", "old Bee"),
      ],
    ),
    (
      "dropped_mark",
      BULLETS,
      [" horse\n- forest", "- horse\n forest", " horse\n forest"],
    ),
    ("added_mark", WORDS, ["old bee.", "old, bee"]),
    (
      "added_mark",
      SENTENCE,
      [
        "Does Gus know the farm??",
        "Does Gus know the farm?.",
        "Does, Gus, know, the, farm?",
      ],
    ),
    ("changed_mark", SENTENCE, 3 * ["Does Gus know the farm."]),
  ],
)
def test_a_mistake_gives(mistake, task, expected):
  others = [
    SUM if task is WORDS else WORDS,
    task_kinds.exact_task("copy_words", "Repeat these words: big", "big cat"),
  ]
  if task is SUM:
    others = [WORDS]
  assert task_pairs.MISTAKES[mistake](task, others) == expected


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_kind_alone_yields_a_wrong_answer(kind):
  rng = random.Random(0)
  for task in tasks.generate_tasks(num_tasks=20, seed=2, kinds=[kind]):
    pair = task_pairs.pair_record(task, rng, [])
    assert not tasks.verify_response(pair["task"], _answers(pair)[1])


def test_yes_is_most_often_wrong_as_no(pairs):
  wrong = [
    _answers(pair)[1] for pair in pairs if pair["task"]["kind"] == "has_word"
  ]
  assert sum(answer in ("yes", "no") for answer in wrong) > len(wrong) / 2


def test_a_wrong_answer_of_the_unwanted_length_is_better_than_none(monkeypatch):
  # The only mistakes left are shorter, and half of the draws want a longer one.
  monkeypatch.setattr(
    task_pairs, "MISTAKES", dict.fromkeys(task_pairs.MISTAKES, lambda *_: ["a"])
  )
  for seed in range(20):
    _, text = task_pairs.wrong_answer(WORDS, random.Random(seed), [])
    assert text == "a"


def test_a_verifier_that_accepts_everything_is_refused(monkeypatch):
  lenient = task_kinds.TaskKind(
    "lenient", "anything", lambda rng: SUM, lambda constraint, text: True
  )
  monkeypatch.setattr(tasks, "TASK_KINDS", {"lenient": lenient})
  task = task_kinds.exact_task("lenient", "Say a word.", "word")
  with pytest.raises(ValueError, match="'lenient': its verifier accepts every"):
    task_pairs.pair_record(task, random.Random(0), [])


def test_stream_is_the_same_on_every_python_version(pairs):
  content = json.dumps(pairs[:240], sort_keys=True).encode()
  assert hashlib.sha256(content).hexdigest() == STREAM_DIGEST


def test_another_seed_gives_others():
  one, other = (
    task_pairs.generate_pairs(num_pairs=24, seed=seed) for seed in (0, 1)
  )
  assert one != other


def test_shorter_list_is_a_prefix_of_a_longer_one(pairs):
  for num_pairs in (0, 1, 23, 100):
    shorter = task_pairs.generate_pairs(num_pairs=num_pairs, seed=0)
    assert shorter == pairs[:num_pairs]


def test_global_random_state_is_neither_read_nor_changed():
  before = random.getstate()
  task_pairs.generate_pairs(num_pairs=50, seed=0)
  assert random.getstate() == before


def test_negative_num_pairs_is_refused():
  with pytest.raises(ValueError, match="num_pairs=-1"):
    task_pairs.generate_pairs(num_pairs=-1, seed=0)


def _flawed(num_tasks=100, wrong_share=0.5, seed=0):
  return task_pairs.generate_flawed(
    num_tasks=num_tasks, seed=seed, wrong_share=wrong_share
  )


def test_none_or_all_demonstrations_are_wrong_as_told():
  clean = [
    tasks.task_record(task)
    for task in tasks.generate_tasks(num_tasks=100, seed=0)
  ]
  assert _flawed(wrong_share=0.0) == clean
  for record in _flawed(wrong_share=1.0):
    answer = record["completion"][0]["content"]
    assert not tasks.verify_response(record["task"], answer)


def test_a_shorter_list_of_demonstrations_begins_a_longer_one():
  assert _flawed(num_tasks=30) == _flawed()[:30]
  assert _flawed(seed=1) != _flawed()


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share):
  with pytest.raises(ValueError, match="wrong_share="):
    _flawed(wrong_share=share)


def test_negative_num_tasks_is_refused():
  with pytest.raises(ValueError, match="num_tasks=-1"):
    _flawed(num_tasks=-1)
