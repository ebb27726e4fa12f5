# SPDX-License-Identifier: Apache-2.0
"""A run's model that is in memory already: commands need not load it again."""

import contextlib
import contextvars
import pathlib
from collections.abc import Iterator

from ramjax.trainers.benchmarks import SavedModel

_HELD: contextvars.ContextVar[SavedModel | None] = contextvars.ContextVar(
  "resident_model", default=None
)


@contextlib.contextmanager
def hold(model: SavedModel) -> Iterator[None]:
  """While it lasts, whoever loads this checkpoint gets this model."""
  token = _HELD.set(model)
  try:
    yield
  finally:
    _HELD.reset(token)


def find(
  folder: pathlib.Path, *, step: int | None, average: bool
) -> SavedModel | None:
  """The model that is held, if it is this checkpoint's.

  Args:
    folder: Of a run.
    step: Of its checkpoint.
    average: Whether the moving average is asked for.
  """
  model = _HELD.get()
  if (
    model is None
    or (step, average) != (model.step, model.average)
    or not folder.exists()
    or not folder.samefile(model.workdir)
  ):
    return None
  return model
