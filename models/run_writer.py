# SPDX-License-Identifier: Apache-2.0
"""Writes a model as a run's folder with one checkpoint, block by block."""

import collections
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ramjax.models import hf_names, tensors, weights, zarr_arrays
from ramjax.models.config import LlamaConfig
from ramjax.models.tensors import TensorError, TensorSpec

# Blocks being written at a time: the disk takes one while others are copied.
_MAX_IN_FLIGHT = 3


class RunWriter:
  """Writes tensors, named as Hugging Face does, as the `params` of a run.

  A chunk of a stored array is a block of one layer's rows, in the tensor's own
  byte order: the transposition from [out, in] to [in, out] is left to whoever
  reads a part of the array, and writing is a copy of bytes.
  """

  def __init__(
    self,
    path: pathlib.Path,
    config: LlamaConfig,
    specs: Mapping[str, TensorSpec],
    *,
    step: int = 0,
  ):
    """Makes the arrays.

    Args:
      path: The run's folder, existing.
      config: The model's shape; written as `model.json`.
      specs: The tensors, in the order in which they will be written.
      step: The checkpoint's number.

    Raises:
      TensorError: The layers of one parameter differ in dtype.
    """
    self._locations = hf_names.locations(config)
    self._in_flight: collections.deque[Any] = collections.deque()
    self._specs = specs
    self._pending = {name: spec.shape[0] for name, spec in specs.items()}
    weights.save_config(path, config)
    item = path / weights.CHECKPOINT_DIR / str(step) / weights.PARAMS_ITEM
    item.mkdir(parents=True)
    self._stores: dict[tuple[str, ...], Any] = {}
    self._chunks: dict[tuple[str, ...], list[int]] = {}
    for name, spec in specs.items():
      self._create(item, name, spec, config.num_layers)
    self._item = item

  def append(self, name: str, rows: np.ndarray) -> None:
    """Writes the next rows of a tensor.

    Raises:
      TensorError: More rows than the tensor has, or of another shape or dtype.
    """
    spec = self._specs[name]
    start = spec.shape[0] - self._pending[name]
    stop = start + rows.shape[0]
    if (
      stop > spec.shape[0]
      or rows.shape[1:] != spec.shape[1:]
      or str(rows.dtype) != spec.dtype
    ):
      raise TensorError(
        f"rows of shape {list(rows.shape)} and dtype {rows.dtype} are not the"
        f" next of tensor {name!r}, {spec}."
      )
    path, layer, transposed = self._locations[name]
    store = self._stores[path]
    if layer is not None:
      store = store[layer]
    part = store[:, start:stop] if transposed else store[start:stop]
    self._in_flight.append(part.write(rows.T if transposed else rows))
    self._pending[name] -= rows.shape[0]
    while len(self._in_flight) > _MAX_IN_FLIGHT:
      self._in_flight.popleft().result()

  def close(self) -> None:
    """Writes the metadata that make the arrays a checkpoint.

    Raises:
      TensorError: A tensor was not written to its end.
    """
    while self._in_flight:
      self._in_flight.popleft().result()
    unfinished = [name for name, rows in self._pending.items() if rows]
    if unfinished:
      raise TensorError(
        f"{self._item}: tensor {unfinished[0]!r} was not written to its end"
        f" ({len(unfinished)} such)."
      )
    tree = {
      str(path): {
        "key_metadata": [{"key": key, "key_type": 2} for key in path],
        "value_metadata": {
          "value_type": "jax.Array",
          "skip_deserialize": False,
          "write_shape": self._chunks[path],
        },
      }
      for path in self._stores
    }
    metadata = {
      "tree_metadata": tree,
      "use_ocdbt": False,
      "use_zarr3": False,
      zarr_arrays.EVERY_CHUNK: True,
      "custom_metadata": None,
    }
    (self._item / zarr_arrays.METADATA).write_text(json.dumps(metadata))

  def abandon(self) -> None:
    """Waits for what is being written; without metadata it is no checkpoint."""
    while self._in_flight:
      self._in_flight.popleft().exception()

  def _create(
    self, item: pathlib.Path, name: str, spec: TensorSpec, num_layers: int
  ) -> None:
    import tensorstore

    path, layer, transposed = self._locations[name]
    if path in self._stores:
      if self._stores[path].dtype.name != spec.dtype:
        raise TensorError(
          f"tensor {name!r} is {spec.dtype}, and the same of an earlier layer"
          f" {self._stores[path].dtype.name}: layers are stacked, so choose one"
          " dtype for all (--dtype)."
        )
      return
    chunk = [tensors.block_rows(spec), *spec.shape[1:]]
    shape = list(spec.shape)
    if transposed:
      chunk, shape = chunk[::-1], shape[::-1]
    if layer is not None:
      chunk, shape = [1, *chunk], [num_layers, *shape]
    self._chunks[path] = chunk
    self._stores[path] = tensorstore.open(
      {
        "driver": "zarr",
        "kvstore": {"driver": "file", "path": f"{item / '.'.join(path)}/"},
        # Orbax takes a chunk that is not there for damage, also one of zeros.
        "store_data_equal_to_fill_value": True,
        "metadata": {
          "shape": shape,
          "chunks": chunk,
          "dtype": zarr_arrays.DTYPES[spec.dtype],
          # F: first axis fastest, so a chunk [1, in, rows] is rows of `in`.
          "order": "F" if transposed else "C",
          "compressor": None,
        },
      },
      create=True,
      context=zarr_arrays.context(),
    ).result()
