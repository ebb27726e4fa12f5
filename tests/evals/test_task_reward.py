# SPDX-License-Identifier: Apache-2.0
"""Task reward: the verifier of the row's own task decides."""

import pytest

from ramjax.data import tasks
from ramjax.evals.answers import Answer
from ramjax.evals.task_reward import task_reward


def test_the_verifier_of_the_task_decides():
  made = tasks.generate_tasks(num_tasks=2, seed=0)
  answers = [
    Answer((), response, tasks.task_record(task), True, 1)
    for task in made
    for response in (task.response, "\0\ud800", "")
  ]
  assert task_reward(answers) == [1.0, 0.0, 0.0] * 2


@pytest.mark.parametrize(
  "record,said",
  [
    ({"prompt": "x"}, "has 'prompt'"),
    ({"task": "summarise"}, "'summarise'"),
    ({"task": {"kind": "theirs"}}, "theirs"),
    ({"task": {"kind": ["copy_words"]}}, "copy_words"),
  ],
)
def test_a_row_without_a_task_of_ours_is_refused(record, said):
  with pytest.raises(ValueError, match="'task'") as error:
    task_reward([Answer((), "x", record, True, 1)])
  assert said in str(error.value) and "answer 0" in str(error.value)
