# SPDX-License-Identifier: Apache-2.0
"""What evaluations of a run are called, so that those of other runs can meet."""

import collections
import pathlib
import re
from collections.abc import Sequence

from ramjax.evals.evaluation import Evaluation
from ramjax.tools import eval_mt_bench_shown

_STEP = re.compile(r"step_([0-9]{1,15})")
# Between a model's name and that of the one it plays against.
_AGAINST = "_vs_"


def name_and_step(folder: pathlib.PurePath) -> tuple[str, int | None]:
  """A folder's name without its step; MT-Bench has the model's name behind it."""
  for i, part in enumerate(folder.parts):
    if match := _STEP.fullmatch(part):
      rest = (*folder.parts[:i], *folder.parts[i + 1 :])
      return "/".join(rest), int(match[1])
  return "/".join(folder.parts), None


def without_models(
  named: Sequence[tuple[str, int | None, Evaluation]],
) -> list[str]:
  """Names without a last part that only says which model was evaluated.

  It would keep the evaluations of two runs apart, as each has its own model.

  Args:
    named: Names, steps and evaluations of one run.

  Returns:
    A name for each. Where several models were evaluated under one name, theirs
    stay.
  """
  short = [_without_model(name, one.model) for name, _, one in named]
  taken = collections.Counter(
    (name, step, one.benchmark)
    for name, (_, step, one) in zip(short, named, strict=True)
  )
  return [
    name if taken[name, step, one.benchmark] == 1 else long
    for name, (long, step, one) in zip(short, named, strict=True)
  ]


def _without_model(name: str, model: str) -> str:
  folder, _, last = name.rpartition("/")
  own = eval_mt_bench_shown.file_name(model)
  if not folder:
    return name
  if last == own:
    return folder
  if last.startswith(own + _AGAINST):
    return f"{folder}/vs_{last.removeprefix(own + _AGAINST)}"
  return name
