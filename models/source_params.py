# SPDX-License-Identifier: Apache-2.0
"""Parameters straight from a source onto a mesh.

Each process reads the rows and columns that its own devices hold, and casts
them on the way; a source that maps its files then touches no other bytes.
"""

from collections.abc import Collection
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from ramjax.models import hf_names, llama, lora, tensors
from ramjax.models.hf_names import Location
from ramjax.models.tensors import Source, TensorError

# Layer (None where a parameter is not stacked) -> name, and where it lies.
_ByLayer = dict[int | None, tuple[str, Location]]


def load_params(
  source: Source,
  mesh: Mesh,
  *,
  dtype: str = "float32",
  allow_nonfinite: bool = False,
  without: Collection[str] = (),
) -> Any:
  """The parameters of a source, laid out by the rules of `sharding`.

  Args:
    source: Of a model without adapters.
    mesh: Where they go.
    dtype: Of the result; float32 for masters, `config.dtype` for a model that
      is not trained.
    allow_nonfinite: Let NaN and infinities pass.
    without: Top-level names that are left out, such as "lm_head".

  Returns:
    The nested dict that `llama.apply` takes.

  Raises:
    TensorError: A value that is not finite, or what the source raises.
  """
  loader = LeafLoader(
    source, mesh, allow_nonfinite=allow_nonfinite, without=without
  )
  params: dict[str, Any] = {}
  for path in loader.paths:
    lora.put_at(params, path, loader.load(path, dtype=dtype))
  return params


class LeafLoader:
  """Loads the parameters of one source onto one mesh, each by itself.

  Attributes:
    paths: Of every parameter that is loaded.
  """

  paths: list[tuple[str, ...]]

  def __init__(
    self,
    source: Source,
    mesh: Mesh,
    *,
    allow_nonfinite: bool = False,
    without: Collection[str] = (),
  ):
    self._source = source
    self._allow_nonfinite = allow_nonfinite
    self._shardings = llama.param_shardings(source.config, mesh)
    self._shapes = llama.base_shapes(source.config)
    self._by_layer: dict[tuple[str, ...], _ByLayer] = {}
    for name, at in hf_names.locations(source.config).items():
      self._by_layer.setdefault(at.path, {})[at.layer] = (name, at)
    self.paths = [path for path in self._by_layer if path[0] not in without]

  def load(
    self, path: tuple[str, ...], *, dtype: str, layer: int | None = None
  ) -> jax.Array:
    """One parameter; devices that hold the same part share one reading.

    Args:
      path: Of the parameter.
      dtype: Of the result.
      layer: Only this layer of a stacked parameter, as [1, ...].

    Raises:
      TensorError: A value that is not finite, or what the source raises.
    """
    by_layer, shape = self._by_layer[path], self._shapes[path]
    if layer is not None:
      by_layer = _ByLayer({0: by_layer[layer]})
      shape = (1, *shape[1:])
    parts: dict[Any, np.ndarray] = {}

    def read(index: Any) -> np.ndarray:
      bounds = tuple(
        part.indices(size)[:2] for part, size in zip(index, shape, strict=True)
      )
      if bounds not in parts:
        parts[bounds] = self._part(by_layer, bounds, dtype)
      return parts[bounds]

    sharding = lora.leaf_at(self._shardings, path)
    return jax.make_array_from_callback(shape, sharding, read)

  def _part(self, by_layer: _ByLayer, bounds: Any, dtype: str) -> np.ndarray:
    if None in by_layer:
      return self._rows(*by_layer[None], bounds).astype(np.dtype(dtype))
    (first, last), *rest = bounds
    part = np.empty(
      (last - first, *(stop - start for start, stop in rest)), np.dtype(dtype)
    )
    for layer in range(first, last):
      part[layer - first] = self._rows(*by_layer[layer], rest)
    return part

  def _rows(self, name: str, at: Location, bounds: Any) -> np.ndarray:
    """A rectangle of one tensor, in the axes of our parameter."""
    bounds = list(bounds)[::-1] if at.transposed else bounds
    (start, stop), *columns = bounds
    rows = self._source.rows(name, start, stop)
    if columns:
      ((left, right),) = columns
      rows = rows[:, left:right]
    if not self._allow_nonfinite and not tensors.is_finite(rows):
      raise TensorError(
        f"tensor {name!r} has NaN or infinite values in its rows {start} to"
        f" {stop - 1}: the weights are damaged."
      )
    return rows.T if at.transposed else rows
