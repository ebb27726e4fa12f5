# SPDX-License-Identifier: Apache-2.0
"""How PEFT names files, linear layers and the tensors of their adapters."""

import pathlib

from ramjax.models import hf_names
from ramjax.models.config import LlamaConfig
from ramjax.models.lora_config import LM_HEAD

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

# A tensor is PREFIX, the module's name and one of the suffixes.
PREFIX = "base_model.model."
A, B = ".lora_A.weight", ".lora_B.weight"
MAGNITUDE = ".lora_magnitude_vector"


def is_adapter(directory: pathlib.Path) -> bool:
  """Whether a folder holds an adapter in PEFT's files."""
  return (directory / CONFIG_FILE).is_file()


def linear_modules(config: LlamaConfig) -> dict[str, tuple[str, int | None]]:
  """PEFT's name of each linear layer -> its `LoraModule` name, and layer."""
  modules = {}
  for name, at in hf_names.locations(config).items():
    if at.path[-1] == "kernel" and at.path[0] != "score":
      kind = LM_HEAD if at.path[0] == LM_HEAD else "/".join(at.path[1:-1])
      modules[name.removesuffix(".weight")] = (kind, at.layer)
  return modules
