# SPDX-License-Identifier: Apache-2.0
"""Raw win rates from AlpacaEval's preferences, as its leaderboards have them.

A preference is a number from 1 (the baseline's output is better) to 2 (the
model's is); 1.5 is a tie.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from ramjax.evals.evaluation import Value

TIE = 1.5


@dataclasses.dataclass(frozen=True)
class WinRate:
  """How often a model is preferred, by the leaderboard's names.

  Attributes:
    win_rate: Mean preference for the model, in percent.
    standard_error: Of that mean, in points; None of one verdict.
    n_wins: Preferences above a half.
    n_wins_base: Preferences below a half.
    n_draws: Preferences of exactly a half.
    n_total: Verdicts that count.
    discrete_win_rate: With each verdict rounded to a win, a loss or a tie, in
      percent; a tie is half a win.
  """

  win_rate: float
  standard_error: float | None
  n_wins: int
  n_wins_base: int
  n_draws: int
  n_total: int
  discrete_win_rate: float

  def figures(self) -> dict[str, Value]:
    """The same for an evaluation, by names that say the unit."""
    return {
      "win_rate, %": self.win_rate,
      "standard_error, points": self.standard_error,
      "n_wins": self.n_wins,
      "n_wins_base": self.n_wins_base,
      "n_draws": self.n_draws,
      "n_total": self.n_total,
      "discrete_win_rate, %": self.discrete_win_rate,
    }


def normalised(preference: float | None) -> float | None:
  """A preference as the metrics take it.

  Args:
    preference: As it was recorded. Old files have 0 for a tie; None and NaN
      are verdicts that could not be read.

  Returns:
    A number from 1 to 2, or None.

  Raises:
    ValueError: It is some other number.
  """
  if preference is None or preference != preference:
    return None
  if preference == 0:
    return TIE
  if not 1 <= preference <= 2:
    raise ValueError(
      f"preference={preference!r} must be from 1 (the baseline's output is"
      " better) to 2 (the model's), with 1.5 or 0 for a tie, or null for no"
      " verdict."
    )
  return float(preference)


def win_rate(preferences: Sequence[float | None]) -> WinRate:
  """Metrics of a model's preferences.

  The rules are those of the authors' tool (Dubois et al., "AlpacaFarm", arXiv
  2305.14387, and "Length-Controlled AlpacaEval", arXiv 2404.04475).

  Args:
    preferences: Of each pair, from 1 to 2; None (or NaN) counts for nothing.

  Raises:
    ValueError: None is left, or one is out of range.
  """
  known = [x for x in map(normalised, preferences) if x is not None]
  if not known:
    raise ValueError(
      f"none of {len(preferences)} pairs has a preference: there is nothing to"
      " take the mean of. Judge them first."
    )
  share = np.asarray(known) - 1.0
  wins, losses = int((share > 0.5).sum()), int((share < 0.5).sum())
  total = len(known)
  draws = total - wins - losses
  return WinRate(
    win_rate=100.0 * float(share.mean()),
    standard_error=percent_error(share),
    n_wins=wins,
    n_wins_base=losses,
    n_draws=draws,
    n_total=total,
    discrete_win_rate=100.0 * (wins + draws / 2) / total,
  )


def percent_error(share: np.ndarray) -> float | None:
  """Standard error of the mean of shares [n], in points; None if n is 1."""
  if len(share) < 2:
    return None
  return 100.0 * float(share.std(ddof=1)) / math.sqrt(len(share))


def average_length(outputs: Sequence[str]) -> int:
  """The leaderboard's `avg_length`: mean characters of outputs, cut.

  Args:
    outputs: All of a model's, judged or not.

  Returns:
    The mean of Python's `len`, rounded towards zero.

  Raises:
    ValueError: There are none.
  """
  if not outputs:
    raise ValueError("no outputs: avg_length is a mean over at least one.")
  return sum(map(len, outputs)) // len(outputs)
