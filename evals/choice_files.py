# SPDX-License-Identifier: Apache-2.0
"""ARC, HellaSwag, MMLU and TruthfulQA, from their official files.

Each reader makes the prompts of the Language Model Evaluation Harness (version
0.4.13): its tasks arc_easy and arc_challenge, hellaswag, mmlu (the default
variant), truthfulqa_mc1 and truthfulqa_mc2.
"""

import csv
import io
import json
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ramjax.data import turns
from ramjax.evals.bounded_records import read_objects
from ramjax.evals.multiple_choice import Question

_LETTERS = ("A", "B", "C", "D")
# Of one subject; official ones have less than three MiB.
_MAX_CSV_BYTES = 64 << 20
# What the names of MMLU's files end in, by what they are for.
_MMLU_ENDS = ("_test", "_dev", "_val")


def read_arc(path: pathlib.Path) -> list[Question]:
  r"""ARC (arXiv 1803.05457): "Question: {question}\nAnswer:", then the text.

  Args:
    path: The authors' JSONL (`question` has `stem` and `choices`, a list of
      `text` and `label`), or the records of Hugging Face's (`question` is
      text, `choices` has the lists `text` and `label`).

  Raises:
    ValueError: A record of neither form, or one that stands twice.
  """
  return _questions(path, _arc)


def read_hellaswag(path: pathlib.Path) -> list[Question]:
  """HellaSwag (arXiv 1905.07830): "{activity}: {context}", then an ending.

  Texts are cleaned as the harness does: `_clean`, after the second part of the
  context was capitalised, by which all its other letters become small.

  Args:
    path: The authors' JSONL or the same records elsewhere (`label` may be text
      there). The test set has no labels, and is refused.

  Raises:
    ValueError: A record of another form, or one that stands twice.
  """
  return _questions(path, _hellaswag)


def read_truthfulqa(path: pathlib.Path, targets: str) -> list[Question]:
  r"""TruthfulQA (arXiv 2109.07958): "Q: {question}\nA:", then an answer.

  Args:
    path: The authors' mc_task.json (answers with 0 or 1 each), or records of
      Hugging Face's (`choices` and `labels`).
    targets: "mc1", where one answer is right, or "mc2", where several are.

  Raises:
    ValueError: A record of another form, or one that stands twice.
  """

  def parse(record: Mapping[str, Any]) -> Question:
    return _truthfulqa(record, f"{targets}_targets")

  questions = _questions(path, parse)
  if targets == "mc1":
    for question in questions:
      if sum(question.right) != 1:
        raise ValueError(
          f"{question.where}: {sum(question.right)} answers of mc1_targets are"
          " right, and it must be one."
        )
  return questions


def read_truthfulqa_shots(path: pathlib.Path) -> list[Question]:
  """Examples for TruthfulQA: records with `question` and `answer`.

  The paper's six ("QA prompt", appendix E) are what the harness shows before
  each question; they come with its code and are not part of the data.

  Raises:
    ValueError: A record of another form, or one that stands twice.
  """

  def parse(record: Mapping[str, Any]) -> Question:
    answer = _text(record, "answer")
    return Question("", _truthfulqa_prompt(record), (answer,), (True,))

  return _questions(path, parse)


def read_mmlu(path: pathlib.Path) -> list[Question]:
  r"""MMLU (arXiv 2009.03300): the question, "A. {text}" to "D.", "Answer:".

  What is scored is the letter. The subject is the file's name, without _test,
  _dev or _val and with spaces for underscores; it is each question's group.

  Args:
    path: A subject's CSV: question, four choices and a letter, no header.

  Raises:
    ValueError: Not UTF-8, larger than 64 MiB, or a row of another form.
  """
  stem = path.stem
  for end in _MMLU_ENDS:
    stem = stem.removesuffix(end)
  try:
    text = _read_csv(path).decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise ValueError(
      f"{path} is not UTF-8 at byte {error.start}: save it as UTF-8."
    ) from None
  questions = []
  reader = csv.reader(io.StringIO(text, newline=""), strict=True)
  try:
    for number, row in enumerate(reader, 1):
      where = f"{path.name}: row {number}"
      if len(row) != 6 or row[5] not in _LETTERS:
        raise ValueError(
          f"{where} has {len(row)} columns that end in {row[-1:]}: a row of MMLU"
          " has a question, four choices, and one of A, B, C and D."
        )
      lines = [
        f"{c}. {text}" for c, text in zip(_LETTERS, row[1:5], strict=True)
      ]
      prompt = "\n".join([row[0].strip(), *lines, "Answer:"])
      right = tuple(letter == row[5] for letter in _LETTERS)
      group = stem.replace("_", " ")
      questions.append(Question(where, prompt, _LETTERS, right, group))
  except csv.Error as error:
    raise ValueError(
      f"{path}: line {reader.line_num} is no CSV ({error}): mend it there."
    ) from None
  if not questions:
    raise ValueError(f"{path} holds no questions.")
  return questions


