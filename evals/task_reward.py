# SPDX-License-Identifier: Apache-2.0
"""Whether an answer solves the generated task that its row carries."""

from collections.abc import Mapping, Sequence

from ramjax.data import tasks
from ramjax.evals.answers import Answer


def task_reward(answers: Sequence[Answer]) -> list[float]:
  """1.0 for an answer that the verifier of its task accepts, else 0.0.

  Raises:
    ValueError: A row has no `task`, or it is none of `ramjax.data.tasks`.
  """
  return [
    float(tasks.verify_response(_task(answer, index), answer.response))
    for index, answer in enumerate(answers)
  ]


def _task(answer: Answer, index: int) -> Mapping:
  task = answer.record.get("task")
  kind = task.get("kind") if isinstance(task, Mapping) else None
  if isinstance(task, Mapping) and isinstance(kind, str):
    if kind in tasks.TASK_KINDS:
      return task
  found = ", ".join(sorted(map(repr, answer.record))) or "no field at all"
  known = f"its 'task' is {task!r:.60}" if task is not None else f"has {found}"
  raise ValueError(
    "rewards.task needs the field 'task' that ramjax.data.tasks.task_record"
    f" gives a row, and the row of answer {index} {known}. Train on rows of"
    f" generated tasks ({', '.join(tasks.TASK_KINDS)}), or drop rewards.task."
  )
