# SPDX-License-Identifier: Apache-2.0
"""What an instruction task is, and what every kind of task must provide.

A kind makes tasks from a random stream and judges answers to them from facts
that fit in a JSON object, so a record on disk can be judged without the code
that made it having to remember anything.
"""

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# Bounds, in whitespace-separated words, that every kind keeps to, so that a
# context of about 128 tokens always holds a task and its answer.
MAX_PROMPT_WORDS = 40
MAX_RESPONSE_WORDS = 15


@dataclasses.dataclass(frozen=True)
class Task:
  """One instruction whose answers can be checked by a program.

  Attributes:
    kind: Name of the `TaskKind` that made it.
    prompt: The user's message.
    response: One correct answer; open kinds have many others.
    constraint: JSON-able facts that the kind's verifier needs.
  """

  kind: str
  prompt: str
  response: str
  constraint: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class TaskKind:
  """A family of tasks with one maker and one verifier.

  A verifier forgives white space around the answer and nothing else. It takes
  any string, of any length, in linear time without raising, and refuses the
  empty one.

  Attributes:
    name: Its key in the registry.
    summary: What is asked, in one line, for reports.
    make: Draws one task; uses only `random`, `randrange`, `choice`, `sample`
      and `shuffle`, whose streams do not change between Python versions.
    verify: `(constraint, response)` to whether the response is correct.
  """

  name: str
  summary: str
  make: Callable[[random.Random], Task]
  verify: Callable[[Mapping[str, Any], str], bool]


def constraint_field(
  constraint: Mapping[str, Any], name: str, field_type: type
) -> Any:
  """Returns one fact of a constraint after checking that it is there.

  Args:
    constraint: The facts a task carries; may come from a file.
    name: The fact wanted.
    field_type: The type it must have.

  Raises:
    ValueError: The fact is missing or of another type.
  """
  value = constraint.get(name)
  if not isinstance(value, field_type):
    raise ValueError(
      f"constraint[{name!r}]={value!r} must be of type {field_type.__name__}: the"
      " verifier of this kind cannot judge without it. Regenerate the record"
      " with ramjax.data.tasks.task_record."
    )
  return value


def word_list_field(constraint: Mapping[str, Any], name: str) -> list[str]:
  """Returns a fact that must be a non-empty list of strings.

  Raises:
    ValueError: The fact is missing or is something else.
  """
  words = constraint_field(constraint, name, list)
  if not words or not all(isinstance(word, str) for word in words):
    raise ValueError(
      f"constraint[{name!r}]={words!r} must be a non-empty list of strings."
      " Regenerate the record with ramjax.data.tasks.task_record."
    )
  return words


def exact_task(kind: str, prompt: str, answer: str) -> Task:
  """Returns a task with exactly one correct answer."""
  return Task(kind, prompt, answer, {"answer": answer})


def verify_exact(constraint: Mapping[str, Any], response: str) -> bool:
  """Whether the response is the constraint's `answer`, outer space aside."""
  answer = constraint_field(constraint, "answer", str)
  return bool(answer) and response.strip() == answer


def some_words(
  rng: random.Random, words: Sequence[str], low: int, high: int
) -> list[str]:
  """Returns between `low` and `high` (inclusive) different words, in any order."""
  return rng.sample(words, rng.randrange(low, high + 1))