def _read_csv(path: pathlib.Path) -> bytes:
  with path.open("rb") as file:
    data = file.read(_MAX_CSV_BYTES + 1)
  if len(data) > _MAX_CSV_BYTES:
    raise ValueError(
      f"{path} is larger than {_MAX_CSV_BYTES:,} bytes, and a subject of MMLU is"
      " held in memory: give the official file, or split this one."
    )
  return data


def mmlu_description(subject: str) -> str:
  """What stands before all questions of a subject."""
  return (
    "The following are multiple choice questions (with answers) about"
    f" {subject}.\n\n"
  )


def _questions(
  path: pathlib.Path, parse: Callable[[Mapping[str, Any]], Question]
) -> list[Question]:
  """Parses each record, whose texts can be encoded; none may stand twice."""
  found: dict[str, Question] = {}
  for where, value in read_objects(path, "an object for each question"):
    key = json.dumps(value, sort_keys=True, default=str)
    if key in found:
      raise ValueError(
        f"{where}: the same record as {found[key].where}, which would"
        " count twice: take it out."
      )
    try:
      question = parse(value)
      turns.parse_text(question.prompt, "the question")
      for number, choice in enumerate(question.choices, 1):
        turns.parse_text(choice, f"choice {number}")
    except ValueError as error:
      raise ValueError(f"{where}: {error}") from error
    found[key] = Question(
      where,
      question.prompt,
      question.choices,
      question.right,
      question.group,
    )
  return list(found.values())


def _arc(record: Mapping[str, Any]) -> Question:
  if isinstance(record.get("question"), dict):
    asked = record["question"]
    stem, choices = _text(asked, "stem"), asked.get("choices")
    if not isinstance(choices, list) or not all(
      isinstance(choice, dict) for choice in choices
    ):
      raise ValueError("question.choices must be a list of text and label.")
    texts = [_text(choice, "text") for choice in choices]
    labels = [_text(choice, "label") for choice in choices]
  else:
    stem, choices = _text(record, "question"), record.get("choices")
    if not isinstance(choices, dict):
      raise ValueError("choices must have the lists text and label.")
    texts, labels = _texts(choices, "text"), _texts(choices, "label")
  key = _text(record, "answerKey")
  if len(texts) != len(labels) or labels.count(key) != 1:
    raise ValueError(
      f"answerKey={key!r} must be one of the {len(texts)} choices' labels,"
      f" {', '.join(labels)}."
    )
  right = tuple(label == key for label in labels)
  return Question("", f"Question: {stem}\nAnswer:", tuple(texts), right)


def _hellaswag(record: Mapping[str, Any]) -> Question:
  endings = _texts(record, "endings")
  label = record.get("label")
  numbers = [str(i) for i in range(len(endings))]
  if str(label) not in numbers:
    raise ValueError(
      f"label={label!r} must be one of the {len(endings)} endings, from 0: take"
      " a split that has labels (the test set has none)."
    )
  context = (
    f"{_text(record, 'activity_label')}: {_text(record, 'ctx_a')}"
    f" {_text(record, 'ctx_b', empty=True).capitalize()}"
  )
  return Question(
    "",
    _clean(context),
    tuple(map(_clean, endings)),
    tuple(number == str(label) for number in numbers),
  )


def _clean(text: str) -> str:
  """Takes WikiHow's [marks] away, as the harness does, double spaces once."""
  text = text.strip().replace(" [title]", ". ")
  return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def _truthfulqa(record: Mapping[str, Any], field: str) -> Question:
  targets = record.get(field)
  if not isinstance(targets, dict):
    raise ValueError(
      f"{field} must be an object: this is no TruthfulQA mc task."
    )
  if set(targets) == {"choices", "labels"}:
    choices, labels = _texts(targets, "choices"), targets["labels"]
  else:
    choices, labels = list(targets), list(targets.values())
  if (
    not isinstance(labels, list)
    or len(labels) != len(choices)
    or any(type(label) is not int or label not in (0, 1) for label in labels)
    or 1 not in labels
  ):
    raise ValueError(
      f"{field} must say 0 or 1 for each of its {len(choices)} answers, and 1"
      " for some."
    )
  right = tuple(label == 1 for label in labels)
  return Question("", _truthfulqa_prompt(record), tuple(choices), right)


def _truthfulqa_prompt(record: Mapping[str, Any]) -> str:
  return f"Q: {_text(record, 'question')}\nA:"


def _text(record: Mapping[str, Any], key: str, *, empty: bool = False) -> str:
  value = record.get(key)
  if not isinstance(value, str) or not (value or empty):
    raise ValueError(f"{key} must be a string{'' if empty else ' with text'}.")
  return value


def _texts(record: Mapping[str, Any], key: str) -> list[str]:
  values = record.get(key)
  if (
    not isinstance(values, Sequence)
    or isinstance(values, str)
    or len(values) < 2
    or not all(isinstance(value, str) and value for value in values)
  ):
    raise ValueError(f"{key} must be a list of two strings or more.")
  return list(values)
