# SPDX-License-Identifier: Apache-2.0
"""Preference pairs from generated tasks: a correct answer and a wrong one.

The wrong answer is the correct one with a slip that a small model makes, or is
right for another task; the task's own verifier refuses it. Half of the pairs
avoid a shorter wrong answer and half a longer one, so that the length does not
tell which answer is wrong.
"""

import functools
import hashlib
import itertools
import random
import re
import types
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ramjax.data import tasks, tasks_lexicon
from ramjax.data.task_kinds import Task

# How many later tasks of its kind may lend their answer to a pair.
_NUM_OTHERS = 8
# The other pairs prefer a slip in spelling or punctuation.
_CONTENT_SHARE = 0.75

_LEXICON = {*tasks_lexicon.LIST_WORDS, *tasks_lexicon.CATEGORIES}

# Letters, and below each one that is mistaken for it, by sound or by shape.
_FROM = "abcdefghijklmnopqrstuvwxyz"
_INTO = "edkbavjnegcrnmubgpzdofvsis"
_LETTER_SLIPS = str.maketrans(_FROM + _FROM.upper(), _INTO + _INTO.upper())
_MARK_SLIPS = str.maketrans(".,!?\"'()[]-", ",;..'\"[]()*")

_WORD_OR_NUMBER = re.compile(r"\b(?:[a-z]+|[0-9]+)\b")
_LETTER = re.compile(r"[A-Za-z]")
_MARK = re.compile(r"[^\w\s]")


def _other_answer(task: Task, others: Sequence[Task]) -> list[str]:
  del task
  return [other.response for other in others]


def _content_words(text: str) -> list[re.Match[str]]:
  """The numbers of a text, and its words that are in the lexicon."""
  found = _WORD_OR_NUMBER.finditer(text)
  return [word for word in found if word[0].isdigit() or word[0] in _LEXICON]


def _replaced(text: str, old: re.Match[str], new: str) -> str:
  return text[: old.start()] + new + text[old.end() :]


def _with_words_of(text: str, source: str) -> list[str]:
  """The text, with one word or number of the source in place of its own."""
  present = set(re.findall(r"\w+", text.lower()))
  return [
    _replaced(text, old, new[0])
    for old in _content_words(text)
    for new in _content_words(source)
    if new[0] not in present and new[0].isdigit() == old[0].isdigit()
  ]


def _borrowed_word(task: Task, others: Sequence[Task]) -> list[str]:
  """A word or number of the prompt takes the place of one of the answer."""
  del others
  return _with_words_of(task.response, task.prompt)


def _foreign_word(task: Task, others: Sequence[Task]) -> list[str]:
  """One of another task's answer takes the place of one of the answer."""
  answers = " ".join(other.response for other in others)
  return _with_words_of(task.response, answers)


def _wrong_number(task: Task, others: Sequence[Task]) -> list[str]:
  del others
  return [
    _replaced(task.response, old, str(int(old[0]) + step))
    for old in re.finditer("[0-9]+", task.response)
    for step in (-2, -1, 1, 2)
    if int(old[0]) + step >= 0
  ]


def _items(text: str) -> list[tuple[int, int]]:
  """Where each word of a text begins and ends; each number if it has no word."""
  words = re.finditer(r"[A-Za-z]+", text)
  numbers = re.finditer(r"[0-9]+", text)
  return [word.span() for word in words] or [word.span() for word in numbers]


def _dropped_word(task: Task, others: Sequence[Task]) -> list[str]:
  """A word is missing, with what separates it from its neighbour."""
  del others
  text, items = task.response, _items(task.response)
  if len(items) < 2:
    return []
  (first, _), (second, _) = items[:2]
  return [
    text[:first] + text[second:],
    *(text[:a] + text[b:] for (_, a), (_, b) in itertools.pairwise(items)),
  ]


def _doubled_word(task: Task, others: Sequence[Task]) -> list[str]:
  """A word of several comes twice, with what separates it from a neighbour."""
  del others
  text, items = task.response, _items(task.response)
  doubled = []
  for (a, b), (c, d) in itertools.pairwise(items):
    doubled += [text[:c] + text[a:], text[:d] + text[b:]]
  return doubled


