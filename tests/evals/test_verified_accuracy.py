# SPDX-License-Identifier: Apache-2.0
"""Verified accuracy: verdicts by the tasks' verifiers, shares by kind."""

import pytest

from ramjax.data import tasks
from ramjax.evals import verified_accuracy as verified


def _records(kind, num):
  made = tasks.generate_tasks(num_tasks=num, seed=0, kinds=[kind])
  return [tasks.task_record(task) for task in made], [t.response for t in made]


def test_right_and_wrong_answers_by_kind():
  copies, copied = _records("copy_words", 2)
  sums, _ = _records("arithmetic", 2)
  records = [*copies, *sums]
  verdicts = verified.verify_responses(records, [*copied, "no", "no"])
  assert verdicts == [True, True, False, False]
  assert verified.verified_accuracy(records, verdicts) == {
    "verified_accuracy": 0.5,
    "verified_accuracy/arithmetic": 0.0,
    "verified_accuracy/copy_words": 1.0,
  }


def test_records_without_a_verifier_do_not_count():
  records, answers = _records("copy_words", 1)
  verdicts = verified.verify_responses([{}, *records], ["x", *answers])
  assert verdicts == [None, True]
  shares = verified.verified_accuracy([{}, *records], verdicts)
  assert shares["verified_accuracy"] == 1.0


@pytest.mark.parametrize("task", ["summarise", {}, {"kind": "theirs"}, None])
def test_a_task_key_of_somebody_elses_is_no_verifier(task):
  assert verified.verify_responses([{"task": task}], ["x"]) == [None]


def test_no_verifier_at_all_gives_no_figure():
  assert verified.verified_accuracy([{}], [None]) == {}


def test_as_many_answers_as_records_are_needed():
  with pytest.raises(ValueError):
    verified.verify_responses([{}, {}], ["x"])
