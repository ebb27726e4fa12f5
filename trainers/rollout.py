# SPDX-License-Identifier: Apache-2.0
"""A rollout: answers that the policy sampled, and what was computed of them.

It is kept as a file, `NNNNNN.jsonl`, for people. Where a checkpoint lies within
it there is `NNNNNN.npz`, too, with every number: a run that is continued there
goes on bit for bit. The checkpoint has the digest of that file.
"""

import dataclasses
import hashlib
import io
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ramjax.models.saved_digests import MISSING, Damaged


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
  _replace(_path(folder, number, ".jsonl"), lines.encode())


def save_arrays(folder: pathlib.Path, number: int, rollout: Rollout) -> str:
  """Writes a rollout to be read back, bit for bit.

  Returns:
    The SHA-256 of the file: the same each time for the same rollout.
  """
  arrays: dict[str, Any] = {
    field.name: getattr(rollout, field.name)
    for field in dataclasses.fields(rollout)
  }
  packed = io.BytesIO()
  np.savez(packed, **arrays)
  data = packed.getvalue()
  _replace(_path(folder, number, ".npz"), data)
  # Of what was to be written, and not of what the disk made of it.
  return hashlib.sha256(data).hexdigest()


def is_there(folder: pathlib.Path, number: int) -> bool:
  """Whether the arrays of a rollout are in their place.

  Raises:
    OSError: The system does not say.
  """
  try:
    _path(folder, number, ".npz").stat()
  except MISSING:
    return False
  return True


def load_arrays(
  folder: pathlib.Path, number: int, digest: str | None
) -> Rollout:
  """Reads a rollout back.

  Args:
    folder: Of the run's rollouts.
    number: Of the rollout.
    digest: What `save_arrays` returned; None of an earlier version, which
      returned nothing.

  Raises:
    Damaged: The file is gone, or is not what was written; says what is wrong.
    OSError: It cannot be read, for want of something else.
  """
  path = _path(folder, number, ".npz")
  name = f"{folder.name}/{path.name}"
  try:
    data = path.read_bytes()
  except MISSING as error:
    raise Damaged(
      f"{name}, the rollout that it lies within, is gone"
    ) from error
  if digest is not None and hashlib.sha256(data).hexdigest() != digest:
    raise Damaged(
      f"the digest of {name}, the rollout that it lies within, is not the one"
      " saved"
    )
  try:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
      return Rollout(**{field: arrays[field] for field in arrays.files})
  except MemoryError:
    raise
  except Exception as error:
    # Zip files and NumPy raise whatever damaged bytes lead them to.
    raise Damaged(
      f"{name}, the rollout that it lies within, cannot be read:"
      f" {type(error).__name__}: {error}"
    ) from error


def _path(folder: pathlib.Path, number: int, suffix: str) -> pathlib.Path:
  return folder / f"{number:06d}{suffix}"


def _replace(path: pathlib.Path, data: bytes) -> None:
  temporary = path.with_name(path.name + ".tmp")
  with temporary.open("wb") as file:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
  temporary.replace(path)
