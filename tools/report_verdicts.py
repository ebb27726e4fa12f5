# SPDX-License-Identifier: Apache-2.0
"""A judge's verdicts beside an evaluation, read for a report's samples."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from ramjax.evals import alpaca_annotations, mt_bench_files, win_rate
from ramjax.evals.evaluation import Evaluation
from ramjax.evals.mt_bench_files import Judgment, PairJudgment
from ramjax.tools import eval_mt_bench_shown, report_budget, report_text
from ramjax.tools.report_budget import Bytes

ANNOTATIONS_FILE = "annotations.json"
# What official annotations have the judge's words under.
_WORDS = "raw_completion"
# What stands about a question in the authors' prompts for judges.
_QUESTION_MARKS = (
  ("### User:\n", "\n\n### "),
  ("[Question]\n", "\n\n[The Start of "),
  ("[User Question]\n", "\n\n[The Start of "),
)
# Of a file of verdicts or answers, which is read whole.
MAX_BYTES = 32 << 20
_MAX_FILES = 50
# Rows of a sample: those with the highest and the lowest verdict, and the next
# to a tie.
_MOST_ENDS, _MOST_TIES = 4, 2


class Verdict(NamedTuple):
  """One verdict of a judge.

  Attributes:
    key: What names it among the verdicts on any model.
    instruction: What was asked.
    baseline: The other answer; None where there is none, or it is not here.
    answer: The model's; None where it is not here.
    worth: The verdict as a number, more is better for the model: of pairs from
      1 to 2, with 1.5 for a tie.
    said: The verdict in words.
    words: Of the judge; empty where they are not here.
    question: What was asked first, where the key is but a number and the judge's
      prompt shows it.
  """

  key: str
  instruction: str
  baseline: str | None
  answer: str | None
  worth: float
  said: str
  words: Sequence[str] = ()
  question: str | None = None


class Verdicts(NamedTuple):
  """The verdicts of an evaluation, in the order of their file.

  Attributes:
    rows: Those with a verdict, or the few of them that a page shows.
    tie: The worth of a tie; None where answers are graded one by one.
    model: Who is judged.
    terms: Against whom and by whom: figures under others do not compare.
    left: How many verdicts there are besides the rows.
  """

  rows: list[Verdict]
  tie: float | None
  model: str
  terms: str = ""
  left: int = 0

  @property
  def parties(self) -> str:
    """Who is judged, against whom and by whom."""
    return f"{self.model}{self.terms}"


def read(
  folder: pathlib.Path, evaluation: Evaluation, budget: Bytes | None = None
) -> Verdicts | None:
  """The verdicts that lie beside an evaluation.

  Args:
    folder: Where the evaluation is.
    evaluation: What it came to.
    budget: What may be read yet; None is that of a page.

  Returns:
    What was found, None where nothing is there.

  Raises:
    ValueError: A file is too large or not what its benchmark writes.
    OSError: It cannot be read.
  """
  path = folder / ANNOTATIONS_FILE
  budget = budget or report_budget.of_page().verdicts
  if path.is_file():
    # A question of two turns may be asked twice there.
    by_question = evaluation.benchmark == "mt_bench_li"
    return _of_annotations(path, by_question, budget)
  if evaluation.benchmark.startswith("mt_bench"):
    return _of_judgments(folder, evaluation.model, budget)
  return None


def condensed(verdicts: Verdicts) -> Verdicts:
  """What a page shows of verdicts: `chosen` gives the same of them."""
  rows = chosen(verdicts)
  left = verdicts.left + len(verdicts.rows) - len(rows)
  return verdicts._replace(rows=rows, left=left)


def chosen(verdicts: Verdicts) -> list[Verdict]:
  """The clearest wins, the clearest losses, and what is next to a tie.

  Args:
    verdicts: Any number.

  Returns:
    At most ten of them, the best first.
  """
  rows = verdicts.rows
  order = sorted(range(len(rows)), key=lambda i: (-rows[i].worth, i))
  picked = {*order[:_MOST_ENDS], *order[max(len(order) - _MOST_ENDS, 0) :]}
  middle = verdicts.tie
  if middle is None and order:
    middle = rows[order[len(order) // 2]].worth
  rest = [i for i in order if i not in picked]
  rest.sort(key=lambda i: abs(rows[i].worth - (middle or 0.0)))
  picked |= set(rest[:_MOST_TIES])
  return [rows[i] for i in order if i in picked]


def _of_annotations(
  path: pathlib.Path, by_question: bool, budget: Bytes
) -> Verdicts:
  _take(path, budget)
  judged = alpaca_annotations.read(
    path, key="question_id" if by_question else "instruction"
  )
  rows = [
    Verdict(
      row.instruction,
      row.instruction,
      row.output_1,
      row.output_2,
      row.preference,
      _preferred(row.preference),
      _words(row.original.get(_WORDS)),
    )
    for row in judged.rows
    if row.preference is not None
  ]
  terms = f" against {judged.baseline}"
  if judged.annotator:
    terms += f", judged by {judged.annotator}"
  return Verdicts(rows, win_rate.TIE, judged.model, terms)


def _preferred(preference: float) -> str:
  if preference == win_rate.TIE:
    return "tie"
  word = "won" if preference > win_rate.TIE else "lost"
  return f"{word}, preference {report_text.percent(preference - 1)}"


def _words(value: Any) -> list[str]:
  """The judge's words in the forms that annotations have them in."""
  if isinstance(value, dict):
    value = value.get("text")
  texts = value if isinstance(value, list) else [value]
  return [text for text in texts if isinstance(text, str)]


