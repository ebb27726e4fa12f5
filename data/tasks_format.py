# SPDX-License-Identifier: Apache-2.0
"""Task kinds about the shape of an answer: lists, JSON, quotes and brackets."""

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.data import task_kinds, tasks_lexicon
from ramjax.data.task_kinds import Task, TaskKind

_LIST = {
  "bullets": (
    "Make a bullet list with a dash before each word: {words}",
    "Write these words as bullets, one per line, with dashes: {words}",
    "Turn this into a bullet list: {words}",
  ),
  "numbers": (
    "Make a numbered list, one word per line: {words}",
    "Number these words from 1, one per line: {words}",
    "Turn this into a numbered list: {words}",
  ),
  "commas": (
    "Put a comma and a space between these words: {words}",
    "Join these words with commas and spaces: {words}",
    "Write this as a comma separated list: {words}",
  ),
  "json": (
    "Write these words as a JSON list: {words}",
    "Give a JSON array of these words: {words}",
    "Turn this into a JSON list of strings: {words}",
  ),
}
_WRAP = {
  "double quotes": ('"', '"'),
  "square brackets": ("[", "]"),
  "round brackets": ("(", ")"),
}
_WRAP_PROMPTS = (
  "Put this in {marks}: {words}",
  "Write these words inside {marks}: {words}",
  "Add {marks} around this text: {words}",
)


def _render(style: str, items: Sequence[str]) -> str:
  """The list in the plainest spelling of one of the styles of `_LIST`."""
  if style == "bullets":
    return "\n".join(f"- {item}" for item in items)
  if style == "numbers":
    return "\n".join(f"{i}. {item}" for i, item in enumerate(items, start=1))
  if style == "commas":
    return ", ".join(items)
  if style == "json":
    return json.dumps(list(items))
  raise ValueError(
    f"constraint['style']={style!r} must be one of {sorted(_LIST)}."
  )


def _format_list(rng: random.Random) -> Task:
  words = task_kinds.some_words(rng, tasks_lexicon.LIST_WORDS, 2, 5)
  style = rng.choice(tuple(_LIST))
  prompt = rng.choice(_LIST[style]).format(words=" ".join(words))
  constraint = {"style": style, "items": words}
  return Task("format_list", prompt, _render(style, words), constraint)


def _verify_list(constraint: Mapping[str, Any], response: str) -> bool:
  """Exact text, except that JSON allows any space between its own tokens."""
  style = task_kinds.constraint_field(constraint, "style", str)
  items = task_kinds.word_list_field(constraint, "items")
  text = response.strip()
  if style != "json":
    return text == _render(style, items)
  # A pattern, not a parser: a parser recurses on hostile text. It cannot
  # backtrack, since no literal in it begins with a space.
  space = r"[ \t\r\n]*"
  strings = f"{space},{space}".join(re.escape(json.dumps(i)) for i in items)
  return bool(re.fullmatch(rf"\[{space}{strings}{space}\]", text))


def _wrap_words(rng: random.Random) -> Task:
  words = " ".join(task_kinds.some_words(rng, tasks_lexicon.LIST_WORDS, 1, 4))
  marks = rng.choice(tuple(_WRAP))
  prompt = rng.choice(_WRAP_PROMPTS).format(marks=marks, words=words)
  opening, closing = _WRAP[marks]
  return task_kinds.exact_task("wrap_words", prompt, opening + words + closing)


KINDS = (
  TaskKind(
    "format_list", "bullets, numbers, commas, JSON", _format_list, _verify_list
  ),
  TaskKind(
    "wrap_words", "quotes or brackets", _wrap_words, task_kinds.verify_exact
  ),
)
