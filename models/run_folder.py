# SPDX-License-Identifier: Apache-2.0
"""The parameters of a run's folder as named tensors, read in blocks.

What is read whole, by one process or by several, is compared with the digest that
was saved with it.
"""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from ramjax.models import hf_names, tensors, weights, zarr_arrays
from ramjax.models.checked_reads import CheckedReads, Part
from ramjax.models.config import LlamaConfig
from ramjax.models.tensors import TensorError, TensorSpec

# The largest tensor that is read whole where its chunks are not its rows (those
# that training wrote): a down projection of 70B in float32 has 0.94 GB.
_WHOLE_BYTES = 2**29


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
      TensorError: The stored arrays are not those of the model's shape, or the
        record of their digests is damaged.
    """
    self.path = pathlib.Path(path)
    self.config = weights.load_config(self.path)
    self.step, item = weights.find_item(self.path, step=step, average=average)
    self._kept = ("", np.empty(0))
    self._checked = CheckedReads(item)
    self._stores = {
      leaf: zarr_arrays.open_array(item, leaf)
      for leaf in {at.path for at in hf_names.locations(self.config).values()}
    }
    self._locations = hf_names.locations(self.config)
    self.specs = self._checked_specs(item)

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of a tensor, read from the chunks that hold them.

    Raises:
      TensorError: With these rows an array was read whole, and is not what was
        saved.
    """
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
    read = rows.read(order="C").result()
    self._checked.saw(
      path,
      read.T if transposed else read,
      layer=layer,
      start=start,
      axis=int(transposed),
    )
    return read

  def _rows_are_chunks(self, name: str) -> bool:
    """Whether a chunk holds whole rows, so that blocks share few of them."""
    path, _, transposed = self._locations[name]
    store = self._stores[path]
    if not transposed:
      return True  # An embedding is cut along its rows, if at all.
    return store.chunk_layout.read_chunk.shape[-2] == store.shape[-2]

  def parts_read(self) -> dict[str, Part]:
    """What was read of arrays that were read in part; see `CheckedReads.parts`."""
    return self._checked.parts()

  def compare(self, parts_of_all: Sequence[Mapping[str, Part]]) -> None:
    """Compares what several processes have read whole between them.

    Args:
      parts_of_all: `parts_read` of each; see `CheckedReads.compare`.

    Raises:
      TensorError: An array is not what was saved.
    """
    self._checked.compare(parts_of_all)

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
      if store.dtype.name not in zarr_arrays.DTYPES:
        raise TensorError(
          f"{item}: parameter {'/'.join(path)} is {store.dtype.name}; weights"
          f" must be one of {', '.join(zarr_arrays.DTYPES)}."
        )
      specs[name] = TensorSpec(shape, store.dtype.name)
    return specs
