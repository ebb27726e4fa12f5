# SPDX-License-Identifier: Apache-2.0
"""Questions with given answers: the one a model finds likeliest counts.

Prompts, figures and their names are those of the Language Model Evaluation
Harness (version 0.4.13).
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

# Between a question and its answer, and after an example.
_BEFORE_ANSWER = " "
_AFTER_EXAMPLE = "\n\n"


@dataclasses.dataclass(frozen=True)
class Question:
  """One question, as it is put to a model.

  Attributes:
    where: Its place in a file, for messages.
    prompt: What an answer follows after a space.
    choices: The answers.
    right: Which of them are right; at least one.
    group: What it belongs to, such as MMLU's subject; "" for nothing.
  """

  where: str
  prompt: str
  choices: tuple[str, ...]
  right: tuple[bool, ...]
  group: str = ""

  @property
  def gold(self) -> int:
    """Index of the (first) right answer."""
    return self.right.index(True)


def context_of(
  question: Question, shots: Sequence[Question] = (), description: str = ""
) -> str:
  """A description, examples with their answers, and the question.

  Args:
    question: Asked last.
    shots: Examples; of several right answers the first is shown.
    description: As it stands before all, with its line feeds.
  """
  examples = "".join(
    shot.prompt + _BEFORE_ANSWER + shot.choices[shot.gold] + _AFTER_EXAMPLE
    for shot in shots
  )
  return description + examples + question.prompt


def continuations_of(question: Question) -> list[str]:
  """What each choice is scored as."""
  return [_BEFORE_ANSWER + choice for choice in question.choices]


@dataclasses.dataclass(frozen=True)
class Marks:
  """How a question was answered; each is 0 or 1 but for `true_mass`.

  Attributes:
    acc: The likeliest choice is right.
    acc_norm: So is the likeliest by character.
    acc_bytes: So is the likeliest by byte of UTF-8.
    true_mass: Probability of the right choices, of all choices'.
    chosen: Index of the likeliest choice; the first of equals.
  """

  acc: float
  acc_norm: float
  acc_bytes: float
  true_mass: float
  chosen: int


def mark(question: Question, logps: Sequence[float]) -> Marks:
  """Marks one question.

  Of equally likely choices the first is taken. Lengths are those of a choice's
  text without the space before it; by character is what the harness calls
  `acc_norm`, though its guide speaks of bytes (for ASCII they are the same). A
  choice of no text is never the likeliest by length, as there.

  Args:
    question: Asked.
    logps: Natural log-probability of each choice; finite.

  Raises:
    ValueError: Not one number for each choice.
  """
  values = np.asarray(logps, np.float64)
  if values.shape != (len(question.choices),):
    raise ValueError(
      f"{question.where}: {len(question.choices)} choices, and"
      f" {values.size} log-probabilities for them: give one each."
    )
  chosen = int(np.argmax(values))
  weights = np.exp(values - values.max())

  def by_length(lengths: Sequence[int]) -> float:
    per_unit = [
      value / length if length else -math.inf
      for value, length in zip(values, lengths, strict=True)
    ]
    return float(question.right[int(np.argmax(per_unit))])

  return Marks(
    acc=float(question.right[chosen]),
    acc_norm=by_length([len(choice) for choice in question.choices]),
    acc_bytes=by_length([len(c.encode("utf-8")) for c in question.choices]),
    true_mass=float(weights[list(question.right)].sum() / weights.sum()),
    chosen=chosen,
  )


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
  """Mean, and its standard error: sample deviation over the root of n.

  Args:
    values: At least one; the error of one alone is None.

  >>> mean_and_error([1.0, 0.0, 1.0, 1.0])
  (0.75, 0.25)
  """
  error = None
  if len(values) > 1:
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
  return float(np.mean(values)), error
