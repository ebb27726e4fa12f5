# SPDX-License-Identifier: Apache-2.0
"""A rollout: answers that the policy sampled, and what was computed of them.

It is kept as a file, `NNNNNN.jsonl`, for people. Where a checkpoint lies within
it there is `NNNNNN.npz`, too, with every number: a run that is continued there
goes on bit for bit.
"""

import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_REMEDY = (
  "the last checkpoint lies within that rollout. Restore the file, or go on from"
  " an older checkpoint by moving the newer ones away."
)


@dataclasses.dataclass(frozen=True)
class Rollout:
  """N answers of at most R tokens; arrays [N, R] hold token j in column j.

  Attributes:
    prompts: [N, P] int32, right-padded.
    prompt_lengths: [N] int32.
    responses: [N, R] int32, right-padded.
    response_lengths: [N] int32.
    drawn_logps: [N, R] float32, log-probability of each token under the
      distribution that the sampler drew it from.
    old_logps: [N, R] float32, under the policy as the trainer computes it.
    ref_logps: [N, R] float32, under the reference; `old_logps` where none is
      needed.
    values: [N, R] float32, what the critic expected before each token; zeros
      without one.
    advantages: [N, R] float32.
    returns: [N, R] float32, what the critic learns; zeros without one.
    scores: [N] float32, the reward of each answer.
  """

  prompts: np.ndarray
  prompt_lengths: np.ndarray
  responses: np.ndarray
  response_lengths: np.ndarray
  drawn_logps: np.ndarray
  old_logps: np.ndarray
  ref_logps: np.ndarray
  values: np.ndarray
  advantages: np.ndarray
  returns: np.ndarray
  scores: np.ndarray

  @property
  def mask(self) -> np.ndarray:
    """[N, R] bool, True where there is a token."""
    columns = np.arange(self.responses.shape[1])
    return columns < self.response_lengths[:, None]


def save_records(
  folder: pathlib.Path, number: int, records: Sequence[Mapping[str, Any]]
) -> None:
  """Writes a rollout for people; a kill leaves the whole file or none.

  Args:
    folder: Made if it does not exist.
    number: Of the rollout in its run, from 0.
    records: One object an answer.
  """
  folder.mkdir(exist_ok=True)
  lines = "".join(json.dumps(record) + "\n" for record in records)
  _replace(_path(folder, number, ".jsonl"), lambda file: file.write(lines), "w")


def save_arrays(folder: pathlib.Path, number: int, rollout: Rollout) -> None:
  """Writes a rollout to be read back, bit for bit."""
  arrays: dict[str, Any] = {
    field.name: getattr(rollout, field.name)
    for field in dataclasses.fields(rollout)
  }
  _replace(
    _path(folder, number, ".npz"), lambda file: np.savez(file, **arrays), "wb"
  )


def load_arrays(folder: pathlib.Path, number: int) -> Rollout:
  """Reads a rollout back.

  Raises:
    FileNotFoundError: Its arrays are gone, and the run cannot go on within it.
    ValueError: They are damaged.
  """
  path = _path(folder, number, ".npz")
  if not path.is_file():
    raise FileNotFoundError(f"{path} does not exist: {_REMEDY}")
  try:
    # Opened here: NumPy leaves a damaged file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
      return Rollout(**{name: arrays[name] for name in arrays.files})
  except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
    raise ValueError(f"{path} is damaged ({error}): {_REMEDY}") from error


def _path(folder: pathlib.Path, number: int, suffix: str) -> pathlib.Path:
  return folder / f"{number:06d}{suffix}"


def _replace(path: pathlib.Path, write: Any, mode: str) -> None:
  temporary = path.with_name(path.name + ".tmp")
  with temporary.open(mode) as file:
    write(file)
    file.flush()
    os.fsync(file.fileno())
  temporary.replace(path)