def _swapped_words(task: Task, others: Sequence[Task]) -> list[str]:
  """Two neighbours have changed places, but no sentence begins in the middle."""
  del others
  text, items = task.response, _items(task.response)
  return [
    text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]
    for (a, b), (c, d) in itertools.pairwise(items)
    if text[a].isupper() == text[c].isupper()
  ]


def _changed_letter(task: Task, others: Sequence[Task]) -> list[str]:
  del others
  return [
    _replaced(task.response, letter, letter[0].translate(_LETTER_SLIPS))
    for letter in _LETTER.finditer(task.response)
  ]


def _dropped_letter(task: Task, others: Sequence[Task]) -> list[str]:
  """A letter or digit is missing from a word or number that has another."""
  del others
  return [
    _replaced(task.response, letter, "")
    for letter in re.finditer(r"(?<=\w)\w|\w(?=\w)", task.response)
  ]


def _doubled_letter(task: Task, others: Sequence[Task]) -> list[str]:
  del others
  return [
    _replaced(task.response, letter, 2 * letter[0])
    for letter in _LETTER.finditer(task.response)
  ]


def _wrong_case(task: Task, others: Sequence[Task]) -> list[str]:
  """The whole text, or one word, is in small, in capital or in title case."""
  del others
  text = task.response
  whole = [text.lower(), text.upper(), text.title()]
  words = re.finditer(r"[A-Za-z]+", text)
  return whole + [
    _replaced(text, word, changed)
    for word in words
    for changed in (word[0].lower(), word[0].title())
  ]


def _dropped_mark(task: Task, others: Sequence[Task]) -> list[str]:
  """One punctuation mark is missing, or all of them are."""
  del others
  text = task.response
  one = [_replaced(text, mark, "") for mark in _MARK.finditer(text)]
  return [*one, _MARK.sub("", text)]


def _added_mark(task: Task, others: Sequence[Task]) -> list[str]:
  """A full stop at the end, commas after words, or one mark twice."""
  del others
  text = task.response
  twice = [_replaced(text, mark, 2 * mark[0]) for mark in _MARK.finditer(text)]
  return [*twice, text + ".", re.sub(r"(?<=\w) ", ", ", text)]


def _changed_mark(task: Task, others: Sequence[Task]) -> list[str]:
  """One punctuation mark is another one, or all of a sort are."""
  del others
  text = task.response
  changed = []
  for mark in _MARK.finditer(text):
    slip = mark[0].translate(_MARK_SLIPS)
    changed += [_replaced(text, mark, slip), text.replace(mark[0], slip)]
  return [*changed, text.translate(_MARK_SLIPS)]


_Mistake = Callable[[Task, Sequence[Task]], list[str]]

_CONTENT: Mapping[str, _Mistake] = {
  "other_answer": _other_answer,
  "borrowed_word": _borrowed_word,
  "foreign_word": _foreign_word,
  "wrong_number": _wrong_number,
  "dropped_word": _dropped_word,
  "doubled_word": _doubled_word,
  "swapped_words": _swapped_words,
}
_FORM: Mapping[str, _Mistake] = {
  "changed_letter": _changed_letter,
  "dropped_letter": _dropped_letter,
  "doubled_letter": _doubled_letter,
  "wrong_case": _wrong_case,
  "dropped_mark": _dropped_mark,
  "added_mark": _added_mark,
  "changed_mark": _changed_mark,
}
# From a task and others of its kind to answers, of which some are wrong.
MISTAKES: Mapping[str, _Mistake] = types.MappingProxyType(_CONTENT | _FORM)


def wrong_answer(
  task: Task, rng: random.Random, others: Sequence[Task]
) -> tuple[str, str]:
  """Returns the name of a mistake, and the answer to the task that it gives.

  Args:
    task: A task with its correct answer.
    rng: Draws the mistake and its place.
    others: Tasks of the same kind, possibly none.

  Raises:
    ValueError: The verifier of this kind accepts every answer with a mistake.
  """
  side = rng.choice((-1, 1))
  groups = [list(_CONTENT), list(_FORM)]
  if rng.random() >= _CONTENT_SHARE:
    groups.reverse()
  is_right = functools.partial(
    tasks.verify_response, tasks.task_record(task)["task"]
  )
  for names in groups:
    on_other_side = None
    for name in rng.sample(names, len(names)):
      candidates = list(dict.fromkeys(MISTAKES[name](task, others)))
      for text in rng.sample(candidates, len(candidates)):
        if not text.strip() or is_right(text):
          continue
        if side * (len(text) - len(task.response)) >= 0:
          return name, text
        on_other_side = on_other_side or (name, text)
    if on_other_side is not None:
      return on_other_side
  raise ValueError(
    f"kind={task.kind!r}: its verifier accepts every slip in the answer"
    f" {task.response!r}; add a mistake that it refuses to"
    " ramjax.data.task_pairs.MISTAKES."
  )


