# SPDX-License-Identifier: Apache-2.0
"""Reference answers, worked out a second time from the prompt's text alone."""

import itertools
import json

import pytest

from ramjax.data import tasks, tasks_lexicon

ALL_KINDS = tuple(tasks.TASK_KINDS)
# Many answers are right, so none can be worked out from the prompt.
OPEN_KINDS = {
  "list_members",
  "short_sentence",
  "exact_words",
  "sentence_ending",
  "sentence_start",
}


def _material(prompt):
  return prompt.rsplit(": ", 1)[1].split(" ")


def _asks(prompt, *cues):
  return any(cue in prompt for cue in cues)


def _solve(task):
  """The answer worked out from the prompt's text alone, a second time."""
  prompt = task.prompt
  if task.kind == "arithmetic":
    a, b = (
      int(w)
      for w in prompt.replace("?", " ").replace(".", " ").split()
      if w.isdigit()
    )
    adds = _asks(prompt, "+", "Add", "more", "in total")
    return str(a + b if adds else abs(a - b))
  words = _material(prompt)
  if task.kind in (
    "sort_numbers",
    "pick_number",
    "filter_numbers",
    "next_number",
  ):
    return _solve_numbers(task.kind, prompt, [int(word) for word in words])
  named = [w.strip(",?") for w in prompt.rsplit(": ", 1)[0].split(" ")]
  named = [word for word in named if word in tasks_lexicon.LIST_WORDS]
  match task.kind:
    case "copy_words":
      return " ".join(words)
    case "reverse_words":
      return " ".join(reversed(words))
    case "sort_words":
      return " ".join(sorted(words))
    case "pick_word":
      return words[0 if _asks(prompt, "first") else -1]
    case "longest_word":
      (answer,) = [w for w in words if len(w) == max(map(len, words))]
      return answer
    case "count_words":
      return str(words.count(named[0]) if named else len(words))
    case "upper_case":
      return " ".join(words).upper()
    case "remove_word":
      return " ".join(word for word in words if word not in named)
    case "replace_word":
      (old,) = set(named) & set(words)
      (new,) = set(named) - set(words)
      return " ".join(new if word == old else word for word in words)
    case "unique_words":
      return " ".join(w for i, w in enumerate(words) if w not in words[:i])
    case "has_word":
      (word,) = named
      return "yes" if word in words else "no"
    case "name_category":
      (word,) = named
      options = " ".join(words).replace(" or ", ", ").split(", ")
      (answer,) = [o for o in options if word in tasks_lexicon.CATEGORIES[o]]
      return answer
    case "wrap_words":
      marks = {"double q": '""', "square b": "[]", "round b": "()"}
      ((left, right),) = [m for cue, m in marks.items() if cue in prompt]
      return left + " ".join(words) + right
    case "format_list":
      if _asks(prompt, "JSON"):
        return json.dumps(words)
      if _asks(prompt, "bullet"):
        return "- " + "\n- ".join(words)
      if _asks(prompt, "comma"):
        return ", ".join(words)
      return "\n".join(f"{i + 1}. {word}" for i, word in enumerate(words))
  raise AssertionError(f"no second solver for {task.kind}")


def _solve_numbers(kind, prompt, numbers):
  if kind == "sort_numbers":
    down = _asks(prompt, "large to small", "falling", "largest first")
    answer = sorted(numbers)[:: -1 if down else 1]
  elif kind == "pick_number":
    largest = _asks(prompt, "largest", "biggest")
    answer = [max(numbers) if largest else min(numbers)]
  elif kind == "filter_numbers":
    odd = _asks(prompt, "only the odd", "are odd", "Remove all even")
    answer = [number for number in numbers if number % 2 == odd]
  else:
    (step,) = {b - a for a, b in itertools.pairwise(numbers)}
    answer = [numbers[-1] + step]
  return " ".join(map(str, answer))


@pytest.mark.parametrize("kind", sorted(set(ALL_KINDS) - OPEN_KINDS))
def test_answer_agrees_with_a_second_solver_that_reads_the_prompt(kind):
  for task in tasks.generate_tasks(num_tasks=300, seed=0, kinds=[kind]):
    assert task.response == _solve(task), task.prompt
