# SPDX-License-Identifier: Apache-2.0
"""A model with more or fewer tokens: another number of rows in embedding and head.

A new row is the mean of the kept ones. A row of zeros has the logit 0, which
may well be the largest of all; that of the mean row is the mean logit, so no
new token is more likely than others before it has been trained.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from ramjax.models import tensors
from ramjax.models.config import LlamaConfig
from ramjax.models.tensors import Source, TensorSpec

MEAN, ZEROS = "mean", "zeros"
INITS = (MEAN, ZEROS)

_TOKEN_TENSORS = ("model.embed_tokens.weight", "lm_head.weight")


class ResizedVocab:
  """A source whose embedding and untied head have another number of rows.

  Attributes:
    config: The model's shape, with the new `vocab_size`.
    specs: Every tensor in the order of the layers.
  """

  config: LlamaConfig
  specs: Mapping[str, TensorSpec]

  def __init__(
    self,
    source: Source,
    vocab_size: int,
    *,
    init: str = MEAN,
    num_kept: int | None = None,
  ):
    """Plans the rows; nothing is read yet.

    Args:
      source: A model without adapters.
      vocab_size: New number of rows.
      init: Of the new rows: "mean" of the kept ones, summed in float64 and
        rounded to the tensor's dtype; or "zeros".
      num_kept: Rows that stay as they are, to the byte; those from it on are
        new. None keeps all that there is room for.

    Raises:
      ValueError: A size below 1, another `init`, more rows to keep than there
        are, or a model with adapters.
    """
    config = source.config
    if config.lora is not None:
      raise ValueError(
        "the model has LoRA adapters beside its weights: merge them into the"
        " weights first (ramjax convert --help)."
      )
    if init not in INITS:
      raise ValueError(f"init={init!r} is not one of {', '.join(INITS)}.")
    most = min(config.vocab_size, vocab_size)
    num_kept = most if num_kept is None else num_kept
    if not 1 <= num_kept <= most:
      raise ValueError(
        f"num_kept={num_kept} with vocab_size={vocab_size} must be from 1 to"
        f" the rows there are before and after, {most}."
      )
    self.config = dataclasses.replace(config, vocab_size=vocab_size)
    self.specs = {
      name: spec._replace(shape=(vocab_size, *spec.shape[1:]))
      if name in _TOKEN_TENSORS
      else spec
      for name, spec in source.specs.items()
    }
    self._source = source
    self._init = init
    self._num_kept = num_kept
    self._new_rows: dict[str, np.ndarray] = {}

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of a tensor: the source's, then the new one as often as needed."""
    if name not in _TOKEN_TENSORS or stop <= self._num_kept:
      return self._source.rows(name, start, stop)
    row = self._new_row(name)
    if start >= self._num_kept:
      return np.broadcast_to(row, (stop - start, row.size))
    kept = self._source.rows(name, start, self._num_kept)
    new = np.broadcast_to(row, (stop - self._num_kept, row.size))
    return np.concatenate([kept, new])

  def _new_row(self, name: str) -> np.ndarray:
    if name not in self._new_rows:
      spec = self.specs[name]
      row = np.zeros(spec.shape[1], np.float64)
      if self._init == MEAN:
        kept = spec._replace(shape=(self._num_kept, spec.shape[1]))
        for start, stop in tensors.blocks(kept):
          rows = self._source.rows(name, start, stop)
          row += np.sum(rows, axis=0, dtype=np.float64)
        row /= self._num_kept
      self._new_rows[name] = row.astype(spec.dtype)
    return self._new_rows[name]