def pair_record(
  task: Task, rng: random.Random, others: Sequence[Task]
) -> dict[str, Any]:
  """Returns a task as a conversational preference record of TRL.

  Its extra column `task`, as in `tasks.task_record`, is what
  `tasks.verify_response` accepts `chosen` and refuses `rejected` by.

  Args:
    task: A task with its correct answer, which is chosen.
    rng: Draws the rejected answer; used as a `TaskKind.make` may use it.
    others: Tasks of the same kind, possibly none: an answer to one of them may
      be the rejected answer to this.

  Raises:
    ValueError: As in `wrong_answer`.
  """
  record = tasks.task_record(task)
  _, text = wrong_answer(task, rng, others)
  return {
    "prompt": record["prompt"],
    "chosen": record["completion"],
    "rejected": [{"role": "assistant", "content": text}],
    "task": record["task"],
  }


def generate_pairs(*, num_pairs: int, seed: int) -> list[dict[str, Any]]:
  """Returns a pair for each task of `tasks.generate_tasks`, in its order.

  The first n of a longer list are the list of length n.

  Args:
    num_pairs: How many, >= 0.
    seed: Any integer.

  Raises:
    ValueError: `num_pairs` is negative, or some kind cannot give that many
      distinct prompts and a few more.
  """
  if num_pairs < 0:
    raise ValueError(f"num_pairs={num_pairs} must be at least 0.")
  rng = _rng(f"{seed}/task_pairs")
  return [
    pair_record(task, rng, others)
    for task, others in _with_others(num_pairs, seed, None)
  ]


def generate_flawed(
  *,
  num_tasks: int,
  seed: int,
  wrong_share: float,
  kinds: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
  """Returns `tasks.task_record`s of which a share demonstrates a wrong answer.

  As some of people's demonstrations are. The `task` column still says what is
  right.
  The first n of a longer list are the list of length n.

  Args:
    num_tasks: How many, >= 0.
    seed: Any integer.
    wrong_share: In [0, 1]; each record is wrong with that probability.
    kinds: As for `tasks.generate_tasks`.

  Raises:
    ValueError: `wrong_share` is out of range, or as in `generate_pairs`.
  """
  if not 0 <= wrong_share <= 1:
    raise ValueError(f"wrong_share={wrong_share} must lie in [0, 1].")
  if num_tasks < 0:
    raise ValueError(f"num_tasks={num_tasks} must be at least 0.")
  rng = _rng(f"{seed}/flawed")
  records = []
  for task, others in _with_others(num_tasks, seed, kinds):
    pair = pair_record(task, rng, others)
    wrong = rng.random() < wrong_share
    completion = pair["rejected" if wrong else "chosen"]
    records.append(
      {
        "prompt": pair["prompt"],
        "completion": completion,
        "task": pair["task"],
      }
    )
  return records


def _rng(name: str) -> random.Random:
  digest = hashlib.sha256(name.encode()).digest()
  return random.Random(int.from_bytes(digest, "big"))


def _with_others(
  num_tasks: int, seed: int, kinds: Sequence[str] | None
) -> Iterator[tuple[Task, list[Task]]]:
  """Each task, with a few later ones of its kind."""
  num_kinds = len(tasks.TASK_KINDS if kinds is None else kinds)
  made = tasks.generate_tasks(
    num_tasks=num_tasks + _NUM_OTHERS * num_kinds, seed=seed, kinds=kinds
  )
  by_kind: dict[str, list[Task]] = defaultdict(list)
  for task in made:
    by_kind[task.kind].append(task)
  positions: dict[str, int] = defaultdict(int)
  for task in made[:num_tasks]:
    positions[task.kind] += 1
    start = positions[task.kind]
    yield task, by_kind[task.kind][start : start + _NUM_OTHERS]
