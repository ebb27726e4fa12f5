# SPDX-License-Identifier: Apache-2.0
"""Parameters straight from a source onto a mesh.

Each process reads the rows and columns that its own devices hold, and casts
them on the way; a source that maps its files then touches no other bytes.
"""

from typing import Any

import jax
import numpy as np

from ramjax.models import hf_names, llama, lora, tensors
from ramjax.models.hf_names import Location
from ramjax.models.tensors import Source, TensorError

# Layer (None where a parameter is not stacked) -> name, and where it lies.
_ByLayer = dict[int | None, tuple[str, Location]]


def load_params(
  source: Source, mesh: jax.sharding.Mesh, *, dtype: str = "float32"
) -> Any:
  """The parameters of a source, laid out by the rules of `sharding`.

  Args:
    source: Of a model without adapters.
    mesh: Where they go.
    dtype: Of the result; float32 for masters, `config.dtype` for a model that
      is not trained.

  Returns:
    The nested dict that `llama.apply` takes.

  Raises:
    TensorError: A value that is not finite, or what the source raises.
  """
  shardings = llama.param_shardings(source.config, mesh)
  shapes = llama.base_shapes(source.config)
  tensors_of: dict[tuple[str, ...], _ByLayer] = {}
  for name, at in hf_names.locations(source.config).items():
    tensors_of.setdefault(at.path, {})[at.layer] = (name, at)
  params: dict[str, Any] = {}
  for path, by_layer in tensors_of.items():
    leaf = _leaf(
      source, by_layer, shapes[path], lora.leaf_at(shardings, path), dtype
    )
    lora.put_at(params, path, leaf)
  return params


def _leaf(
  source: Source,
  by_layer: _ByLayer,
  shape: tuple[int, ...],
  sharding: jax.sharding.Sharding,
  dtype: str,
) -> jax.Array:
  """One parameter; devices that hold the same part share one reading."""
  parts: dict[Any, np.ndarray] = {}

  def read(index: Any) -> np.ndarray:
    bounds = tuple(
      part.indices(size)[:2] for part, size in zip(index, shape, strict=True)
    )
    if bounds not in parts:
      parts[bounds] = _part(source, by_layer, bounds, dtype)
    return parts[bounds]

  return jax.make_array_from_callback(shape, sharding, read)


def _part(
  source: Source, by_layer: _ByLayer, bounds: Any, dtype: str
) -> np.ndarray:
  if None in by_layer:
    name, at = by_layer[None]
    return _rows(source, name, at, bounds).astype(np.dtype(dtype))
  (first, last), *rest = bounds
  part = np.empty(
    (last - first, *(stop - start for start, stop in rest)), np.dtype(dtype)
  )
  for layer in range(first, last):
    name, at = by_layer[layer]
    part[layer - first] = _rows(source, name, at, rest)
  return part


def _rows(source: Source, name: str, at: Location, bounds: Any) -> np.ndarray:
  """A rectangle of one tensor, in the axes of our parameter."""
  bounds = list(bounds)[::-1] if at.transposed else bounds
  (start, stop), *columns = bounds
  rows = source.rows(name, start, stop)
  if not tensors.is_finite(rows):
    raise TensorError(
      f"tensor {name!r} has NaN or infinite values in its rows {start} to"
      f" {stop - 1}: the weights are damaged."
    )
  if columns:
    ((left, right),) = columns
    rows = rows[:, left:right]
  return rows.T if at.transposed else rows
