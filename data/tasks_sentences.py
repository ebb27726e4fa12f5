# SPDX-License-Identifier: Apache-2.0
"""Task kinds that ask for a sentence, each with very many right answers.

They leave a policy something to choose, which is what preference learning and
reinforcement learning need. A *sentence* here begins with a capital, ends in
one of `.!?`, has at least three different words, and holds nothing else but
single spaces, commas after words, and apostrophes and hyphens inside words.
"""

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.data import task_kinds, tasks_lexicon
from ramjax.data.task_kinds import Task, TaskKind

_SHORT = (
  "Write a sentence of at most {max_words} words that contains {words}.",
  "Use {words} in a sentence no longer than {max_words} words.",
  "Give me a short sentence with {words}, {max_words} words or fewer.",
)
_EXACT = (
  "Write a sentence of exactly {num_words} words that contains {words}.",
  "Use {words} in a sentence that has {num_words} words.",
  "Give me a sentence with {words}. It must have {num_words} words.",
)
_MARKS = {"!": "an exclamation mark", "?": "a question mark"}
_ENDING = (
  "Write a sentence with {words} that ends with {mark}.",
  "Use {words} in a sentence and end it with {mark}.",
  "Give me a sentence that contains {words}. Finish with {mark}.",
)
_START = (
  'Write a sentence that starts with the letter "{letter}" and has {words}.',
  'Use {words} in a sentence. Its first letter must be "{letter}".',
  'Begin with the letter "{letter}" and write a sentence with {words}.',
)

_ENDS = (".", "!", "?")
_WORD = re.compile(r"[A-Za-z]+(?:['\-][A-Za-z]+)*")


