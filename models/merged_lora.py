# SPDX-License-Identifier: Apache-2.0
"""A base with adapters merged into it, or taken out again, as a source.

Works on rows of the tensors [out, in]: a row of W + s A B needs that row of W,
one column of B and all of A; DoRA scales it by its own norm. So a merge streams
like any other conversion.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ramjax.models import hf_names, lora
from ramjax.models.config import COMPUTE_FIELDS, LlamaConfig
from ramjax.models.lora_config import LM_HEAD
from ramjax.models.tensors import Source, TensorError, TensorSpec

# Rows of one product.
_TILE = 256


class MergedLora:
  """The tensors of `base` with a run's adapters worked into them.

  Attributes:
    config: Of the base: a model without adapters. A score head that was
      trained on a language model takes the place of its LM head.
    specs: Of the tensors of such a model.
    base: The model that is adapted.
    params: The trained leaves.
    step: Of the checkpoint that the adapters are from, if it is one.
  """

  config: LlamaConfig
  specs: Mapping[str, TensorSpec]
  base: Source
  params: Mapping[str, Any]
  step: int | None

  def __init__(
    self,
    base: Source,
    config: LlamaConfig,
    params: Mapping[str, Any],
    *,
    unmerge: bool = False,
    dtype: str | None = None,
    step: int | None = None,
  ):
    """Matches adapters and base.

    Args:
      base: The model that the adapters were trained on; with `unmerge`, the
        merged one.
      config: Of the adapted model, with `lora`.
      params: Trained leaves as float32 NumPy arrays, in a nested dict.
      unmerge: Take the adapters out instead. The base comes back up to
        rounding.
      dtype: Of the result; None is each tensor's own in `base`.
      step: Of the checkpoint that the adapters are from, to be told.

    Raises:
      ValueError: Another base, or `unmerge` with DoRA or a trained score head,
        whose base cannot be computed back.
    """
    assert config.lora is not None
    plain = dataclasses.replace(config, lora=None, quantization="none")
    _refuse_other_base(base.config, plain, params)
    if unmerge and (config.lora.dora or "score" in params):
      raise ValueError(
        "DoRA's magnitudes and a trained score head replace numbers of the"
        " base, so they cannot be taken out again: keep the base."
      )
    self.base = base
    self._lora = config.lora
    self.params = params
    self._sign = -1.0 if unmerge else 1.0
    self._locations = hf_names.locations(plain)
    self.config = dataclasses.replace(
      base.config,
      num_labels=config.num_labels,
      max_positions=config.max_positions,
    )
    self.specs = _specs(base, self.config, dtype)
    self.step = step

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of a tensor; computed in float32, rounded once to its dtype."""
    at, dtype = self._locations[name], np.dtype(self.specs[name].dtype)
    if at.path[0] == "score" and "score" in self.params:
      wide = self.params["score"]["kernel"].T[start:stop]
    else:
      found = self._adapter(at)
      if found is None:
        wide = self.base.rows(name, start, stop)
      else:
        wide = self._changed(name, *found, start, stop)
    # An overflow becomes infinite, which `tensors.copy` refuses.
    with np.errstate(over="ignore"):
      return wide.astype(dtype, copy=False)

  def _changed(
    self,
    name: str,
    adapter: dict[str, np.ndarray],
    scale: float,
    start: int,
    stop: int,
  ) -> np.ndarray:
    """Rows of one tensor with its adapter worked in, in float32.

    The last bits of a product depend on its shape, so it is made of tiles that
    do not depend on which rows are asked for: a tensor has one digest.
    """
    low = start - start % _TILE
    high = min(stop + -stop % _TILE, self.specs[name].shape[0])
    rows = self.base.rows(name, low, high)
    tiles = [
      self._changed_tile(
        rows[first - low : first - low + _TILE],
        adapter,
        scale,
        first,
        min(first + _TILE, high),
      )
      for first in range(low, high, _TILE)
    ]
    return np.concatenate(tiles)[start - low : stop - low]

  def _changed_tile(
    self,
    rows: np.ndarray,
    adapter: dict[str, np.ndarray],
    scale: float,
    start: int,
    stop: int,
  ) -> np.ndarray:
    columns = adapter["lora_b"][:, start:stop]
    wide = rows.astype(np.float32)
    wide = wide + np.float32(self._sign * scale) * (
      columns.T @ adapter["lora_a"].T
    )
    if "magnitude" in adapter:
      norms = np.linalg.norm(wide, axis=1)
      # A row of zeros stays one, as in `lora.merged_kernel`.
      norms = np.where(norms > 0, norms, 1)
      wide *= (adapter["magnitude"][start:stop] / norms)[:, None]
    return wide

  def close(self) -> None:
    """Closes the base, if it can be closed."""
    if close := getattr(self.base, "close", None):
      close()

  def _adapter(
    self, at: hf_names.Location
  ) -> tuple[dict[str, np.ndarray], float] | None:
    """The adapter of one tensor, and its scale; None if it has none."""
    name = LM_HEAD if at.path[0] == LM_HEAD else "/".join(at.path[1:-1])
    module = self._lora.module(name) if at.path[-1] == "kernel" else None
    if module is None:
      return None
    scale = self._lora.scales(name)[at.layer or 0]
    if not scale:
      return None
    leaves = lora.leaf_at(dict(self.params), at.path[:-1])
    leaves = {
      leaf: leaves[leaf] for leaf in lora.ADAPTER_LEAVES if leaf in leaves
    }
    if at.layer is not None:
      leaves = {leaf: array[at.layer] for leaf, array in leaves.items()}
    return leaves, scale


def _specs(
  base: Source, config: LlamaConfig, dtype: str | None
) -> dict[str, TensorSpec]:
  """The tensors of the result; a new score head is like the embedding."""
  like = base.specs["model.embed_tokens.weight"].dtype
  return {
    name: TensorSpec(
      shape, dtype or (base.specs[name].dtype if name in base.specs else like)
    )
    for name, shape in hf_names.hf_shapes(config).items()
  }


def _refuse_other_base(
  base: LlamaConfig, adapted: LlamaConfig, params: Mapping[str, Any]
) -> None:
  """The shapes must agree; a trained score head may be new."""
  same = (*COMPUTE_FIELDS, "max_positions", "num_labels")
  held, wanted = dataclasses.asdict(base), dataclasses.asdict(adapted)
  wrong = [n for n in held if n not in same and held[n] != wanted[n]]
  # A language model may become a classifier whose head is among the adapters.
  if base.num_labels != adapted.num_labels and (
    base.num_labels or "score" not in params
  ):
    wrong.append("num_labels")
  if wrong:
    raise TensorError(
      f"the base has {wrong[0]}={held[wrong[0]]!r}, and the adapters were made"
      f" for {wanted[wrong[0]]!r}: this is another model."
    )
