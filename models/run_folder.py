# SPDX-License-Identifier: Apache-2.0
"""The parameters of a run's folder as named tensors: read and written in blocks.

Orbax keeps each stacked parameter as one zarr array. Reading and writing its
layers one at a time, through tensorstore as Orbax does, needs the memory of a
block, where restoring the checkpoint would need that of the model.
"""

import collections
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ramjax.models import hf_names, strict_json, tensors, weights
from ramjax.models.config import LlamaConfig
from ramjax.models.tensors import TensorError, TensorSpec

_METADATA = "_METADATA"
# A field of those: whether chunks of zeros are stored, too.
_EVERY_CHUNK = "store_array_data_equal_to_fill_value"
# The largest tensor that is read whole where its chunks are not its rows (those
# that training wrote): a down projection of 70B in float32 has 0.94 GB.
_WHOLE_BYTES = 2**29
# Blocks being written at a time: the disk syncs one while others are copied.
_MAX_IN_FLIGHT = 3


class RunFolder:
  """The `params` (or `average`) of one checkpoint of a run.

  Attributes:
    path: The run's folder.
    step: Of the checkpoint.
    config: The model's shape.
    specs: Every tensor by its Hugging Face name.
  """

  path: pathlib.Path
  step: int
  config: LlamaConfig
  specs: Mapping[str, TensorSpec]

  def __init__(
    self,
    path: str | pathlib.Path,
    *,
    step: int | None = None,
    average: bool = False,
  ):
    """Opens a checkpoint.

    Args:
      path: A run's folder.
      step: Which checkpoint; None is the newest.
      average: Read the moving average of the weights.

    Raises:
      FileNotFoundError: No such folder or checkpoint.
      TensorError: The stored arrays are not those of the model's shape.
    """
    self.path = pathlib.Path(path)
    self.config = weights.load_config(self.path)
    self.step, item = weights.find_item(self.path, step=step, average=average)
    self._kept = ("", np.empty(0))
    self._stores = {
      leaf: _open_stored(item, leaf)
      for leaf in {at.path for at in hf_names.locations(self.config).values()}
    }
    self._locations = hf_names.locations(self.config)
    self.specs = self._checked_specs(item)

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of a tensor, read from the chunks that hold them."""
    spec = self.specs[name]
    if self._rows_are_chunks(name) or tensors.num_bytes(spec) > _WHOLE_BYTES:
      return self._read(name, start, stop)
    # Every block would decode every chunk: read them once and keep the tensor.
    if self._kept[0] != name:
      self._kept = ("", np.empty(0))
      self._kept = (name, self._read(name, 0, spec.shape[0]))
    return self._kept[1][start:stop]

  def _read(self, name: str, start: int, stop: int) -> np.ndarray:
    path, layer, transposed = self._locations[name]
    store = self._stores[path]
    if layer is not None:
      store = store[layer]
    rows = store[:, start:stop].transpose() if transposed else store[start:stop]
    return rows.read(order="C").result()

  def _rows_are_chunks(self, name: str) -> bool:
    """Whether a chunk holds whole rows, so that blocks share few of them."""
    path, _, transposed = self._locations[name]
    store = self._stores[path]
    if not transposed:
      return True  # An embedding is cut along its rows, if at all.
    return store.chunk_layout.read_chunk.shape[-2] == store.shape[-2]

  def close(self) -> None:
    """Lets go of the files."""
    self._stores = {}

  def _checked_specs(self, item: pathlib.Path) -> dict[str, TensorSpec]:
    specs = {}
    for name, shape in hf_names.hf_shapes(self.config).items():
      path, layer, transposed = self._locations[name]
      store = self._stores[path]
      stored = tuple(store.shape if layer is None else store.shape[1:])
      stored = stored[::-1] if transposed else stored
      layers = self.config.num_layers if layer is not None else None
      if stored != shape or (layers and store.shape[0] != layers):
        raise TensorError(
          f"{item}: parameter {'/'.join(path)} has shape {list(store.shape)},"
          f" which is not that of {weights.MODEL_FILE}."
        )
      if store.dtype.name not in _ZARR_DTYPES:
        raise TensorError(
          f"{item}: parameter {'/'.join(path)} is {store.dtype.name}; weights"
          f" must be one of {', '.join(_ZARR_DTYPES)}."
        )
      specs[name] = TensorSpec(shape, store.dtype.name)
    return specs


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
      _EVERY_CHUNK: True,
      "custom_metadata": None,
    }
    (self._item / _METADATA).write_text(json.dumps(metadata))

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
          "dtype": _ZARR_DTYPES[spec.dtype],
          # F: first axis fastest, so a chunk [1, in, rows] is rows of `in`.
          "order": "F" if transposed else "C",
          "compressor": None,
        },
      },
      create=True,
      context=_context(),
    ).result()


_ZARR_DTYPES = {"float32": "<f4", "float16": "<f2", "bfloat16": "bfloat16"}


def _context() -> Any:
  """No cache: a block is read once. No sync of each chunk: 2.3x as fast.

  Whoever makes a folder appear syncs it as a whole.
  """
  import tensorstore

  return tensorstore.Context(
    {"cache_pool": {"total_bytes_limit": 0}, "file_io_sync": False}
  )


def read_array(item: pathlib.Path, path: tuple[str, ...]) -> np.ndarray:
  """One whole, small parameter of a checkpoint's item, such as an adapter.

  Raises:
    TensorError: It is not there.
  """
  return _open_stored(item, path).read().result()


def _open_stored(item: pathlib.Path, path: tuple[str, ...]) -> Any:
  """One array of a checkpoint's item."""
  import tensorstore

  metadata = strict_json.parse_object(
    (item / _METADATA).read_bytes(), what=str(item / _METADATA)
  )
  name = ".".join(path)
  if metadata.get("use_ocdbt"):
    kvstore = {"driver": "ocdbt", "base": f"file://{item}/", "path": f"{name}/"}
  else:
    kvstore = {"driver": "file", "path": f"{item / name}/"}
  driver = "zarr3" if metadata.get("use_zarr3") else "zarr"
  try:
    return tensorstore.open(
      {
        "driver": driver,
        "kvstore": kvstore,
        # A chunk that was lost must not be read as zeros.
        "fill_missing_data_reads": not metadata.get(_EVERY_CHUNK, False),
      },
      open=True,
      read=True,
      context=_context(),
    ).result()
  except ValueError as error:
    raise TensorError(
      f"{item}: parameter {'/'.join(path)} cannot be read: {error}"
    ) from error
