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
from ramjax.models.config import LlamaConfig
from ramjax.models.lora_config import LM_HEAD
from ramjax.models.tensors import Source, TensorError, TensorSpec


class MergedLora:
  """The tensors of `base` with a run's adapters worked into them.

  Attributes:
    config: Of the base: a model without adapters.
    specs: Of the base.
  """

  config: LlamaConfig
  specs: Mapping[str, TensorSpec]

  def __init__(
    self,
    base: Source,
    config: LlamaConfig,
    params: Mapping[str, Any],
    *,
    unmerge: bool = False,
  ):
    """Matches adapters and base.

    Args:
      base: The model that the adapters were trained on; with `unmerge`, the
        merged one.
      config: Of the adapted model, with `lora`.
      params: Trained leaves as float32 NumPy arrays, in a nested dict.
      unmerge: Take the adapters out instead. The base comes back up to
        rounding.

    Raises:
      ValueError: Another base, or `unmerge` with DoRA or a trained score head,
        whose base cannot be computed back.
    """
    assert config.lora is not None
    plain = dataclasses.replace(config, lora=None, quantization="none")
    _refuse_other_base(base.config, plain)
    if unmerge and (config.lora.dora or "score" in params):
      raise ValueError(
        "DoRA's magnitudes and a trained score head replace numbers of the"
        " base, so they cannot be taken out again: keep the base."
      )
    self._base = base
    self._lora = config.lora
    self._params = params
    self._sign = -1.0 if unmerge else 1.0
    self._locations = hf_names.locations(plain)
    self.config = base.config
    self.specs = base.specs

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of a tensor; computed in float32, rounded once to its dtype."""
    at = self._locations[name]
    if at.path[0] == "score":
      trained = lora.leaf_at(dict(self._params), at.path).T
      return trained[start:stop].astype(np.dtype(self.specs[name].dtype))
    rows = self._base.rows(name, start, stop)
    found = self._adapter(at)
    if found is None:
      return rows
    adapter, scale = found
    columns = adapter["lora_b"][:, start:stop]
    wide = rows.astype(np.float32)
    wide = wide + np.float32(self._sign * scale) * (
      columns.T @ adapter["lora_a"].T
    )
    if "magnitude" in adapter:
      norms = np.linalg.norm(wide, axis=1)
      wide *= (adapter["magnitude"][start:stop] / norms)[:, None]
    return wide.astype(rows.dtype)

  def close(self) -> None:
    """Closes the base, if it can be closed."""
    if close := getattr(self._base, "close", None):
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
    leaves = lora.leaf_at(dict(self._params), at.path[:-1])
    leaves = {
      leaf: leaves[leaf] for leaf in lora.ADAPTER_LEAVES if leaf in leaves
    }
    if at.layer is not None:
      leaves = {leaf: array[at.layer] for leaf, array in leaves.items()}
    return leaves, scale


def _refuse_other_base(base: LlamaConfig, adapted: LlamaConfig) -> None:
  """The shapes must agree; a trained score head may be new."""
  same = ("dtype", "remat", "attention", "max_positions", "num_labels")
  held, wanted = dataclasses.asdict(base), dataclasses.asdict(adapted)
  wrong = [n for n in held if n not in same and held[n] != wanted[n]]
  if wrong:
    raise TensorError(
      f"the base has {wrong[0]}={held[wrong[0]]!r}, and the adapters were made"
      f" for {wanted[wrong[0]]!r}: this is another model."
    )
