# SPDX-License-Identifier: Apache-2.0
"""The figures of an evaluation: which one is the main, its unit, its interval."""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from ramjax.evals.evaluation import Evaluation, Value
from ramjax.tools import report_text

# Standard errors on either side of a figure that hold 95 %.
_SPREAD = 1.96
# What an MT-Bench judge may give at most.
MAX_GRADE = 10.0

# The published one and those on no leaderboard.
_CONTROLLED = "length_controlled"
_WIN_RATE = "win_rate"
_RATINGS = "ratings"
_GRADES = ("average", "turn_1", "turn_2")
# A main figure, the first that an evaluation has.
_MAIN = (
  *(_WIN_RATE, "average", "win_share_adjusted", "overall", "prompt_strict"),
  *("accuracy", "acc_norm", "acc", "mc2", "mean kappa of pairs"),
  *("mean grade", "word_perplexity", "bits_per_byte"),
)
_PERCENT = (", %", " %")
_SHARE = (", share", "_share", " share")
# In percent, though their names do not say so: those of the authors' files.
_NAMED_PERCENT = (_WIN_RATE, "discrete_win_rate")
_NAMED_SHARE = ("win_share_adjusted", "accuracy", "passed")
# Of the harness, behind the task and before the filter, if there are any.
_TASK_SHARE = re.compile(
  r"(^| )(acc|acc_norm|exact_match|f1|pass@\d+|(prompt|inst)_level_\w+_acc)"
  r"( \([\w-]+\))?$"
)

# A standard error or an end of an interval stands behind its figure.
_ERROR = re.compile("standard[ _]error|stderr")
_LOW, _HIGH = re.compile("(95 ?%.* |^)from$"), re.compile("(^|[ _])to$")
_PART = re.compile(f"{_ERROR.pattern}|95 ?%")


class Figure(NamedTuple):
  """A number as it is shown.

  Attributes:
    name: Without its unit.
    value: In its unit; NaN where there is none.
    low: Lower end of its 95 % interval; NaN where it has none.
    high: Upper end.
    unit: "%", "of 10", or "".
  """

  name: str
  value: float
  low: float = math.nan
  high: float = math.nan
  unit: str = ""

  @property
  def has_interval(self) -> bool:
    """Whether both ends are known."""
    return math.isfinite(self.low) and math.isfinite(self.high)

  @property
  def ends(self) -> tuple[float, float] | None:
    """Where its axis begins and ends; None where that depends on the data."""
    return {"%": (0.0, 100.0), "of 10": (0.0, MAX_GRADE)}.get(self.unit)

  def within(self) -> "Figure":
    """With an interval that ends where the figure must: a normal one may not."""
    if self.ends is None or not self.has_interval:
      return self
    low, high = max(self.low, self.ends[0]), min(self.high, self.ends[1])
    return self._replace(low=low, high=high)

  def written(self, value: float) -> str:
    """A value of this figure's kind with its unit; a dash where there is none."""
    if not math.isfinite(value):
      return "\N{EN DASH}"
    if self.unit == "%":
      return f"{value:.1f}%"
    if self.unit:
      return f"{value:.2f}"
    return report_text.number(value)

  @property
  def title(self) -> str:
    """The name in words."""
    name = self.name.replace("length_controlled_winrate", "LC win rate")
    return name.replace("_", " ")

  @property
  def text(self) -> str:
    """The value with its unit."""
    return self.written(self.value)

  @property
  def interval(self) -> str:
    """The interval in the value's unit, "" where there is none."""
    if not self.has_interval:
      return ""
    ends = [self.written(x).removesuffix("%") for x in (self.low, self.high)]
    return " to ".join(ends)


def figure(figures: Mapping[str, Value], key: str) -> Figure:
  """A figure, its unit from its name and its interval from its neighbours.

  Args:
    figures: Of an evaluation, or a row of one of its tables.
    key: One of them.
  """
  name, unit, scale = _unit(figures, key)
  low, high = _interval(figures, key)
  value = _number(figures[key])
  return Figure(name, value * scale, low * scale, high * scale, unit).within()


