# SPDX-License-Identifier: Apache-2.0
"""Instruction tasks the project writes itself, and the check of any answer.

There is no data file and no network: a seed gives the same tasks everywhere.
To add a kind, append a `TaskKind` to the `KINDS` of a `tasks_*.py` file; the
tasks that other kinds make do not change.
"""

import hashlib
import itertools
import random
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ramjax.data import (
  tasks_categories,
  tasks_format,
  tasks_numbers,
  tasks_sentences,
  tasks_words,
)
from ramjax.data.task_kinds import Task, TaskKind

__all__ = [
  "TASK_KINDS",
  "Task",
  "TaskKind",
  "generate_tasks",
  "task_record",
  "verify_response",
]

# A kind that repeats itself this often in a row has run out of prompts.
_MAX_REPEATS = 1000


def _register(*families: Sequence[TaskKind]) -> Mapping[str, TaskKind]:
  """Returns the kinds by name; two of one name are refused."""
  kinds: dict[str, TaskKind] = {}
  for kind in itertools.chain(*families):
    if kind.name in kinds:
      raise ValueError(f"kind={kind.name!r} is registered twice: rename one.")
    kinds[kind.name] = kind
  return types.MappingProxyType(kinds)


TASK_KINDS: Mapping[str, TaskKind] = _register(
  tasks_words.KINDS,
  tasks_numbers.KINDS,
  tasks_categories.KINDS,
  tasks_format.KINDS,
  tasks_sentences.KINDS,
)


def _task_kind(name: str) -> TaskKind:
  if name not in TASK_KINDS:
    raise ValueError(
      f"kind={name!r} is not a task kind. Known kinds: {', '.join(TASK_KINDS)}."
    )
  return TASK_KINDS[name]


def _new_tasks(kind: TaskKind, seed: int, seen: set[str]) -> Iterator[Task]:
  """Yields tasks whose prompts are not in `seen`, adding each to it.

  Raises:
    ValueError: The kind has no new prompt left.
  """
  # One stream a kind, from a digest: `hash` differs between processes, and
  # `random.Random` gives -1 and 1 the same stream.
  digest = hashlib.sha256(f"{seed}/{kind.name}".encode()).digest()
  rng = random.Random(int.from_bytes(digest, "big"))
  for made in itertools.count():
    for _ in range(_MAX_REPEATS):
      task = kind.make(rng)
      if task.prompt not in seen:
        break
    else:
      raise ValueError(
        f"kind={kind.name!r} gave {made} distinct prompts and no other in"
        f" {_MAX_REPEATS} draws: ask for at most {made} of this kind."
      )
    seen.add(task.prompt)
    yield task


def generate_tasks(
  *, num_tasks: int, seed: int, kinds: Sequence[str] | None = None
) -> list[Task]:
  """Returns tasks of the given kinds in turn, no two with the same prompt.

  The first n of a longer list are the list of length n, so a held-out part is
  a slice: `tasks[:num_train]`, `tasks[num_train:]`.

  Args:
    num_tasks: How many, >= 0. Task i is of kind `i % len(kinds)`.
    seed: Any integer.
    kinds: Names from `TASK_KINDS`, each once; None for all of them.

  Raises:
    ValueError: `num_tasks` is negative; a kind is unknown, given twice or
      cannot give that many distinct prompts; `kinds` is empty.
  """
  names = tuple(TASK_KINDS) if kinds is None else tuple(kinds)
  if num_tasks < 0:
    raise ValueError(f"num_tasks={num_tasks} must be at least 0.")
  if not names or len(set(names)) != len(names):
    raise ValueError(
      f"kinds={list(names)} must name each wanted kind once, and at least one."
      f" Known kinds: {', '.join(TASK_KINDS)}."
    )
  seen: set[str] = set()
  streams = [_new_tasks(_task_kind(name), seed, seen) for name in names]
  return [
    next(stream)
    for stream in itertools.islice(itertools.cycle(streams), num_tasks)
  ]


def task_record(task: Task) -> dict[str, Any]:
  """Returns a task as a conversational prompt-completion record of TRL.

  Its extra column `task`, `{"kind": ..., "constraint": {...}}`, is what
  `verify_response` reads.
  """
  return {
    "prompt": [{"role": "user", "content": task.prompt}],
    "completion": [{"role": "assistant", "content": task.response}],
    "task": {"kind": task.kind, "constraint": dict(task.constraint)},
  }


def verify_response(task: Mapping[str, Any], response: str) -> bool:
  """Whether a response is a correct answer to the task of a record.

  White space around the response is ignored; nothing else is forgiven. The
  empty response is never correct.

  Args:
    task: The `task` column of a record: its `kind` and its `constraint`.
    response: Any text at all, such as a model's.

  Raises:
    ValueError: `task` lacks a field, its kind is unknown, or its constraint
      lacks what the kind's verifier needs.
  """
  if not isinstance(task.get("kind"), str) or not isinstance(
    task.get("constraint"), Mapping
  ):
    raise ValueError(
      f"task={task!r} must have a string 'kind' and a mapping 'constraint':"
      " pass the 'task' column of a record made by task_record."
    )
  return _task_kind(task["kind"]).verify(task["constraint"], response)
