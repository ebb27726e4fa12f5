# SPDX-License-Identifier: Apache-2.0
"""Task kinds about short lists of words, each with exactly one right answer.

The words to work on follow the prompt's last colon; the answer separates words
by one space, as the prompt does.
"""

import random

from ramjax.data import task_kinds, tasks_lexicon
from ramjax.data.task_kinds import Task, TaskKind, verify_exact

_COPY = (
  "Repeat these words: {words}",
  "Copy these words in the same order: {words}",
  "Say this again: {words}",
)
_REVERSE = (
  "Reverse the order of these words: {words}",
  "Write these words backwards, last word first: {words}",
  "Turn this list around: {words}",
)
_SORT = (
  "Sort these words in alphabetical order: {words}",
  "Put these words in order from a to z: {words}",
  "Alphabetize: {words}",
)
_PICK = {
  "first": (
    "What is the first word: {words}",
    "Give only the first word of this list: {words}",
    "Which word comes first: {words}",
  ),
  "last": (
    "What is the last word: {words}",
    "Give only the last word of this list: {words}",
    "Which word comes last: {words}",
  ),
}
_LONGEST = (
  "Which word is the longest: {words}",
  "Find the word with the most letters: {words}",
  "Give the longest word in this list: {words}",
)
_COUNT_ALL = (
  "How many words are here: {words}",
  "Count the words: {words}",
  "Give the number of words in this list: {words}",
)
_COUNT_ONE = (
  "How many times does {word} appear: {words}",
  "Count how often you see {word}: {words}",
  "Give the number of times {word} is in this list: {words}",
)
_UPPER = (
  "Write in capital letters: {words}",
  "Change to upper case: {words}",
  "Make every letter a capital: {words}",
)
_REPLACE = (
  "Replace {old} with {new}: {words}",
  "Change {old} to {new} in this list: {words}",
  "Write this list with {new} in place of {old}: {words}",
)
_REMOVE = (
  "Remove {word}: {words}",
  "Take {word} out of this list: {words}",
  "Write this list without {word}: {words}",
)
_UNIQUE = (
  "Remove repeated words and keep the first of each: {words}",
  "Write each different word once, in order: {words}",
  "Drop every word you have already seen: {words}",
)
_HAS = (
  "Is {word} in this list? Answer yes or no: {words}",
  "Does this list contain {word}? Say yes or no: {words}",
  "Yes or no, can you find {word} here: {words}",
)


def _draw(rng: random.Random, low: int, high: int) -> list[str]:
  return task_kinds.some_words(rng, tasks_lexicon.LIST_WORDS, low, high)


def _copy_words(rng: random.Random) -> Task:
  words = " ".join(_draw(rng, 2, 6))
  prompt = rng.choice(_COPY).format(words=words)
  return task_kinds.exact_task("copy_words", prompt, words)


def _reverse_words(rng: random.Random) -> Task:
  words = _draw(rng, 2, 5)
  prompt = rng.choice(_REVERSE).format(words=" ".join(words))
  return task_kinds.exact_task("reverse_words", prompt, " ".join(words[::-1]))


def _sort_words(rng: random.Random) -> Task:
  words = _draw(rng, 3, 5)
  prompt = rng.choice(_SORT).format(words=" ".join(words))
  return task_kinds.exact_task("sort_words", prompt, " ".join(sorted(words)))


def _pick_word(rng: random.Random) -> Task:
  words = _draw(rng, 3, 6)
  position = rng.choice(("first", "last"))
  prompt = rng.choice(_PICK[position]).format(words=" ".join(words))
  answer = words[0] if position == "first" else words[-1]
  return task_kinds.exact_task("pick_word", prompt, answer)


def _longest_word(rng: random.Random) -> Task:
  longest = rng.choice([w for w in tasks_lexicon.LIST_WORDS if len(w) > 3])
  shorter = [w for w in tasks_lexicon.LIST_WORDS if len(w) < len(longest)]
  words = [longest, *task_kinds.some_words(rng, shorter, 2, 4)]
  rng.shuffle(words)
  prompt = rng.choice(_LONGEST).format(words=" ".join(words))
  return task_kinds.exact_task("longest_word", prompt, longest)


def _count_words(rng: random.Random) -> Task:
  if rng.random() < 0.5:
    words = _draw(rng, 1, 7)
    prompt = rng.choice(_COUNT_ALL).format(words=" ".join(words))
    return task_kinds.exact_task("count_words", prompt, str(len(words)))
  word, *others = _draw(rng, 2, 4)
  count = rng.randrange(1, 5)
  words = [word] * count + others
  rng.shuffle(words)
  prompt = rng.choice(_COUNT_ONE).format(word=word, words=" ".join(words))
  return task_kinds.exact_task("count_words", prompt, str(count))


def _upper_case(rng: random.Random) -> Task:
  # Few categories: each upper-case spelling is learnt separately.
  pool = tasks_lexicon.ANIMALS + tasks_lexicon.COLORS
  words = " ".join(task_kinds.some_words(rng, pool, 1, 4))
  prompt = rng.choice(_UPPER).format(words=words)
  return task_kinds.exact_task("upper_case", prompt, words.upper())


def _replace_word(rng: random.Random) -> Task:
  new, *words = _draw(rng, 4, 6)
  old = rng.choice(words)
  prompt = rng.choice(_REPLACE).format(old=old, new=new, words=" ".join(words))
  answer = " ".join(new if word == old else word for word in words)
  return task_kinds.exact_task("replace_word", prompt, answer)


def _remove_word(rng: random.Random) -> Task:
  words = _draw(rng, 3, 5)
  word = rng.choice(words)
  prompt = rng.choice(_REMOVE).format(word=word, words=" ".join(words))
  answer = " ".join(other for other in words if other != word)
  return task_kinds.exact_task("remove_word", prompt, answer)


def _unique_words(rng: random.Random) -> Task:
  unique = _draw(rng, 2, 4)
  words = unique + rng.sample(unique, rng.randrange(1, 3))
  rng.shuffle(words)
  prompt = rng.choice(_UNIQUE).format(words=" ".join(words))
  # A dict keeps the order in which its keys were first seen.
  return task_kinds.exact_task(
    "unique_words", prompt, " ".join(dict.fromkeys(words))
  )


def _has_word(rng: random.Random) -> Task:
  absent, *words = _draw(rng, 4, 7)
  answer = rng.choice(("yes", "no"))
  word = rng.choice(words) if answer == "yes" else absent
  prompt = rng.choice(_HAS).format(word=word, words=" ".join(words))
  return task_kinds.exact_task("has_word", prompt, answer)


KINDS = (
  TaskKind("copy_words", "repeat 2-6 words", _copy_words, verify_exact),
  TaskKind("reverse_words", "reverse 2-5 words", _reverse_words, verify_exact),
  TaskKind("sort_words", "sort 3-5 words a to z", _sort_words, verify_exact),
  TaskKind("pick_word", "the first or last word", _pick_word, verify_exact),
  TaskKind("longest_word", "the longest word", _longest_word, verify_exact),
  TaskKind(
    "count_words", "count all words, or one of them", _count_words, verify_exact
  ),
  TaskKind("upper_case", "write in capitals", _upper_case, verify_exact),
  TaskKind("replace_word", "swap one word", _replace_word, verify_exact),
  TaskKind("remove_word", "leave one word out", _remove_word, verify_exact),
  TaskKind("unique_words", "drop repeated words", _unique_words, verify_exact),
  TaskKind("has_word", "is a word in the list", _has_word, verify_exact),
)
