# SPDX-License-Identifier: Apache-2.0
"""Opens whatever folder holds a model: a run of ours, or Hugging Face's."""

import pathlib

from ramjax.models import hf_config, weights
from ramjax.models.hf_folder import HFFolder
from ramjax.models.run_folder import RunFolder


def open_model(
  path: str | pathlib.Path, *, step: int | None = None, average: bool = False
) -> HFFolder | RunFolder:
  """A source for the model in a folder; its files stay open until `close`.

  Args:
    path: A run's folder (with `model.json`) or a Hugging Face one.
    step: Which checkpoint of a run; None is the newest.
    average: Read a run's moving average of the weights.

  Raises:
    FileNotFoundError: Neither kind of folder.
    ValueError: `step` or `average` for a Hugging Face folder, or what opening
      the folder raises.
  """
  path = pathlib.Path(path)
  if (path / weights.MODEL_FILE).is_file():
    return RunFolder(path, step=step, average=average)
  if not (path / hf_config.FILE_NAME).is_file():
    raise FileNotFoundError(
      f"{path} holds no model: there is neither {weights.MODEL_FILE} (a run, or"
      f" what `ramjax convert` wrote) nor {hf_config.FILE_NAME} (Hugging Face)."
    )
  if step is not None or average:
    raise ValueError(
      f"{path} is a Hugging Face folder, which has no steps and no average:"
      " leave --step and --average out."
    )
  return HFFolder(path)
