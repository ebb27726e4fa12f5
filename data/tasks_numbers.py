# SPDX-License-Identifier: Apache-2.0
"""Task kinds about small whole numbers, each with exactly one right answer."""

import random
from collections.abc import Sequence

from ramjax.data import task_kinds, tasks_lexicon
from ramjax.data.task_kinds import Task, TaskKind, verify_exact

_ADD = (
  "What is {a} + {b}?",
  "Add {a} and {b}.",
  "You have {some} and get {b} more. How many do you have?",
  "There is a box of {some} and a box of {others}. How many in total?",
)
_SUBTRACT = (
  "What is {a} - {b}?",
  "Take {b} away from {a}.",
  "You have {some} and lose {b}. How many are left?",
  "From a box of {some} you take {others}. How many remain?",
)
_SORT = {
  "up": (
    "Sort these numbers from small to large: {numbers}",
    "Put these numbers in rising order: {numbers}",
    "Order these numbers, smallest first: {numbers}",
  ),
  "down": (
    "Sort these numbers from large to small: {numbers}",
    "Put these numbers in falling order: {numbers}",
    "Order these numbers, largest first: {numbers}",
  ),
}
_PICK = {
  "largest": (
    "Which number is the largest: {numbers}",
    "Find the biggest number: {numbers}",
    "Give the largest of these numbers: {numbers}",
  ),
  "smallest": (
    "Which number is the smallest: {numbers}",
    "Find the lowest number: {numbers}",
    "Give the smallest of these numbers: {numbers}",
  ),
}
_FILTER = {
  "odd": (
    "Keep only the odd numbers: {numbers}",
    "Which of these numbers are odd: {numbers}",
    "Remove all even numbers: {numbers}",
  ),
  "even": (
    "Keep only the even numbers: {numbers}",
    "Which of these numbers are even: {numbers}",
    "Remove all odd numbers: {numbers}",
  ),
}
_NEXT = (
  "What number comes next: {numbers}",
  "Continue with one more number: {numbers}",
  "Give the next number in this sequence: {numbers}",
)


def _join(numbers: Sequence[int]) -> str:
  return " ".join(str(number) for number in numbers)


def _draw(rng: random.Random, limit: int) -> list[int]:
  """Three to five different numbers in [1, limit]."""
  return rng.sample(range(1, limit + 1), rng.randrange(3, 6))


def _arithmetic(rng: random.Random) -> Task:
  total = rng.randrange(2, 20)
  part = rng.randrange(1, total)
  thing = rng.choice(tasks_lexicon.THINGS)
  if rng.random() < 0.5:
    phrasings, a, b, answer = _ADD, part, total - part, total
  else:
    phrasings, a, b, answer = _SUBTRACT, total, part, total - part
  prompt = rng.choice(phrasings).format(
    a=a, b=b, some=_amount(a, thing), others=_amount(b, thing)
  )
  return task_kinds.exact_task("arithmetic", prompt, str(answer))


def _amount(count: int, thing: str) -> str:
  return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _sort_numbers(rng: random.Random) -> Task:
  numbers = _draw(rng, 30)
  direction = rng.choice(("up", "down"))
  prompt = rng.choice(_SORT[direction]).format(numbers=_join(numbers))
  answer = _join(sorted(numbers, reverse=direction == "down"))
  return task_kinds.exact_task("sort_numbers", prompt, answer)


def _pick_number(rng: random.Random) -> Task:
  numbers = _draw(rng, 50)
  which = rng.choice(("largest", "smallest"))
  prompt = rng.choice(_PICK[which]).format(numbers=_join(numbers))
  answer = max(numbers) if which == "largest" else min(numbers)
  return task_kinds.exact_task("pick_number", prompt, str(answer))


def _filter_numbers(rng: random.Random) -> Task:
  # At least one of each parity: an empty answer could not be told from silence.
  odds = rng.sample(range(1, 31, 2), rng.randrange(1, 4))
  evens = rng.sample(range(2, 31, 2), rng.randrange(1, 4))
  numbers = odds + evens
  rng.shuffle(numbers)
  parity = rng.choice(("odd", "even"))
  prompt = rng.choice(_FILTER[parity]).format(numbers=_join(numbers))
  remainder = 1 if parity == "odd" else 0
  answer = _join([number for number in numbers if number % 2 == remainder])
  return task_kinds.exact_task("filter_numbers", prompt, answer)


def _next_number(rng: random.Random) -> Task:
  step = rng.randrange(1, 10)
  shown = rng.randrange(3, 5)
  start = rng.randrange(0, 61)
  if rng.random() < 0.5:
    # Falls to `start` itself, so no sequence goes below zero.
    numbers = [start + step * (shown - i) for i in range(shown + 1)]
  else:
    numbers = [start + step * i for i in range(shown + 1)]
  prompt = rng.choice(_NEXT).format(numbers=_join(numbers[:-1]))
  return task_kinds.exact_task("next_number", prompt, str(numbers[-1]))


KINDS = (
  TaskKind("arithmetic", "add or subtract below 20", _arithmetic, verify_exact),
  TaskKind("sort_numbers", "sort 3-5 numbers", _sort_numbers, verify_exact),
  TaskKind("pick_number", "largest or smallest", _pick_number, verify_exact),
  TaskKind("filter_numbers", "keep odd or even", _filter_numbers, verify_exact),
  TaskKind("next_number", "continue a sequence", _next_number, verify_exact),
)