def spread(standard_error: Value) -> float:
  """Half the width of a 95 % interval; NaN where it is not known.

  An error of 0 is not known either: all rows are the same, as few may be.
  """
  return _SPREAD * _number(standard_error) or math.nan


def main_figure(evaluation: Evaluation) -> Figure | None:
  """What an evaluation is for; None if it has no number at all."""
  figures = evaluation.figures
  keys = [
    key for key, value in figures.items() if isinstance(value, int | float)
  ]
  if best := _best_rated(evaluation):
    return best
  named = {_unit(figures, key)[0]: key for key in reversed(list(figures))}
  wanted = [named[name] for name in _MAIN if name in named]
  # One that could not be had is still the main one where no other is.
  for key in (*filter(keys.__contains__, wanted), *wanted):
    if not isinstance(figures[key], str):
      return figure(figures, key)
  found = [figure(figures, key) for key in keys]
  floats = [isinstance(figures[key], float) for key in keys]
  order = sorted(
    range(len(keys)),
    key=lambda i: (not found[i].has_interval, not found[i].unit, not floats[i]),
  )
  return found[order[0]] if order else None


def _best_rated(evaluation: Evaluation) -> Figure | None:
  """The first row of ratings, of which an arena's evaluation consists."""
  rows = evaluation.tables.get(_RATINGS, ())
  if not rows or not {"model", "rating"} <= set(rows[0]):
    return None
  return figure(rows[0], "rating")._replace(
    name=f"rating of {rows[0]['model']}, the best"
  )


def win_rates(evaluation: Evaluation) -> list[Figure]:
  """The raw win rate and the length-controlled ones; none of other kinds."""
  figures = evaluation.figures
  found = [
    figure(figures, key)
    for key in figures
    if _stem(key) == _WIN_RATE or key.startswith(_CONTROLLED)
  ]
  if not found or found[0].name != _WIN_RATE:
    return []
  return [one for one in found if math.isfinite(one.value)]


def average_length(evaluation: Evaluation) -> float:
  """Characters of the model's answers on average; NaN where it is not said."""
  for key, value in evaluation.figures.items():
    if key.partition(",")[0] == "avg_length":
      return _number(value)
  return math.nan


def measures(row: Mapping[str, Value]) -> list[str]:
  """Keys of a row that are a measure with a known range, not a count."""
  return [
    key
    for key, value in row.items()
    if isinstance(value, float | None)
    if _unit(row, key)[1] and not _PART.search(key)
  ]


def is_grade(figures: Mapping[str, Value]) -> bool:
  """Whether figures, or a row, are grades of MT-Bench."""
  return {"average", "turn_1"} <= set(figures)


def _unit(figures: Mapping[str, Value], key: str) -> tuple[str, str, float]:
  """A figure's name without its unit, the unit, and what it is to be times."""
  stem = _stem(key)
  if is_grade(figures) and key in _GRADES:
    return key, "of 10", 1.0
  if (
    key.endswith(_PERCENT)
    or stem in _NAMED_PERCENT
    or key.startswith(_CONTROLLED)
  ):
    return stem, "%", 1.0
  if key.endswith(_SHARE) or stem in _NAMED_SHARE:
    return stem, "%", 100.0
  # A task of the harness may give its F1 in percent already.
  if _TASK_SHARE.search(key) and not _number(figures[key]) > 1:
    return stem, "%", 100.0
  return key, "", 1.0


def _stem(key: str) -> str:
  for end in (*_PERCENT, ", share", " share"):
    if key.endswith(end):
      return key.removesuffix(end)
  return key


def _interval(figures: Mapping[str, Value], key: str) -> tuple[float, float]:
  """Ends of the 95 % interval, which the figures behind it say; or NaN."""
  names = list(figures)
  after = names[names.index(key) + 1 :][:2]
  if len(after) == 2 and _LOW.search(after[0]) and _HIGH.search(after[1]):
    return _number(figures[after[0]]), _number(figures[after[1]])
  if after and _ERROR.search(after[0]):
    value = _number(figures[key])
    half = spread(figures[after[0]])
    return value - half, value + half
  return math.nan, math.nan


def _number(value: Value) -> float:
  if isinstance(value, int | float):
    return float(value)
  return math.nan
