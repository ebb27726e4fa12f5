# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face model folder as a source of tensors, checked on opening."""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ramjax.models import hf_config, hf_names, tensors, weights
from ramjax.models.config import LlamaConfig
from ramjax.models.hf_shards import ShardReader
from ramjax.models.tensors import TensorError, TensorSpec

# What tells a folder of differences (`delta_folder`) from one of weights.
DELTA_FILE = "delta.json"
FLOAT_DTYPES = ("float32", "bfloat16", "float16")

# A table that old releases saved with every layer; it follows from the config.
_ROTARY_TABLE = re.compile(
  r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq"
)
_EMBEDDING, _LM_HEAD = "model.embed_tokens.weight", "lm_head.weight"


class HFFolder:
  """The tensors of a Hugging Face folder, read where they lie.

  Attributes:
    path: The folder.
    config: The model's shape.
    raw_config: The fields of its `config.json`.
    specs: Every tensor in the order of the layers.
  """

  path: pathlib.Path
  config: LlamaConfig
  raw_config: Mapping[str, Any]
  specs: Mapping[str, TensorSpec]

  def __init__(self, path: str | pathlib.Path):
    """Opens the folder, and checks every name, shape and dtype in it.

    Args:
      path: A folder with `config.json` and safetensors files.

    Raises:
      FileNotFoundError: A file is missing.
      ValueError: Something is not supported, or, as a TensorError, the tensors
        are not those of the config.
    """
    self.path = pathlib.Path(path)
    if (self.path / weights.MODEL_FILE).exists():
      raise ValueError(
        f"{self.path} is a run's folder, not one of Hugging Face: name it in"
        " init.from_run, or give it to `ramjax convert to-hf`."
      )
    if (self.path / DELTA_FILE).exists():
      raise ValueError(
        f"{self.path} holds differences to a base, not a model: `ramjax convert"
        f" delta apply BASE {self.path} DST` makes the model."
      )
    self.raw_config = hf_config.read(self.path)
    self.config = hf_config.from_hf(
      self.raw_config, path=self.path / hf_config.FILE_NAME
    )
    self._shards = ShardReader(self.path)
    try:
      self.specs = self._checked_specs()
    except BaseException:
      self._shards.close()
      raise

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of a tensor: a read-only view of the mapped file."""
    return self._shards.rows(name, start, stop)

  def close(self) -> None:
    """Closes the files."""
    self._shards.close()

  def _checked_specs(self) -> dict[str, TensorSpec]:
    held = {
      name: spec
      for name, spec in self._shards.tensors.items()
      if not _ROTARY_TABLE.fullmatch(name)
    }
    shapes = hf_names.hf_shapes(self.config)
    # A head saved although it is tied.
    tied = None
    if self.config.tie_embeddings and not self.config.num_labels:
      tied = held.pop(_LM_HEAD, None)
    missing = [name for name in shapes if name not in held]
    if missing:
      raise TensorError(
        f"{self.path}: tensor {missing[0]!r} is missing"
        + (f", and {len(missing) - 1} more" if len(missing) > 1 else "")
        + ": config.json describes a model that has it."
      )
    unexpected = [name for name in held if name not in shapes]
    if unexpected:
      raise TensorError(
        f"{self.path}: tensor {unexpected[0]!r} is not part of the model that"
        f" config.json describes ({len(unexpected)} such)."
      )
    for name, shape in shapes.items():
      spec = held[name]
      if spec.shape != shape:
        raise TensorError(
          f"{self.path}: tensor {name!r} has shape {list(spec.shape)}, and"
          f" config.json makes it {list(shape)}."
        )
      if spec.dtype not in FLOAT_DTYPES:
        raise TensorError(
          f"{self.path}: tensor {name!r} is {spec.dtype}; weights must be one"
          f" of {', '.join(FLOAT_DTYPES)}. A quantised model has to be"
          " dequantised by the library that made it."
        )
    if tied is not None and not self._is_embedding(tied):
      raise TensorError(
        f"{self.path}: config.json has tie_word_embeddings=true, but"
        f" {_LM_HEAD!r} is there and is not {_EMBEDDING!r}."
      )
    return {name: held[name] for name in shapes}

  def _is_embedding(self, head: TensorSpec) -> bool:
    """Whether the LM head is the embedding, to the byte."""
    return head == self._shards.tensors[_EMBEDDING] and all(
      self.rows(_LM_HEAD, start, stop).tobytes()
      == self.rows(_EMBEDDING, start, stop).tobytes()
      for start, stop in tensors.blocks(head)
    )
