# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval` from within a run: on its model in memory, into its folder."""

import contextlib
import io
import json
import math
import pathlib
import shlex
import tempfile
from collections.abc import Mapping, Sequence

from ramjax.models.config import LlamaConfig
from ramjax.tools import eval as eval_tool
from ramjax.tools import eval_result, resident_model
from ramjax.trainers.benchmarks import SavedModel

# Options that the run gives.
_OWN = ("--model", "--step", "--average", "--model-step", "--model-average")
_OWN += ("--out", "--dtype", "--model-dtype")
# Of a model with a score head.
_SCORE = ("preference", "reward_bench")
# Whose models have options with a prefix each, as other models take part.
_WITH_A_JUDGE = (
  "alpaca_eval", "alpaca_eval_li", "mt_bench", "mt_bench_li", "rubric",
  "win_rate",
)  # fmt: skip


class Runner:
  """See `trainers.benchmarks.Runner`."""

  def check(self, command: str, config: LlamaConfig | None) -> None:
    """Refuses a command that could not run.

    Args:
      command: See `trainers.benchmarks.Runner`.
      config: Of the model; None where that is not known yet.

    Raises:
      ValueError: No such benchmark, an option of the run's own, or one that the
        benchmark does not take.
    """
    words = _words(command)
    if config is not None and config.num_labels and words[0] not in _SCORE:
      raise ValueError(
        f"`ramjax eval {words[0]}` is for a language model, and this run trains"
        f" one with a score head: take {' or '.join(_SCORE)}."
      )
    # A folder that is there stands for the run's, which is not yet.
    with tempfile.TemporaryDirectory() as folder:
      run = pathlib.Path(folder)
      eval_tool.check(_argv(words, run, 1, False, str(run / "out")))

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
    found = self.figures(folder)
    if found is None:
      raise ValueError(f"{folder} has no {eval_result.FILE}, or several.")
    return found

  def figures(self, folder: pathlib.Path) -> Mapping[str, float] | None:
    """The figures in a folder's evaluation, which is what is written last."""
    # MT-Bench puts it into a folder for the model.
    paths = list(folder.rglob(eval_result.FILE))
    if len(paths) != 1:
      return None
    found = json.loads(paths[0].read_text("utf-8"))
    return {
      name: float(value)
      for name, value in found["figures"].items()
      if isinstance(value, int | float) and math.isfinite(value)
    }


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
