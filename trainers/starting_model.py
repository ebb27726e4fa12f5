# SPDX-License-Identifier: Apache-2.0
"""Which model on disk a run starts from, or is compared with."""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import ml_collections

from ramjax.models import fingerprint, open_model, weights
from ramjax.models.merged_lora import MergedLora
from ramjax.models.run_folder import RunFolder
from ramjax.trainers import processes, provenance


@dataclasses.dataclass(frozen=True)
class Start:
  """The model a run starts from.

  Attributes:
    folder: Where it is; None for random weights.
    step: Which checkpoint, if that is a run's folder.
    average: Whether that run's moving average is meant.
  """

  folder: pathlib.Path | None
  step: int | None = None
  average: bool = False

  def open(self) -> open_model.Model:
    """The model as a source."""
    assert self.folder is not None
    return open_model.open_model(
      self.folder, step=self.step, average=self.average
    )

  @contextlib.contextmanager
  def reading(self) -> Iterator[open_model.Model]:
    """The model as a source, of which each process reads its part.

    All processes call it, in the same order: of a run's folder they tell each
    other at the end what they read.

    Raises:
      TensorError: The parts are not, together, what the run saved.
      ValueError, PassingError: Another process could not read its own.
    """
    with contextlib.ExitStack() as opened:
      with processes.failing_together():
        source = self.open()
        opened.callback(source.close)
        yield source
      stored: Any = source
      while isinstance(stored, MergedLora):
        stored = stored.base
      if isinstance(stored, RunFolder):
        parts = processes.gather(stored.parts_read())
        with processes.failing_together():
          stored.compare(parts)


def choose(
  config: ml_collections.ConfigDict, workdir: pathlib.Path | None = None
) -> Start:
  """What `init` names, down to the checkpoint.

  Args:
    config: Of the run.
    workdir: Of the run. One that is continued goes on from the checkpoint it
      began with, though its base may have newer ones by now.

  Raises:
    ValueError: `init` names two folders, or the wrong kind of one; the base is
      the workdir itself.
    FileNotFoundError: No such checkpoint.
  """
  return choose_from(
    config.init, "init", workdir, recorded_as="initial_weights"
  )


def choose_from(
  fields: ml_collections.ConfigDict,
  group: str,
  workdir: pathlib.Path | None = None,
  *,
  recorded_as: str,
) -> Start:
  """What the fields from_hf, from_run, step and average of a group name.

  Args:
    fields: `config.init`, or another group with those fields.
    group: Its name, for errors.
    workdir: As for `choose`.
    recorded_as: Where the manifest of a run says which checkpoint it took.

  Raises:
    ValueError: As `choose`.
    FileNotFoundError: No such checkpoint.
  """
  folder = _folder(fields, group)
  step, average = fields.step, fields.average
  if folder is None or fields.from_hf:
    if step is not None or average:
      raise ValueError(
        f"{group}.step={step} and {group}.average={average} choose a checkpoint"
        f" of {group}.from_run, which is not set."
      )
    return Start(folder)
  if workdir is not None and folder.resolve() == workdir.resolve():
    raise ValueError(
      f"{group}.from_run={str(folder)!r} is the --workdir itself: a run cannot"
      " start from what it writes. Give another --workdir."
    )
  if step is None and workdir is not None:
    step = _recorded_step(workdir, folder, recorded_as)
  step, _ = weights.find_item(folder, step=step, average=average)
  return Start(folder, step, average)


def _recorded_step(
  workdir: pathlib.Path, folder: pathlib.Path, recorded_as: str
) -> int | None:
  """The checkpoint of `folder` that a run began with, if it has begun."""
  path = workdir / provenance.MANIFEST_FILE
  if not path.is_file():
    return None
  manifest = json.loads(path.read_text())
  recorded = manifest.get(recorded_as) or {}
  same = recorded.get("folder") == str(folder.resolve())
  return recorded.get("step") if same else None


def init_folder(config: ml_collections.ConfigDict) -> pathlib.Path | None:
  """The folder that `init` names, or None for random weights.

  Raises:
    ValueError: Both a Hugging Face folder and a run are named.
  """
  return _folder(config.init, "init")


def _folder(
  fields: ml_collections.ConfigDict, group: str
) -> pathlib.Path | None:
  from_hf, from_run = fields.from_hf, fields.from_run
  if from_hf and from_run:
    raise ValueError(
      f"{group}.from_hf={from_hf!r} and {group}.from_run={from_run!r} are both"
      " set: name one model."
    )
  if not from_hf and not from_run:
    return None
  folder = pathlib.Path(from_hf or from_run).expanduser()
  is_run = (folder / weights.MODEL_FILE).is_file()
  if from_hf and is_run:
    raise ValueError(
      f"{group}.from_hf={from_hf!r} is a run's folder: name it in"
      f" {group}.from_run."
    )
  if from_run and not is_run:
    raise ValueError(
      f"{group}.from_run={from_run!r} holds no {weights.MODEL_FILE}, so it is no"
      f" run's folder. A Hugging Face folder is named in {group}.from_hf."
    )
  return folder


def describe(start: Start) -> dict[str, Any]:
  """Folder, checkpoint and fingerprint of a model that is read from disk."""
  assert start.folder is not None
  source = start.open()
  try:
    return {
      "folder": str(start.folder.resolve()),
      "step": start.step,
      "average": start.average,
      "fingerprint": fingerprint.fingerprint(source),
    }
  finally:
    source.close()
