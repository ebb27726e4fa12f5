# SPDX-License-Identifier: Apache-2.0
"""Writes a model as a Hugging Face folder, block by block."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ramjax.models import hf_config
from ramjax.models.config import LlamaConfig
from ramjax.models.hf_shards import ShardWriter
from ramjax.models.tensors import TensorSpec

# What transformers itself chooses since release 5.
SHARD_BYTES = 50 * 10**9


class HFWriter:
  """`config.json` and safetensors files of one model."""

  def __init__(
    self,
    path: pathlib.Path,
    config: LlamaConfig,
    specs: Mapping[str, TensorSpec],
    *,
    carried: Mapping[str, Any] | None = None,
    shard_bytes: int = SHARD_BYTES,
  ):
    """Plans the files.

    Args:
      path: An existing, empty folder.
      config: The model's shape.
      specs: The tensors, in the order in which they will be written.
      carried: Fields of the `config.json` the weights came with, or None.
      shard_bytes: Of one file, at most.

    Raises:
      ValueError: No architecture has this shape, or `shard_bytes` is too small.
    """
    dtypes = {spec.dtype for spec in specs.values()}
    # One name for the whole model; float32 holds every value of the others.
    dtype = dtypes.pop() if len(dtypes) == 1 else "float32"
    self._fields = hf_config.to_hf(config, dtype=dtype, carried=carried)
    self._path = path
    self._shards = ShardWriter(path, specs, shard_bytes=shard_bytes)

  def append(self, name: str, rows: np.ndarray) -> None:
    """Writes the next rows of a tensor, as `ShardWriter.append`."""
    self._shards.append(name, rows)

  def close(self) -> None:
    """Finishes the files; `config.json` comes last."""
    self._shards.close()
    text = json.dumps(self._fields, indent=2, sort_keys=True)
    (self._path / hf_config.FILE_NAME).write_text(text + "\n")

  def abandon(self) -> None:
    """Closes the files as they are: without `config.json`, no model."""
    self._shards.abandon()