def _of_judgments(
  folder: pathlib.Path, model: str, budget: Bytes
) -> Verdicts | None:
  """MT-Bench's, whose files lie beside the folders of the models."""
  for base in (folder, folder.parent):
    found = (base / eval_mt_bench_shown.JUDGMENTS).rglob("*.jsonl")
    for path in sorted(found)[:_MAX_FILES]:
      if not path.is_file():
        continue
      _take(path, budget)
      if (verdicts := _judged(path, model, base, budget)) is not None:
        return verdicts
  return None


def _judged(
  path: pathlib.Path, model: str, base: pathlib.Path, budget: Bytes
) -> Verdicts | None:
  """The verdicts on a model in one file; None if there are none."""
  answers = _Answers(base, budget)
  if mt_bench_files.mode_of(path) == "single":
    grades = mt_bench_files.read_judgments(path)
    graded = [row for row in grades if row.model == model and row.score >= 0]
    rows = [_graded(row, answers) for row in graded]
    judges = sorted({row.judge[0] for row in graded})
    tie = None
  else:
    games = mt_bench_files.read_pair_judgments(path)
    played = [
      row
      for row in games
      if model in (row.model_1, row.model_2)
      and "error" not in (row.g1_winner, row.g2_winner)
    ]
    rows = [_played(row, model, answers) for row in played]
    judges = sorted({row.judge[0] for row in played})
    tie = win_rate.TIE
  if not rows:
    return None
  return Verdicts(rows, tie, model, f", judged by {', '.join(judges[:5])}")


def _graded(row: Judgment, answers: "_Answers") -> Verdict:
  return Verdict(
    _key(row),
    _asked(row, row.user_prompt),
    None,
    answers.get(row.model, row.question_id, row.turn),
    row.score,
    f"grade {row.score:g}",
    [row.judgment],
    _question(row.user_prompt),
  )


def _played(row: PairJudgment, model: str, answers: "_Answers") -> Verdict:
  own, other = "model_1", "model_2"
  if model == row.model_2:
    own, other = other, own
  won = [
    (winner == own) - (winner == other)
    for winner in (row.g1_winner, row.g2_winner)
  ]
  said = " and ".join({1: "won", 0: "tie", -1: "lost"}[x] for x in won)
  number, turn = row.question_id, row.turn
  return Verdict(
    _key(row),
    _asked(row, row.g1_user_prompt),
    answers.get(getattr(row, other), number, turn),
    answers.get(getattr(row, own), number, turn),
    # A game is worth half of what tells a win from a tie.
    win_rate.TIE + sum(won) / 4,
    said,
    [row.g1_judgment, row.g2_judgment],
    _question(row.g1_user_prompt),
  )


def _key(row: Judgment | PairJudgment) -> str:
  return f"Question {row.question_id}, turn {row.turn}"


def _asked(row: Judgment | PairJudgment, prompt: str | None) -> str:
  """The question by its number, and as the judge saw it where that is known."""
  return f"{_key(row)}\n{prompt}" if prompt else _key(row)


def _question(prompt: str | None) -> str | None:
  """What was asked first, between the authors' marks in the judge's prompt."""
  found = [
    (prompt.index(start) + len(start), end)
    for start, end in _QUESTION_MARKS
    if prompt and start in prompt
  ]
  if prompt is None or not found:
    return None
  # The first mark: those behind it may be an answer's.
  start, mark = min(found)
  end = prompt.find(mark, start)
  return prompt[start:end] if end >= 0 else None


class _Answers:
  """Answers of models, read where they lie beside the judgments."""

  def __init__(self, base: pathlib.Path, budget: Bytes):
    self._budget = budget
    self._folder = base / eval_mt_bench_shown.ANSWERS
    self._read: dict[str, dict[int, tuple[str, ...]]] = {}

  def get(self, model: str, question: int, turn: int) -> str | None:
    """An answer, None where it is not here."""
    if model not in self._read:
      name = f"{eval_mt_bench_shown.file_name(model)}.jsonl"
      path = self._folder / name
      self._read[model] = {}
      if path.is_file():
        _take(path, self._budget)
        found = mt_bench_files.read_answers(path)
        self._read[model] = {key: x.turns for key, x in found.items()}
    turns = self._read[model].get(question, ())
    return turns[turn - 1] if 0 < turn <= len(turns) else None


def _take(path: pathlib.Path, budget: Bytes) -> None:
  """Counts a file that is about to be read; raises a ValueError at too much."""
  size = path.stat().st_size
  if size > MAX_BYTES:
    raise ValueError(
      f"{path} has {size:,} bytes, and a page reads samples from at most"
      f" {MAX_BYTES:,}."
    )
  budget.take(path)
