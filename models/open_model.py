# SPDX-License-Identifier: Apache-2.0
"""Opens whatever folder holds a model: a run of ours, or Hugging Face's."""

import contextlib
import pathlib

from ramjax.models import fingerprint, hf_config, run_adapters, weights
from ramjax.models.hf_folder import HFFolder
from ramjax.models.merged_lora import MergedLora
from ramjax.models.run_folder import RunFolder

Model = HFFolder | RunFolder | MergedLora


def open_model(
  path: str | pathlib.Path, *, step: int | None = None, average: bool = False
) -> Model:
  """A source for the model in a folder; its files stay open until `close`.

  A run with adapters is opened with its base, wherever that is, and the two are
  merged as they are read.

  Args:
    path: A run's folder (with `model.json`) or a Hugging Face one.
    step: Which checkpoint of a run; None is the newest.
    average: Read a run's moving average of the weights.

  Raises:
    FileNotFoundError: Neither kind of folder, or the base of adapters is gone.
    ValueError: `step` or `average` for a Hugging Face folder, a base that has
      changed, or what opening the folder raises.
  """
  return _open(pathlib.Path(path), step=step, average=average, above=())


def open_base(
  path: pathlib.Path,
  adapters: run_adapters.Adapters,
  *,
  above: tuple[pathlib.Path, ...] = (),
) -> Model:
  """The model that the adapters of a run were trained on.

  Args:
    path: The run's folder, for messages.
    adapters: Of the run.
    above: Runs that `path` is the base of.

  Raises:
    FileNotFoundError: It is gone.
    ValueError: It has changed, it is its own base, or what opening it raises.
  """
  if not adapters.base.is_dir():
    raise FileNotFoundError(
      f"the adapters in {path} belong to the model in {adapters.base}, which"
      f" does not exist. Put it back, or write its folder into"
      f" {path / weights.BASE_FILE}."
    )
  above = (*above, path.resolve())
  if adapters.base.resolve() in above:
    raise ValueError(
      f"{path / weights.BASE_FILE} names {adapters.base}, whose base is this"
      " very run: it is damaged."
    )

  def opened() -> Model:
    return _open(
      adapters.base,
      step=adapters.base_step,
      average=adapters.base_average,
      above=above,
    )

  # What each of several processes reads for it would count as read by each.
  with contextlib.closing(opened()) as base:
    found = fingerprint.fingerprint(base)
  if found != adapters.fingerprint:
    raise ValueError(
      f"the model in {adapters.base} is not the one that the adapters in {path}"
      " were trained on: its fingerprint differs."
    )
  return opened()


def _open(
  path: pathlib.Path,
  *,
  step: int | None,
  average: bool,
  above: tuple[pathlib.Path, ...],
) -> Model:
  if (path / weights.MODEL_FILE).is_file():
    if weights.load_config(path).lora is None:
      return RunFolder(path, step=step, average=average)
    adapters = run_adapters.load(path, step=step, average=average)
    base = open_base(path, adapters, above=above)
    return MergedLora(
      base, adapters.config, adapters.params, step=adapters.step
    )
  if not (path / hf_config.FILE_NAME).is_file():
    raise FileNotFoundError(
      f"{path} holds no model: there is neither {weights.MODEL_FILE} (a run, or"
      f" what `ramjax convert` wrote) nor {hf_config.FILE_NAME} (Hugging Face)."
    )
  if step is not None or average:
    raise ValueError(
      f"{path} is a Hugging Face folder, which has no steps and no average:"
      " leave them out."
    )
  return HFFolder(path)
