# SPDX-License-Identifier: Apache-2.0
"""A Llama of any size whose weights are random bits, made as they are read."""

import dataclasses

import ml_dtypes  # noqa: F401 - teaches NumPy the name "bfloat16".
import numpy as np

from ramjax.models import hf_names, tensors
from ramjax.models.config import LlamaConfig

# Per 8 bytes, all but the highest bit of each value's exponent: without it no
# value is NaN or infinite, and none is 2 or more.
_FINITE = {
  "bfloat16": 0xBFFF_BFFF_BFFF_BFFF,
  "float16": 0xBFFF_BFFF_BFFF_BFFF,
  "float32": 0xBFFF_FFFF_BFFF_FFFF,
}
_LARGE = LlamaConfig(
  vocab_size=8192,
  width=2048,
  mlp_width=8192,
  num_layers=1,
  num_heads=32,
  num_kv_heads=8,
  head_dim=64,
)
_SMALL = dataclasses.replace(
  _LARGE,
  vocab_size=1024,
  width=256,
  mlp_width=1024,
  num_heads=4,
  num_kv_heads=1,
)
_LARGE_BYTES = 10**9


def sized_config(num_bytes: int, dtype: str) -> LlamaConfig:
  """A Llama of about so many bytes: as many layers as they take.

  From 1 GB on its matrices are those of Llama-3.2-1B, 34 MB in bfloat16.
  """
  shape = _LARGE if num_bytes >= _LARGE_BYTES else _SMALL
  one, two = (
    dataclasses.replace(shape, num_layers=n).num_parameters for n in (1, 2)
  )
  parameters = num_bytes / np.dtype(dtype).itemsize
  layers = max(1, round(1 + (parameters - one) / (two - one)))
  return dataclasses.replace(shape, num_layers=layers)


def stacked_bytes(config: LlamaConfig, dtype: str) -> int:
  """Bytes of the largest parameter, whose layers are stacked."""
  matrix = config.width * config.mlp_width * np.dtype(dtype).itemsize
  return config.num_layers * matrix


class RandomModel:
  """A source whose values depend on nothing but their place."""

  def __init__(self, config: LlamaConfig, dtype: str):
    self.config = config
    self.specs = hf_names.hf_specs(config, dtype)
    self._seeds = {name: seed for seed, name in enumerate(self.specs)}

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of a tensor, the same each time."""
    spec = self.specs[name]
    row_bytes = tensors.num_bytes(spec) // spec.shape[0]
    first, last = start * row_bytes, stop * row_bytes
    generator = np.random.PCG64(self._seeds[name]).advance(first // 8)
    words = generator.random_raw(-(-last // 8) - first // 8)
    words &= np.uint64(_FINITE[spec.dtype])
    values = words.view(np.uint8)[first % 8 :][: last - first].view(spec.dtype)
    return values.reshape(stop - start, *spec.shape[1:])
