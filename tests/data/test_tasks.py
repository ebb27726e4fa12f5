# SPDX-License-Identifier: Apache-2.0
"""Generation: deterministic, prefix-stable, balanced, and plain JSON."""

import json
import random

import pytest

from ramjax.data import task_kinds, tasks

ALL_KINDS = tuple(tasks.TASK_KINDS)

# The first task of each of these kinds for seed 0.
STREAM_START = [
  "Repeat these words: old happy bee deer pig",
  "Put these numbers in rising order: 16 9 5",
  'Use "cow" in a sentence. Its first letter must be "B".',
]


def _generate(kind, num_tasks=60, seed=0):
  return tasks.generate_tasks(num_tasks=num_tasks, seed=seed, kinds=[kind])


def test_same_seed_same_tasks_and_another_seed_others():
  first = tasks.generate_tasks(num_tasks=100, seed=3)
  assert tasks.generate_tasks(num_tasks=100, seed=3) == first
  other = tasks.generate_tasks(num_tasks=100, seed=4)
  assert {t.prompt for t in first} != {t.prompt for t in other}


def test_a_seed_and_its_negative_differ():
  assert _generate("copy_words", seed=1) != _generate("copy_words", seed=-1)


def test_stream_is_the_same_on_every_python_version():
  # Fails if a Python version draws otherwise, or if a phrasing or the lexicon
  # is edited, which changes the tasks that published numbers were measured on.
  observed = [
    tasks.generate_tasks(num_tasks=1, seed=0, kinds=[kind])[0].prompt
    for kind in ("copy_words", "sort_numbers", "sentence_start")
  ]
  assert observed == STREAM_START


def test_shorter_list_is_a_prefix_of_a_longer_one():
  longer = tasks.generate_tasks(num_tasks=1000, seed=0)
  for num_tasks in (0, 1, 23, 500):
    shorter = tasks.generate_tasks(num_tasks=num_tasks, seed=0)
    assert shorter == longer[:num_tasks]


def test_tasks_of_a_kind_do_not_depend_on_the_other_kinds():
  everything = tasks.generate_tasks(num_tasks=20 * len(ALL_KINDS), seed=0)
  alone = _generate("sort_words", num_tasks=20)
  assert [t for t in everything if t.kind == "sort_words"] == alone


def test_no_prompt_repeats():
  generated = tasks.generate_tasks(num_tasks=20_000, seed=0)
  assert len({task.prompt for task in generated}) == len(generated)


def test_kinds_take_turns():
  generated = tasks.generate_tasks(num_tasks=3 * len(ALL_KINDS), seed=0)
  assert tuple(task.kind for task in generated) == ALL_KINDS * 3


def test_kinds_come_in_the_order_given():
  generated = tasks.generate_tasks(
    num_tasks=3, seed=0, kinds=["has_word", "copy_words"]
  )
  assert [t.kind for t in generated] == ["has_word", "copy_words", "has_word"]


def test_global_random_state_is_neither_read_nor_changed():
  random.seed(0)
  before = random.getstate()
  first = tasks.generate_tasks(num_tasks=50, seed=0)
  assert random.getstate() == before
  random.seed(1)
  assert tasks.generate_tasks(num_tasks=50, seed=0) == first


def test_yes_and_no_are_about_as_frequent():
  answers = [t.response for t in _generate("has_word", num_tasks=1000)]
  assert 400 < answers.count("yes") < 600


def test_record_is_a_plain_json_prompt_completion_row():
  for task in tasks.generate_tasks(num_tasks=200, seed=0):
    record = tasks.task_record(task)
    assert json.loads(json.dumps(record)) == record
    assert record == {
      "prompt": [{"role": "user", "content": task.prompt}],
      "completion": [{"role": "assistant", "content": task.response}],
      "task": {"kind": task.kind, "constraint": task.constraint},
    }


def test_exhausted_kind_says_how_many_it_has(monkeypatch):
  coin = task_kinds.TaskKind(
    name="coin",
    summary="heads or tails",
    make=lambda rng: task_kinds.exact_task(
      "coin", rng.choice(("heads", "tails")), "x"
    ),
    verify=task_kinds.verify_exact,
  )
  monkeypatch.setattr(tasks, "TASK_KINDS", {"coin": coin})
  assert len(_generate("coin", num_tasks=2)) == 2
  with pytest.raises(ValueError, match=r"'coin' gave 2 distinct .* at most 2"):
    _generate("coin", num_tasks=3)


def test_two_kinds_of_one_name_are_refused():
  kind = tasks.TASK_KINDS["copy_words"]
  with pytest.raises(ValueError, match="'copy_words' is registered twice"):
    tasks._register([kind], [kind])


@pytest.mark.parametrize(
  ("kinds", "message"),
  [
    (["nope"], "'nope' is not a task kind. Known kinds: copy_words, "),
    ([], "at least one. Known kinds: "),
    (["has_word", "has_word"], "each wanted kind once"),
  ],
)
def test_bad_kinds_are_refused(kinds, message):
  with pytest.raises(ValueError, match=message):
    tasks.generate_tasks(num_tasks=1, seed=0, kinds=kinds)


def test_negative_num_tasks_is_refused():
  with pytest.raises(ValueError, match="num_tasks=-1"):
    tasks.generate_tasks(num_tasks=-1, seed=0)
