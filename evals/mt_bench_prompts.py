# SPDX-License-Identifier: Apache-2.0
"""What MT-Bench's judge is shown, from the prompts of a judge_prompts.jsonl.

The texts are the user's file; none comes with ramjax. Questions and answers
are data: what looks like a slot in one of them stays what it is.
"""

import re
import string
from collections.abc import Collection, Mapping
from typing import NoReturn

from ramjax.data.rows import Message
from ramjax.evals.mt_bench_files import (
  JudgePrompt,
  Mode,
  ModelAnswer,
  Question,
)

# Categories whose answers are judged beside a reference answer; the last is of
# another benchmark that the authors' tool serves, too.
NEED_REFERENCE = frozenset({"math", "reasoning", "coding", "arena-hard-200"})

# At which temperature a model answers, by category (Zheng et al., arXiv
# 2306.05685, as their tool has it); 0 is greedy. The second turn is answered
# after the model's own first answer.
TEMPERATURES = {
  "writing": 0.7,
  "roleplay": 0.7,
  "extraction": 0.0,
  "math": 0.0,
  "coding": 0.0,
  "reasoning": 0.0,
  "stem": 0.1,
  "humanities": 0.1,
}
_OTHER_TEMPERATURE = 0.7

_NAMES = {
  "single": ("single-v1", "single-math-v1"),
  "pair": ("pair-v2", "pair-math-v1"),
}
_TYPES = {"single": "single", "pair": "pairwise"}
_SLOTS = (
  *("question", "question_1", "question_2"),
  *("answer", "answer_1", "answer_2"),
  *("answer_a", "answer_a_1", "answer_a_2"),
  *("answer_b", "answer_b_1", "answer_b_2"),
  *("ref_answer_1", "ref_answer_2"),
)
_SLOT = re.compile(r"\{(" + "|".join(_SLOTS) + r")\}")


def temperature(category: str) -> float:
  """The temperature at which a question of this category is answered."""
  return TEMPERATURES.get(category, _OTHER_TEMPERATURE)


def prompt_name(mode: Mode, category: str, turn: int) -> str:
  """The name of the judge prompt that a question's turn needs.

  Args:
    mode: Whether one answer is graded, or two are compared.
    category: Of the question; those in `NEED_REFERENCE` have prompts of their
      own.
    turn: 1 or 2.

  Raises:
    ValueError: There is no such turn.
  """
  if turn not in (1, 2):
    raise ValueError(f"turn={turn} must be 1 or 2: MT-Bench has two turns.")
  name = _NAMES[mode][category in NEED_REFERENCE]
  return name if turn == 1 else f"{name}-multi-turn"


def single_messages(
  prompts: Mapping[str, JudgePrompt],
  question: Question,
  answer: ModelAnswer,
  *,
  turn: int,
  reference: ModelAnswer | None = None,
) -> tuple[Message, Message]:
  """What a judge is shown to grade one answer.

  Args:
    prompts: From `mt_bench_files.read_prompts`.
    question: What is answered.
    answer: What is graded; of turn 2, the first answer is shown, too.
    turn: Which turn is graded, 1 or 2.
    reference: The reference answer; needed in `NEED_REFERENCE`, else not shown.

  Returns:
    The system message and the user message.

  Raises:
    ValueError: The prompt that is needed is not there, or has not the slots;
      or the texts are not of this question, or fewer than its turns.
  """
  return _messages(
    prompts, "single", question, {"answer": answer}, turn, reference
  )


def pair_messages(
  prompts: Mapping[str, JudgePrompt],
  question: Question,
  answer_a: ModelAnswer,
  answer_b: ModelAnswer,
  *,
  turn: int,
  reference: ModelAnswer | None = None,
) -> tuple[Message, Message]:
  """What a judge is shown to compare two answers.

  Args:
    prompts: From `mt_bench_files.read_prompts`.
    question: What is answered.
    answer_a: Shown first; that of model_1 in game 1, of model_2 in game 2.
    answer_b: Shown second.
    turn: Which turn is compared, 1 or 2.
    reference: The reference answer; needed in `NEED_REFERENCE`, else not shown.

  Returns:
    The system message and the user message.

  Raises:
    ValueError: As `single_messages`.
  """
  answers = {"answer_a": answer_a, "answer_b": answer_b}
  return _messages(prompts, "pair", question, answers, turn, reference)


