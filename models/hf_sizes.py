# SPDX-License-Identifier: Apache-2.0
"""The sizes of a model as a Hugging Face config states them."""

import pathlib
from collections.abc import Mapping
from typing import Any

from ramjax.models import json_fields

# Our field -> theirs.
NAMES = {
  "vocab_size": "vocab_size",
  "width": "hidden_size",
  "mlp_width": "intermediate_size",
  "num_layers": "num_hidden_layers",
  "num_heads": "num_attention_heads",
}
# Well above any Llama (405B: 126 layers, width 16,384, 128,256 tokens), so
# that a hostile file cannot make us count to a billion.
MAX_SIZE, _MAX_LAYERS = 2**22, 2**12
_MAX_POSITIONS = 2**31 - 1  # Positions are int32.

# What an absent `max_position_embeddings` means.
_POSITIONS = {"llama": 2048, "mistral": 131_072, "qwen2": 32_768}


def read(
  raw: Mapping[str, Any], family: str, path: pathlib.Path
) -> dict[str, int]:
  """The whole numbers of a `LlamaConfig`, each in its range.

  Args:
    raw: The fields of `config.json`.
    family: "llama", "mistral" or "qwen2": they differ in what is left out.
    path: The file, for messages.

  Raises:
    ValueError: A size that is missing, no whole number, or out of its range.
  """

  def size(name: str, limit: int = MAX_SIZE) -> int:
    value = json_fields.integer(raw, name, path)
    if not 1 <= value <= limit:
      raise ValueError(
        f"{path}: {name}={json_fields.shown(value)} must be from 1 to {limit}."
      )
    return value

  sizes = {
    ours: size(theirs, _MAX_LAYERS if ours == "num_layers" else MAX_SIZE)
    for ours, theirs in NAMES.items()
  }
  width, heads = sizes["width"], sizes["num_heads"]
  if family == "llama" and raw.get("num_key_value_heads") is None:
    # Files older than grouped-query attention.
    sizes["num_kv_heads"] = heads
  else:
    sizes["num_kv_heads"] = size("num_key_value_heads")
  if heads % sizes["num_kv_heads"]:
    raise ValueError(
      f"{path}: num_attention_heads={heads} is no multiple of"
      f" num_key_value_heads={sizes['num_kv_heads']}."
    )
  if raw.get("head_dim") is not None:
    sizes["head_dim"] = size("head_dim")
  elif width % heads == 0:
    sizes["head_dim"] = width // heads
  else:
    raise ValueError(
      f"{path}: hidden_size={width} is no multiple of"
      f" num_attention_heads={heads}, and head_dim is missing."
    )
  sizes["max_positions"] = _POSITIONS[family]
  if raw.get("max_position_embeddings") is not None:
    sizes["max_positions"] = size("max_position_embeddings", _MAX_POSITIONS)
  return sizes
