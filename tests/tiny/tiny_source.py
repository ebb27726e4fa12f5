# SPDX-License-Identifier: Apache-2.0
"""Tiny models in memory and on disk, for all tests of conversions.

Not a test module: the `conftest.py` of tests/models hands it over as `tiny`.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_dtypes  # noqa: F401 - teaches NumPy the name "bfloat16".
import numpy as np
from safetensors import numpy as safetensors_numpy

from ramjax.models import hf_config
from ramjax.models.config import LlamaConfig
from ramjax.models.tensors import TensorSpec

DTYPES = ("float32", "bfloat16", "float16")


class ArraySource:
  """A source of arrays in memory, which counts what is read of it.

  Attributes:
    config: The model's shape.
    specs: Of the arrays.
    reads: (name, start, stop) of each call of `rows`.
    num_bytes_read: Of all calls.
    fail_after: Calls that succeed; the next one raises `OSError`.
  """

  def __init__(
    self,
    config: LlamaConfig,
    arrays: Mapping[str, np.ndarray],
    fail_after: int | None = None,
  ):
    self.config = config
    self.arrays = dict(arrays)
    self.specs = {
      name: TensorSpec(x.shape, str(x.dtype)) for name, x in arrays.items()
    }
    self.fail_after = fail_after
    self.reads: list[tuple[str, int, int]] = []
    self.num_bytes_read = 0

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of an array; a view."""
    if self.fail_after is not None and len(self.reads) >= self.fail_after:
      raise OSError("the disk went away")
    self.reads.append((name, start, stop))
    rows = self.arrays[name][start:stop]
    self.num_bytes_read += rows.nbytes
    return rows


def cousins(case: LlamaConfig) -> dict[str, LlamaConfig]:
  """Models of the other families, and those with a score head.

  Args:
    case: The model they differ from.
  """
  mistral = dataclasses.replace(case, sliding_window=4)
  qwen2 = dataclasses.replace(case, qkv_bias=True, tie_embeddings=True)
  return {
    "mistral": mistral,
    "qwen2": qwen2,
    "qwen2_untied": dataclasses.replace(qwen2, tie_embeddings=False),
    "llama_reward": dataclasses.replace(case, num_labels=1),
    "llama_3_labels": dataclasses.replace(case, num_labels=3),
    "mistral_reward": dataclasses.replace(mistral, num_labels=1),
    "mistral_3_labels": dataclasses.replace(mistral, num_labels=3),
    "qwen2_reward": dataclasses.replace(qwen2, num_labels=1),
    "qwen2_3_labels": dataclasses.replace(qwen2, num_labels=3),
  }


def completed(
  state: Mapping[str, np.ndarray], config: LlamaConfig, seed: int
) -> dict[str, np.ndarray]:
  """Adds biases and a score head to the weights of a plain Llama.

  Args:
    state: Weights in Hugging Face names.
    config: What they have to become; biases are of the size of the
      projections that they are added to.
    seed: Of the random values.
  """
  rng = np.random.default_rng([seed, 7])
  state = dict(state)
  if config.qkv_bias:
    heads = {"q": config.num_heads, "k": config.num_kv_heads}
    heads["v"] = heads["k"]
    for layer in range(config.num_layers):
      for name, count in heads.items():
        bias = rng.standard_normal(count * config.head_dim)
        full = f"model.layers.{layer}.self_attn.{name}_proj.bias"
        state[full] = bias.astype(np.float32)
  if config.num_labels:
    state.pop("lm_head.weight", None)
    shape = (config.num_labels, config.width)
    score = rng.standard_normal(shape) * config.width**-0.5
    state["score.weight"] = score.astype(np.float32)
  return state


def in_order(
  state: Mapping[str, np.ndarray], names: Any, dtype: str = "float32"
) -> dict[str, np.ndarray]:
  """The same weights in the order of `names`, in a dtype."""
  assert set(state) == set(names)
  return {name: state[name].astype(np.dtype(dtype)) for name in names}


def write_hf(
  folder: pathlib.Path,
  config: LlamaConfig,
  state: Mapping[str, np.ndarray],
  **fields: Any,
) -> pathlib.Path:
  """A Hugging Face folder, its tensors written by the safetensors library.

  Args:
    folder: Made if missing.
    config: Of the model.
    state: Its weights, or what a test puts in their place.
    **fields: Of `config.json`, besides those of the config.
  """
  folder.mkdir(parents=True, exist_ok=True)
  raw = hf_config.to_hf(config, dtype="float32") | fields
  (folder / "config.json").write_text(json.dumps(raw))
  safetensors_numpy.save_file(
    {name: np.array(x, order="C") for name, x in state.items()},
    folder / "model.safetensors",
    metadata={"format": "pt"},
  )
  return folder


def read_bytes(source: Any) -> dict[str, tuple[Any, bytes]]:
  """Spec and bytes of every tensor of a source."""
  return {
    name: (spec, source.rows(name, 0, spec.shape[0]).tobytes())
    for name, spec in source.specs.items()
  }
