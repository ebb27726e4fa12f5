# SPDX-License-Identifier: Apache-2.0
"""MT-Bench's official files: questions, answers, judge prompts, judgments.

MT-Bench (Zheng et al., arXiv 2306.05685) asks 80 questions of two turns each,
and a judge grades every answer or compares it with another model's. The files
are those of its authors' tool; keys that they do not have are let be, and
those of a judgment are written back.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from ramjax.evals import mt_bench_rows, replaced_file
from ramjax.evals.mt_bench_rows import Row

Mode = Literal["single", "pair"]

# Who won a game, as a pairwise judgment records it.
WINNERS = ("model_1", "model_2", "tie", "error")
# Type of a judge prompt -> the formats in which its verdict may be asked for.
OUTPUT_FORMATS = {
  "single": ("[[rating]]",),
  "pairwise": ("[[A]]", "[[rating_a,rating_b]]"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
  """One line of question.jsonl.

  Attributes:
    question_id: 81 to 160 in the official file.
    category: Such as "writing".
    turns: What the user says, one text or two.
    reference: Hints for a reader. A judge is not shown them: it gets the
      reference answers, which are an answer file.
    where: File and row, for errors.
  """

  question_id: int
  category: str
  turns: tuple[str, ...]
  reference: tuple[str, ...] | None
  where: str = dataclasses.field(compare=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelAnswer:
  """One line of an answer file, of a model or of the references.

  Attributes:
    question_id: What is answered.
    answer_id: A name of the answer, of no meaning here.
    model_id: Who answers. Judgments may have another name for it: the authors'
      tool names a model by its file.
    turns: The answer to each turn: the first choice, which alone is judged.
    tstamp: Seconds since 1970; None where it is not recorded.
    where: File and row, for errors.
  """

  question_id: int
  answer_id: str
  model_id: str
  turns: tuple[str, ...]
  tstamp: float | None
  where: str = dataclasses.field(compare=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgePrompt:
  """One line of judge_prompts.jsonl.

  Attributes:
    name: Such as "single-v1-multi-turn".
    type: A key of `OUTPUT_FORMATS`.
    system_prompt: The system message.
    prompt_template: The user message, with slots in braces.
    output_format: How the verdict is asked for, one of `OUTPUT_FORMATS`.
    where: File and row, for errors.
  """

  name: str
  type: str
  system_prompt: str
  prompt_template: str
  output_format: str
  where: str = dataclasses.field(compare=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judgment:
  """One answer's grade; the fields stand in the order of the official file.

  Attributes:
    question_id: What is answered.
    model: Who answers.
    judge: The judge's model and the name of its prompt.
    user_prompt: What the judge was shown; None where it is not recorded.
    judgment: What the judge wrote.
    score: The grade, of any size; -1 is none.
    turn: The turn that is graded, 1 or 2.
    tstamp: Seconds since 1970; None where it is not recorded.
    extra: Other keys of the row.
    where: File and row, for errors.
  """

  question_id: int
  model: str
  judge: tuple[str, str]
  user_prompt: str | None
  judgment: str
  score: float
  turn: int
  tstamp: float | None
  extra: Mapping[str, Any]
  where: str = dataclasses.field(compare=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairJudgment:
  """Two answers compared in two games, the second with their places swapped.

  Attributes:
    question_id: What is answered.
    model_1: Shown first in game 1.
    model_2: Shown first in game 2.
    g1_winner: One of `WINNERS`; models are named as in this row, whatever
      their places were.
    g2_winner: The same of game 2.
    judge: The judge's model and the name of its prompt.
    g1_user_prompt: What the judge was shown; None where it is not recorded.
    g1_judgment: What the judge wrote.
    g2_user_prompt: As in game 1.
    g2_judgment: As in game 1.
    turn: The turn that is compared, 1 or 2.
    tstamp: Seconds since 1970; None where it is not recorded.
    extra: Other keys of the row.
    where: File and row, for errors.
  """

  question_id: int
  model_1: str
  model_2: str
  g1_winner: str
  g2_winner: str
  judge: tuple[str, str]
  g1_user_prompt: str | None
  g1_judgment: str
  g2_user_prompt: str | None
  g2_judgment: str
  turn: int
  tstamp: float | None
  extra: Mapping[str, Any]
  where: str = dataclasses.field(compare=False)


_Path = str | os.PathLike[str]
_AnyJudgment = Judgment | PairJudgment
_Keyed = TypeVar("_Keyed", Question, ModelAnswer, JudgePrompt)


def read_questions(path: _Path) -> dict[int, Question]:
  """The questions by id, in the order of the file.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: A row is no question, or an id stands twice.
  """
  return _by_key(
    (
      Question(
        question_id=row.integer("question_id"),
        category=row.name("category"),
        turns=row.turns("turns", row.take("turns")),
        reference=_reference(row),
        where=row.where,
      )
      for row in mt_bench_rows.read_rows(path, "a question")
    ),
    "question_id",
  )


def _reference(row: Row) -> tuple[str, ...] | None:
  if not row.has("reference"):
    return None
  return row.texts("reference", row.take("reference"))


def read_answers(path: _Path) -> dict[int, ModelAnswer]:
  """One model's answers, or the reference answers, by id of the question.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: A row is no answer, a question is answered twice, or there are
      answers of two models.
  """
  answers = _by_key(
    (_answer(row) for row in mt_bench_rows.read_rows(path, "a model's answer")),
    "question_id",
  )
  first = next(iter(answers.values()))
  for answer in answers.values():
    if answer.model_id != first.model_id:
      raise ValueError(
        f"{answer.where}: model_id={answer.model_id!r}, and the rows before it"
        f" are of {first.model_id!r}: write one file for each model."
      )
  return answers


def _answer(row: Row) -> ModelAnswer:
  choices = row.take("choices")
  if not isinstance(choices, list) or not choices:
    row.refuse("choices", choices, "a list whose first entry holds 'turns'")
  first = choices[0]
  if not isinstance(first, Mapping) or "turns" not in first:
    row.refuse("choices[0]", first, 'an object: {"index": 0, "turns": [...]}')
  return ModelAnswer(
    question_id=row.integer("question_id"),
    answer_id=row.text("answer_id"),
    model_id=row.name("model_id"),
    turns=row.turns("choices[0].turns", first["turns"]),
    tstamp=row.optional_number("tstamp"),
    where=row.where,
  )


def read_prompts(path: _Path) -> dict[str, JudgePrompt]:
  """The judge prompts by name, in the order of the file.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: A row is no judge prompt, or a name stands twice.
  """
  return _by_key(
    (_prompt(row) for row in mt_bench_rows.read_rows(path, "a judge prompt")),
    "name",
  )


def _prompt(row: Row) -> JudgePrompt:
  kind = row.one_of("type", tuple(OUTPUT_FORMATS))
  return JudgePrompt(
    name=row.name("name"),
    type=kind,
    system_prompt=row.text("system_prompt"),
    prompt_template=row.text("prompt_template"),
    output_format=row.one_of("output_format", OUTPUT_FORMATS[kind]),
    where=row.where,
  )


def mode_of(path: _Path) -> Mode:
  """Which kind of judgments a file holds, by the keys of its first row.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: It holds no judgments of MT-Bench.
  """
  row = next(mt_bench_rows.read_rows(path, "a judgment"))
  if row.has("g1_winner") or row.has("model_1"):
    return "pair"
  if row.has("score") and row.has("model"):
    return "single"
  raise ValueError(
    f"{row.where}: its keys ({row.names}) are those of no MT-Bench judgment: a"
    " grade has 'model' and 'score', a comparison 'model_1', 'model_2',"
    " 'g1_winner' and 'g2_winner'. Give a file of the authors' model_judgment"
    " folder, or one in its format."
  )


def read_judgments(path: _Path) -> list[Judgment]:
  """Grades of single answers, in the order of the file, repeated ones too.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: A row is no such judgment.
  """
  return [
    Judgment(
      question_id=row.integer("question_id"),
      model=row.name("model"),
      judge=row.judge(),
      user_prompt=row.optional_text("user_prompt"),
      judgment=row.text("judgment"),
      score=row.number("score"),
      turn=row.turn(),
      tstamp=row.optional_number("tstamp"),
      extra=row.rest(),
      where=row.where,
    )
    for row in mt_bench_rows.read_rows(path, "a single-answer judgment")
  ]


def read_pair_judgments(path: _Path) -> list[PairJudgment]:
  """Comparisons, in the order of the file, repeated ones too.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: A row is no such judgment, or compares a model with itself.
  """
  return [
    _pair(row) for row in mt_bench_rows.read_rows(path, "a pairwise judgment")
  ]


def _pair(row: Row) -> PairJudgment:
  names = row.name("model_1"), row.name("model_2")
  if names[0] == names[1]:
    raise ValueError(
      f"{row.where}: model_1 and model_2 are both {names[0]!r}, so no verdict"
      " says anything: remove the row, or name the models apart."
    )
  return PairJudgment(
    question_id=row.integer("question_id"),
    model_1=names[0],
    model_2=names[1],
    g1_winner=row.one_of("g1_winner", WINNERS),
    g2_winner=row.one_of("g2_winner", WINNERS),
    judge=row.judge(),
    g1_user_prompt=row.optional_text("g1_user_prompt"),
    g1_judgment=row.text("g1_judgment"),
    g2_user_prompt=row.optional_text("g2_user_prompt"),
    g2_judgment=row.text("g2_judgment"),
    turn=row.turn(),
    tstamp=row.optional_number("tstamp"),
    extra=row.rest(),
    where=row.where,
  )


def check_questions(
  judgments: Iterable[_AnyJudgment], questions: Mapping[int, Question]
) -> None:
  """Checks that judgments are on these questions.

  Raises:
    ValueError: One is on another question, or on a turn that it has not.
  """
  for row in judgments:
    question = questions.get(row.question_id)
    if question is None:
      raise ValueError(
        f"{row.where}: question_id={row.question_id} is none of the"
        f" {len(questions)} questions ({min(questions)} to {max(questions)}):"
        " give the question file that the judgments are on."
      )
    if row.turn > len(question.turns):
      raise ValueError(
        f"{row.where}: turn={row.turn}, and question {row.question_id} has"
        f" {len(question.turns)} ({question.where}): give the question file"
        " that the judgments are on."
      )


def write_judgments(path: pathlib.Path, rows: Sequence[_AnyJudgment]) -> None:
  """Writes judgments as the authors' tool does, one JSON object a line.

  Args:
    path: Its folder exists. What it holds may be just this.
    rows: Keys that a row was read without are left out, extra ones come last.

  Raises:
    ValueError: The path holds something else, or a row has an extra value that
      JSON has not.
  """
  text = "".join(map(_line, rows))
  if path.exists():
    if path.stat().st_size == len(text) and path.read_text("utf-8") == text:
      return
    raise ValueError(
      f"{path} holds other judgments than the {len(rows):,} that would be"
      " written there: name another folder with --out, or remove that file."
    )
  replaced_file.replace_file(path, [text])


def _line(row: _AnyJudgment) -> str:
  try:
    return json.dumps(_record(row), allow_nan=False) + "\n"
  except (TypeError, ValueError) as error:
    raise ValueError(
      f"{row.where}: a field besides the official ones cannot be written as"
      f" JSON ({error}): drop it."
    ) from error


def _record(row: _AnyJudgment) -> dict[str, Any]:
  names = [field.name for field in dataclasses.fields(row)]
  values = {
    name: getattr(row, name)
    for name in names
    if name not in ("extra", "where") and getattr(row, name) is not None
  }
  return {**values, **row.extra}


def _by_key(records: Iterable[_Keyed], key: str) -> dict[Any, _Keyed]:
  found: dict[Any, _Keyed] = {}
  for record in records:
    value = getattr(record, key)
    if value in found:
      raise ValueError(
        f"{record.where}: {key}={value!r} stands in {found[value].where}, too,"
        " and would count twice: keep one."
      )
    found[value] = record
  return found