def _messages(
  prompts: Mapping[str, JudgePrompt],
  mode: Mode,
  question: Question,
  answers: Mapping[str, ModelAnswer],
  turn: int,
  reference: ModelAnswer | None,
) -> tuple[Message, Message]:
  name = prompt_name(mode, question.category, turn)
  prompt = prompts.get(name)
  if prompt is None or prompt.type != _TYPES[mode]:
    raise ValueError(
      f"there is no judge prompt {name!r} of type {_TYPES[mode]!r}, which turn"
      f" {turn} of a question of category {question.category!r} needs: the file"
      f" has {', '.join(prompts)}. Give the official judge_prompts.jsonl, or add"
      " the prompt."
    )
  suffix = "" if turn == 1 else "_2"
  needed = {f"{slot}{suffix}" for slot in answers}
  values: dict[str, str] = {}
  for slot, said in {"question": question, **answers}.items():
    texts = _turns(said, question, turn, slot)
    if turn == 1:
      values[slot] = texts[0]
    else:
      values.update({f"{slot}_{i}": text for i, text in enumerate(texts, 1)})
  if question.category in NEED_REFERENCE:
    if reference is None:
      raise ValueError(
        f"question {question.question_id} of category {question.category!r} is"
        " judged beside a reference answer, and there is none: give the"
        " reference answers of the judge."
      )
    needed.add(f"ref_answer_{turn}")
    texts = _turns(reference, question, turn, "reference answer")
    values.update({f"ref_answer_{i}": text for i, text in enumerate(texts, 1)})
  return (
    Message("system", prompt.system_prompt),
    Message("user", _filled(prompt, values, needed)),
  )


def _turns(
  said: Question | ModelAnswer, question: Question, turn: int, what: str
) -> tuple[str, ...]:
  """The texts up to a turn, of the question itself or of an answer to it."""
  if said.question_id != question.question_id:
    raise ValueError(
      f"{said.where}: the {what} is on question {said.question_id}, not on"
      f" {question.question_id}: pair each answer with its own question."
    )
  if len(said.turns) < turn:
    raise ValueError(
      f"{said.where}: the {what} has {len(said.turns)} turns, and turn {turn}"
      " is to be judged: judge turn 1 alone, or give a file with both."
    )
  return said.turns[:turn]


def _filled(
  prompt: JudgePrompt, values: Mapping[str, str], needed: Collection[str]
) -> str:
  pieces = _pieces(prompt.prompt_template)
  slots = {slot for _, slot in pieces if slot is not None}
  if missing := sorted(set(needed) - slots):
    _refuse(prompt, f"has no slot {{{missing[0]}}}", values)
  if unknown := sorted(slots - set(values)):
    _refuse(prompt, f"has the slot {{{unknown[0]}}}", values)
  return "".join(
    text + ("" if slot is None else values[slot]) for text, slot in pieces
  )


def _refuse(
  prompt: JudgePrompt, problem: str, values: Mapping[str, str]
) -> NoReturn:
  raise ValueError(
    f"{prompt.where}: the template {prompt.name!r} {problem}: it is filled with"
    f" {', '.join(f'{{{slot}}}' for slot in values)}. Correct the template."
  )


def _pieces(template: str) -> list[tuple[str, str | None]]:
  """A template as texts, each with the slot that follows it, if any.

  Where `str.format`, which the authors' tool uses, finds slots and nothing else,
  the template is read as there: {{ and }} are single braces. Where it finds
  more, such as a stray brace, at which it would stop, every brace that is not
  a slot's stays as it stands.
  """
  try:
    parsed = list(string.Formatter().parse(template))
  except ValueError:
    parsed = None
  if parsed is not None and all(
    slot is None or (slot in _SLOTS and not spec and convert is None)
    for _, slot, spec, convert in parsed
  ):
    return [(text, slot) for text, slot, _, _ in parsed]
  # The texts and, between them, the slots.
  split: list[str | None] = [*_SLOT.split(template), None]
  return [
    (text or "", slot)
    for text, slot in zip(split[::2], split[1::2], strict=True)
  ]
