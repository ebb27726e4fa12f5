# SPDX-License-Identifier: Apache-2.0
"""A model's row of an AlpacaEval leaderboard, in the official columns."""

import csv
import io
import os
import pathlib
from collections.abc import Mapping

from ramjax.evals import replaced_file
from ramjax.evals.evaluation import Value

COLUMNS = (
  "win_rate",
  "standard_error",
  "n_wins",
  "n_wins_base",
  "n_draws",
  "n_total",
  "discrete_win_rate",
  "mode",
  "avg_length",
  "length_controlled_winrate",
  "lc_standard_error",
)
# The authors' word for rows that they did not make themselves.
_MODE = "community"


def write(
  path: str | os.PathLike[str], model: str, figures: Mapping[str, Value]
) -> pathlib.Path:
  """Writes a leaderboard.csv of one row; replaces a file whole.

  Args:
    path: Of the file.
    model: The row's name.
    figures: By column; one that is missing or None leaves its cell empty.

  Returns:
    The path.
  """
  path = pathlib.Path(path)
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(["", *COLUMNS])
  cells = ({**figures, "mode": _MODE}.get(name) for name in COLUMNS)
  writer.writerow([model, *("" if x is None else x for x in cells)])
  replaced_file.replace_file(path, [text.getvalue()])
  return path
