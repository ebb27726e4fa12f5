# SPDX-License-Identifier: Apache-2.0
"""Model folders of a few thousand parameters, with a tokenizer, for tests."""

import pathlib

import ml_dtypes  # noqa: F401 - teaches NumPy the name "bfloat16".
import numpy as np

from ramjax.data import train_tokenizer
from ramjax.models import hf_names, tensors
from ramjax.models.config import LlamaConfig
from ramjax.models.hf_writer import HFWriter
from ramjax.models.run_writer import RunWriter

CONFIG = LlamaConfig(
  vocab_size=320,
  width=64,
  mlp_width=64,
  num_layers=2,
  num_heads=4,
  num_kv_heads=2,
  head_dim=16,
  max_positions=64,
)
# How folders answer in tests: rows and tokens alike, so that the programs of one
# serve all. Of an even number of prompts no chunk is of one row.
ANSWERING = (
  "--model-template=plain",
  "--model-max-tokens=4",
  "--model-slots=2",
)


class RandomModel:
  """A source of random weights, the same for the same seed."""

  def __init__(self, config: LlamaConfig, *, dtype: str, seed: int):
    self.config = config
    self.specs = hf_names.hf_specs(config, dtype)
    rng = np.random.default_rng(seed)
    self.arrays = {
      name: (0.1 * rng.standard_normal(spec.shape)).astype(np.dtype(dtype))
      for name, spec in self.specs.items()
    }

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    return self.arrays[name][start:stop]


def write(
  folder: pathlib.Path,
  config: LlamaConfig = CONFIG,
  *,
  dtype: str = "float32",
  seed: int = 0,
  as_run: bool = False,
) -> RandomModel:
  """Writes a Hugging Face folder (or a run's) and returns what is in it."""
  folder.mkdir(parents=True)
  model = RandomModel(config, dtype=dtype, seed=seed)
  make = RunWriter if as_run else HFWriter
  tensors.copy(model, make(folder, config, model.specs))
  texts = [f"word {i} and {i * 7 % 97}, then more of it" for i in range(200)]
  train_tokenizer.train_sentencepiece(
    texts, path=folder / "tokenizer.model", vocab_size=300
  )
  return model