def _statement(
  rng: random.Random,
  nouns: Sequence[str],
  num_words: int,
  subject: str | None = None,
) -> list[str]:
  """The words of "Ben sees the old river and the cat", without its mark.

  It has `num_words`, 4 to 9, and uses the one or two nouns (two take at least
  7 words). Its first word is `subject`, or is drawn.
  """
  nouns = list(nouns)
  if num_words >= 7 and len(nouns) == 1:
    nouns.append(rng.choice([n for n in tasks_lexicon.NOUNS if n not in nouns]))
  opening = [subject or rng.choice(tasks_lexicon.NAMES)]
  # A one-word subject and k nouns take 3k + 1 words at least.
  if not subject and num_words > 3 * len(nouns) + 1 and rng.random() < 0.5:
    opening = ["The", rng.choice(tasks_lexicon.ANIMALS)]
  num_adjectives = num_words - 3 * len(nouns) - len(opening)
  adjectives = rng.sample(tasks_lexicon.ADJECTIVES, num_adjectives)
  # Each noun takes two adjectives at most.
  slots = rng.sample([i // 2 for i in range(2 * len(nouns))], num_adjectives)
  words = [*opening, rng.choice(tasks_lexicon.VERBS) + "s"]
  for i, noun in enumerate(nouns):
    words += ["and", "the"] if i else ["the"]
    words += [a for a, slot in zip(adjectives, slots, strict=True) if slot == i]
    words.append(noun)
  return words


def _length_and_nouns(rng: random.Random) -> tuple[int, list[str]]:
  """A sentence length in [4, 9], and one noun or, if it is long, two."""
  num_words = rng.randrange(4, 10)
  num_nouns = rng.randrange(1, 3) if num_words >= 7 else 1
  return num_words, rng.sample(tasks_lexicon.NOUNS, num_nouns)


def _quoted(words: Sequence[str]) -> str:
  """The words in quotes, joined by "and".

  The quotes keep a prompt from being a sentence itself: echoing it is never an
  answer.
  """
  return " and ".join(f'"{word}"' for word in words)


def _sentence_words(text: str) -> list[str]:
  """The lower-case words of a sentence; none if the text is not one."""
  if not ("A" <= text[:1] <= "Z" and text[-1:] in _ENDS):
    return []
  *inner, last = text[:-1].split(" ")
  words = [word.removesuffix(",") for word in inner] + [last]
  if not all(_WORD.fullmatch(word) for word in words):
    return []
  words = [word.lower() for word in words]
  return words if len(set(words)) >= 3 else []


def _required_words(constraint: Mapping[str, Any], response: str) -> list[str]:
  """The words of a sentence with all it must contain; none if it is not one."""
  required = task_kinds.word_list_field(constraint, "must_contain")
  words = _sentence_words(response.strip())
  return words if set(required) <= set(words) else []


def _short_sentence(rng: random.Random) -> Task:
  max_words, nouns = _length_and_nouns(rng)
  prompt = rng.choice(_SHORT).format(max_words=max_words, words=_quoted(nouns))
  num_words = rng.randrange(4 if len(nouns) == 1 else 7, max_words + 1)
  response = " ".join(_statement(rng, nouns, num_words)) + "."
  constraint = {"max_words": max_words, "must_contain": nouns}
  return Task("short_sentence", prompt, response, constraint)


def _verify_short(constraint: Mapping[str, Any], response: str) -> bool:
  max_words = task_kinds.constraint_field(constraint, "max_words", int)
  return 0 < len(_required_words(constraint, response)) <= max_words


def _exact_words(rng: random.Random) -> Task:
  num_words, nouns = _length_and_nouns(rng)
  prompt = rng.choice(_EXACT).format(num_words=num_words, words=_quoted(nouns))
  response = " ".join(_statement(rng, nouns, num_words)) + "."
  constraint = {"num_words": num_words, "must_contain": nouns}
  return Task("exact_words", prompt, response, constraint)


def _verify_exact_words(constraint: Mapping[str, Any], response: str) -> bool:
  num_words = task_kinds.constraint_field(constraint, "num_words", int)
  words = _required_words(constraint, response)
  return bool(words) and len(words) == num_words


def _sentence_ending(rng: random.Random) -> Task:
  num_words, nouns = _length_and_nouns(rng)
  mark = rng.choice(tuple(_MARKS))
  prompt = rng.choice(_ENDING).format(words=_quoted(nouns), mark=_MARKS[mark])
  subject = rng.choice(tasks_lexicon.NAMES)
  words = _statement(rng, nouns, num_words, subject)
  if mark == "?":
    # "Ben sees the river" becomes "Does Ben see the river".
    words = ["Does", subject, words[1].removesuffix("s"), *words[2:]]
  constraint = {"ending": mark, "must_contain": nouns}
  return Task("sentence_ending", prompt, " ".join(words) + mark, constraint)


def _verify_ending(constraint: Mapping[str, Any], response: str) -> bool:
  ending = task_kinds.constraint_field(constraint, "ending", str)
  words = _required_words(constraint, response)
  return bool(words) and response.strip()[-1] == ending


def _sentence_start(rng: random.Random) -> Task:
  num_words, nouns = _length_and_nouns(rng)
  subject = rng.choice(tasks_lexicon.NAMES)
  letter = subject[0]
  prompt = rng.choice(_START).format(letter=letter, words=_quoted(nouns))
  words = _statement(rng, nouns, num_words, subject)
  constraint = {"first_letter": letter, "must_contain": nouns}
  return Task("sentence_start", prompt, " ".join(words) + ".", constraint)


def _verify_start(constraint: Mapping[str, Any], response: str) -> bool:
  letter = task_kinds.constraint_field(constraint, "first_letter", str)
  words = _required_words(constraint, response)
  return bool(words) and response.strip()[0] == letter


KINDS = (
  TaskKind(
    "short_sentence",
    "a sentence of at most N words",
    _short_sentence,
    _verify_short,
  ),
  TaskKind(
    "exact_words",
    "a sentence of exactly N words",
    _exact_words,
    _verify_exact_words,
  ),
  TaskKind(
    "sentence_ending",
    "a sentence ending in ! or ?",
    _sentence_ending,
    _verify_ending,
  ),
  TaskKind(
    "sentence_start",
    "a sentence starting with a letter",
    _sentence_start,
    _verify_start,
  ),
)
