# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval` from within a run: on its model in memory, into its folder."""

import contextlib
import io
import json
import math
import pathlib
import shlex
from collections.abc import Mapping, Sequence

from ramjax.tools import eval as eval_tool
from ramjax.tools import eval_result, resident_model
from ramjax.trainers.benchmarks import SavedModel

# Options that the run gives.
_OWN = ("--model", "--step", "--average", "--model-step", "--model-average")
_OWN += ("--out", "--dtype", "--model-dtype")
# Whose models have options with a prefix each, as other models take part.
_WITH_A_JUDGE = (
  "alpaca_eval", "alpaca_eval_li", "mt_bench", "rubric", "win_rate",
)  # fmt: skip


class Runner:
  """See `trainers.benchmarks.Runner`."""

  def check(self, command: str) -> None:
    """Refuses a command that could not run.

    Raises:
      ValueError: No such benchmark, an option of the run's own, or one that the
        benchmark does not take.
    """
    words = _words(command)
    eval_tool.check(_argv(words, pathlib.Path("RUN"), 1, False, "OUT"))

  def run(
    self, command: str, model: SavedModel, folder: pathlib.Path
  ) -> Mapping[str, float]:
    """Runs one; its figures that are numbers, by name.

    Raises:
      ValueError, OSError: What the benchmark raises.
    """
    argv = _argv(
      _words(command), model.workdir, model.step, model.average, str(folder)
    )
    # Its table is for people, and in a file; the run logs the figures.
    with (
      contextlib.redirect_stdout(io.StringIO()),
      resident_model.hold(model),
    ):
      eval_tool.run(argv)
    (path,) = _evaluations(folder)
    found = json.loads(path.read_text("utf-8"))
    return {
      name: float(value)
      for name, value in found["figures"].items()
      if isinstance(value, int | float) and math.isfinite(value)
    }

  def is_done(self, folder: pathlib.Path) -> bool:
    """Whether an evaluation is there, which is what is written last."""
    return bool(_evaluations(folder))


def _evaluations(folder: pathlib.Path) -> list[pathlib.Path]:
  """Those below a folder: MT-Bench puts it into one for the model."""
  return list(folder.rglob(eval_result.FILE))


def _words(command: str) -> list[str]:
  """The words of a command, as a shell reads them.

  Raises:
    ValueError: None, an open quote, or an option of the run's own.
  """
  words = shlex.split(command)
  if not words:
    raise ValueError("the command is empty: write a benchmark and its options.")
  for word in words:
    if word.partition("=")[0] in _OWN:
      raise ValueError(
        f"{word} cannot be given: the run gives {', '.join(_OWN)}."
      )
  return words


def _argv(
  words: Sequence[str],
  workdir: pathlib.Path,
  step: int,
  average: bool,
  out: str,
) -> list[str]:
  prefix = "--model-" if words[0] in _WITH_A_JUDGE else "--"
  return [
    *words,
    f"--model={workdir}",
    f"{prefix}step={step}",
    *([f"{prefix}average"] if average else []),
    f"--out={out}",
  ]
