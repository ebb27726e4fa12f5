# SPDX-License-Identifier: Apache-2.0
"""Task kinds about what a word is: an animal, a color, a food ...

The categories are closed: they hold the words of the lexicon and no others, so
"giraffe" is not accepted as an animal.
"""

import random
from collections.abc import Mapping
from typing import Any

from ramjax.data import task_kinds, tasks_lexicon
from ramjax.data.task_kinds import Task, TaskKind

_CATEGORY = (
  "Which of these is {word}: {options}",
  "What kind of word is {word}: {options}",
  "Choose what {word} is: {options}",
)
_MEMBERS = (
  "List {count} {plural} other than {words}. Use commas.",
  "Name {count} {plural} but not {words}, separated by commas.",
  "Give me {count} {plural}, with commas between them, except {words}.",
)


def _list_members(rng: random.Random) -> Task:
  category = rng.choice(tuple(tasks_lexicon.CATEGORIES))
  members = tasks_lexicon.CATEGORIES[category]
  excluded = task_kinds.some_words(rng, members, 1, 2)
  allowed = [word for word in members if word not in excluded]
  chosen = task_kinds.some_words(rng, allowed, 2, 4)
  prompt = rng.choice(_MEMBERS).format(
    count=len(chosen), plural=category + "s", words=" and ".join(excluded)
  )
  constraint = {
    "category": category,
    "count": len(chosen),
    "exclude": excluded,
  }
  return Task("list_members", prompt, ", ".join(chosen), constraint)


def _verify_members(constraint: Mapping[str, Any], response: str) -> bool:
  """Different lexicon words of the category, joined by a comma and a space."""
  category = task_kinds.constraint_field(constraint, "category", str)
  if category not in tasks_lexicon.CATEGORIES:
    raise ValueError(
      f"constraint['category']={category!r} must be one of"
      f" {sorted(tasks_lexicon.CATEGORIES)}."
    )
  count = task_kinds.constraint_field(constraint, "count", int)
  exclude = task_kinds.word_list_field(constraint, "exclude")
  allowed = set(tasks_lexicon.CATEGORIES[category]) - set(exclude)
  items = response.strip().split(", ")
  return len(items) == len(set(items)) == count and set(items) <= allowed


def _name_category(rng: random.Random) -> Task:
  categories = rng.sample(tuple(tasks_lexicon.CATEGORIES), 3)
  answer = rng.choice(categories)
  word = rng.choice(tasks_lexicon.CATEGORIES[answer])
  prompt = rng.choice(_CATEGORY).format(
    word=word, options=f"{categories[0]}, {categories[1]} or {categories[2]}"
  )
  return task_kinds.exact_task("name_category", prompt, answer)


KINDS = (
  TaskKind(
    "name_category",
    "which category a word is in",
    _name_category,
    task_kinds.verify_exact,
  ),
  TaskKind(
    "list_members",
    "a few members of a category",
    _list_members,
    _verify_members,
  ),
)
