# SPDX-License-Identifier: Apache-2.0
"""A model's tensors in a folder, split over files as Hugging Face does.

One file is `model.safetensors`. Several are `model-00001-of-00002.safetensors`
and so on, with an index (`shard_index`).
"""

import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from ramjax.models import model_folder, shard_index, tensors
from ramjax.models.safetensors_file import SafetensorsFile
from ramjax.models.safetensors_writer import SafetensorsWriter
from ramjax.models.tensors import TensorError, TensorSpec


class ShardReader:
  """All tensors of a folder.

  Attributes:
    tensors: Every tensor, shard by shard in the order of their names, and in
      the order of its bytes within one.
    metadata: The free text that all shards have alike.
  """

  tensors: Mapping[str, TensorSpec]
  metadata: Mapping[str, str]

  def __init__(self, directory: str | pathlib.Path):
    """Opens and checks every file's header.

    Args:
      directory: A folder with `model.safetensors`, or with
        `model.safetensors.index.json` and its shards.

    Raises:
      FileNotFoundError: No such folder, neither of the two in it, or a shard
        that is missing.
      ValueError: A file that may not be read (`model_folder.safe_file`), or,
        as a TensorError, one that is damaged or disagrees with the index.
    """
    self._directory = pathlib.Path(directory)
    shards = shard_index.read(self._directory)
    files = {
      shard: SafetensorsFile(model_folder.safe_file(self._directory, shard))
      for shard in sorted(shards)
    }
    self._files: dict[str, SafetensorsFile] = {}
    for shard, file in files.items():
      for name in file.tensors:
        if name in self._files:
          raise TensorError(
            f"{self._directory}: tensor {name!r} is in two shards,"
            f" {self._files[name].path.name} and {shard}."
          )
        self._files[name] = file
    for shard, names in shards.items():
      if names is not None:
        _check_names(self._directory / shard, files[shard].tensors, names)
    self.tensors = MappingProxyType(
      {name: file.tensors[name] for name, file in self._files.items()}
    )
    counts = Counter(
      item for file in files.values() for item in file.metadata.items()
    )
    self.metadata = MappingProxyType(
      {key: value for (key, value), n in counts.items() if n == len(files)}
    )

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of a tensor, as `SafetensorsFile.rows`.

    Raises:
      TensorError: No such tensor or rows, or a file that changed meanwhile.
    """
    if name not in self._files:
      raise TensorError(f"{self._directory} has no tensor {name!r}.")
    return self._files[name].rows(name, start, stop)

  def close(self) -> None:
    """Refuses further reads; arrays handed out stay valid."""
    for file in self._files.values():
      file.close()

  def __enter__(self) -> "ShardReader":
    return self

  def __exit__(self, *_: object) -> None:
    self.close()


def _check_names(
  path: pathlib.Path, held: Mapping[str, TensorSpec], mapped: set[str]
) -> None:
  """Checks that a shard holds what the index says, and nothing else."""
  missing = sorted(mapped - held.keys())
  if missing:
    raise TensorError(
      f"{shard_index.FILE_NAME} puts tensor {missing[0][:80]!a} into {path}, which does not"
      " hold it."
    )
  unexpected = sorted(held.keys() - mapped)
  if unexpected:
    raise TensorError(
      f"{path} holds tensor {unexpected[0]!r}, which {shard_index.FILE_NAME} does not put"
      " there."
    )


class ShardWriter:
  """Tensors being written to a folder, in a stated order.

  As a context manager it checks on leaving that everything was written, unless
  an exception is on its way: several shards then have no index, and no reader
  takes them.
  """

  def __init__(
    self,
    directory: str | pathlib.Path,
    specs: Mapping[str, TensorSpec],
    *,
    shard_bytes: int,
  ):
    """Plans the shards.

    Args:
      directory: An existing folder without a model in it.
      specs: The tensors, in the order in which they will be written.
      shard_bytes: The most that a shard's tensors take together. A tensor that
        is larger gets a shard of its own.

    Raises:
      FileNotFoundError: No such folder.
      ValueError: No tensors, or too many shards; as a TensorError, a folder
        with a model in it, or a tensor that cannot be stored.
    """
    self._directory = pathlib.Path(directory)
    if not self._directory.is_dir():
      raise FileNotFoundError(f"{directory} is not a folder. Create it first.")
    old = sorted(self._directory.glob("model*.safetensors*"))
    if old:
      raise TensorError(
        f"{directory} already holds {old[0].name}. Give an empty folder: files"
        " of two models must not be mixed."
      )
    self._specs = dict(specs)
    groups = _plan(self._specs, shard_bytes)
    self._names = _names(len(groups))
    self._shard_of = {
      name: shard for shard, group in enumerate(groups) for name in group
    }
    self._groups = groups
    self._shard = 0
    self._writer = self._open()

  def append(self, name: str, rows: np.ndarray) -> None:
    """Writes the next rows, as `SafetensorsWriter.append`.

    Raises:
      TensorError: Another tensor is due, or the rows do not belong to this one.
    """
    if self._shard_of.get(name) == self._shard + 1:
      self._writer.close()
      self._shard += 1
      self._writer = self._open()
    self._writer.append(name, rows)

  def close(self) -> None:
    """Finishes the last shard, then writes the index.

    Raises:
      TensorError: Something was not written.
    """
    self._writer.close()
    if self._shard + 1 < len(self._names):
      raise TensorError(
        f"{self._directory} is incomplete: {self._shard + 1} of"
        f" {len(self._names)} shards were written."
      )
    if len(self._names) == 1:
      return
    # Last of all: without it the shards are no model yet.
    shard_index.write(
      self._directory,
      {n: self._names[s] for n, s in self._shard_of.items()},
      total_bytes=sum(map(tensors.num_bytes, self._specs.values())),
    )

  def abandon(self) -> None:
    """Closes an incomplete shard as it is; several then have no index."""
    self._writer.abandon()

  def __enter__(self) -> "ShardWriter":
    return self

  def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
    if kind is None:
      self.close()
    else:
      self.abandon()

  def _open(self) -> SafetensorsWriter:
    return SafetensorsWriter(
      self._directory / self._names[self._shard],
      {name: self._specs[name] for name in self._groups[self._shard]},
    )


def _plan(
  specs: Mapping[str, TensorSpec], shard_bytes: int
) -> Sequence[Sequence[str]]:
  """The tensors of each shard: as many, in their order, as fit."""
  if not specs or shard_bytes < 1:
    raise ValueError(
      f"{len(specs)} tensors with shard_bytes={shard_bytes}: both must be at"
      " least 1."
    )
  groups: list[list[str]] = []
  room = 0
  for name, spec in specs.items():
    size = tensors.num_bytes(spec)
    if not groups or size > room:
      groups.append([])
      room = shard_bytes
    groups[-1].append(name)
    room -= size
  if len(groups) > shard_index.MAX_SHARDS:
    raise ValueError(
      f"shard_bytes={shard_bytes} would make {len(groups):,} shards; at most"
      f" {shard_index.MAX_SHARDS:,} are read back. Raise it."
    )
  return groups


def _names(num_shards: int) -> list[str]:
  if num_shards == 1:
    return [shard_index.SINGLE]
  return [
    f"model-{i:05d}-of-{num_shards:05d}.safetensors"
    for i in range(1, num_shards + 1)
  ]
