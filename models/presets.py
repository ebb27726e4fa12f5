# SPDX-License-Identifier: Apache-2.0
"""Shapes of every released Llama, and tiny ones for trying things out.

Facts as published with the weights (`params.json`, `config.json`): Llama
(arXiv 2302.13971), Llama 2 (arXiv 2307.09288), Llama 3 (arXiv 2407.21783) and
the Llama 3.2 and 3.3 model cards.
"""

import dataclasses
from typing import Any

from ramjax.models import config as config_lib
from ramjax.models.config import LlamaConfig, RopeScaling

_LLAMA1 = dict(vocab_size=32_000, head_dim=128, max_positions=2048)
_LLAMA2 = dict(vocab_size=32_000, head_dim=128, max_positions=4096)
_LLAMA3 = dict(
  vocab_size=128_256,
  num_kv_heads=8,
  head_dim=128,
  rope_theta=500_000.0,
  max_positions=8192,
)
_LLAMA3_1 = dict(
  _LLAMA3,
  rope_scaling=RopeScaling(kind="llama3", factor=8.0),
  max_positions=131_072,
)
# 3.2 stretches by 32, not by 8 as 3.1 and 3.3 do, and ties its embeddings.
_LLAMA3_2 = dict(
  _LLAMA3,
  rope_scaling=RopeScaling(kind="llama3", factor=32.0),
  max_positions=131_072,
  tie_embeddings=True,
)


def _shape(
  base: dict[str, Any],
  layers: int,
  width: int,
  mlp_width: int,
  heads: int,
  **rest: Any,
) -> LlamaConfig:
  fields = dict(
    base,
    num_layers=layers,
    width=width,
    mlp_width=mlp_width,
    num_heads=heads,
  )
  fields.update(rest)
  fields.setdefault("num_kv_heads", heads)
  return LlamaConfig(**fields)


PRESETS: dict[str, LlamaConfig] = {
  "llama1_7b": _shape(_LLAMA1, 32, 4096, 11_008, 32, norm_eps=1e-6),
  "llama1_13b": _shape(_LLAMA1, 40, 5120, 13_824, 40, norm_eps=1e-6),
  "llama1_33b": _shape(_LLAMA1, 60, 6656, 17_920, 52, norm_eps=1e-6),
  "llama1_65b": _shape(_LLAMA1, 80, 8192, 22_016, 64, norm_eps=1e-5),
  "llama2_7b": _shape(_LLAMA2, 32, 4096, 11_008, 32),
  "llama2_13b": _shape(_LLAMA2, 40, 5120, 13_824, 40),
  "llama2_70b": _shape(_LLAMA2, 80, 8192, 28_672, 64, num_kv_heads=8),
  "llama3_8b": _shape(_LLAMA3, 32, 4096, 14_336, 32),
  "llama3_70b": _shape(_LLAMA3, 80, 8192, 28_672, 64),
  "llama3_1_8b": _shape(_LLAMA3_1, 32, 4096, 14_336, 32),
  "llama3_1_70b": _shape(_LLAMA3_1, 80, 8192, 28_672, 64),
  "llama3_1_405b": _shape(_LLAMA3_1, 126, 16_384, 53_248, 128),
  "llama3_2_1b": _shape(_LLAMA3_2, 16, 2048, 8192, 32, head_dim=64),
  "llama3_2_3b": _shape(_LLAMA3_2, 28, 3072, 8192, 24),
  "llama3_3_70b": _shape(_LLAMA3_1, 80, 8192, 28_672, 64),
  # For laptops and tests: minutes on a CPU, not a released model.
  "tiny": LlamaConfig(
    vocab_size=1024,
    width=128,
    mlp_width=384,
    num_layers=4,
    num_heads=4,
    num_kv_heads=2,
    head_dim=32,
    tie_embeddings=True,
  ),
  "small": LlamaConfig(
    vocab_size=8192,
    width=512,
    mlp_width=1408,
    num_layers=8,
    num_heads=8,
    num_kv_heads=4,
    head_dim=64,
    tie_embeddings=True,
  ),
}


def llama_config(preset: str, **overrides: Any) -> LlamaConfig:
  """The preset named `preset` with the fields in `overrides` replaced.

  Args:
    preset: A name in `PRESETS`.
    **overrides: Fields of `LlamaConfig`; None keeps the preset's value.
      `rope_scaling` may be a mapping of `RopeScaling`'s fields.

  Returns:
    The checked config.

  Raises:
    ValueError: Unknown preset or a value outside its range.
    TypeError: A field `LlamaConfig` does not have.
  """
  if preset not in PRESETS:
    raise ValueError(
      f"model preset {preset!r} is not one of {', '.join(PRESETS)}."
    )
  given = {k: v for k, v in overrides.items() if v is not None}
  scaling = given.get("rope_scaling")
  if scaling is not None and not isinstance(scaling, RopeScaling):
    given["rope_scaling"] = config_lib.RopeScaling(**scaling)
  return dataclasses.replace(PRESETS[preset], **given)
