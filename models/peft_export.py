# SPDX-License-Identifier: Apache-2.0
"""Writes a run's adapters in PEFT's files, each layer in its own rank."""

import json
import pathlib

import numpy as np

from ramjax.models import lora, peft_config, peft_names, tensors
from ramjax.models.run_adapters import Adapters
from ramjax.models.safetensors_writer import SafetensorsWriter
from ramjax.models.tensors import TensorSpec


def write(directory: pathlib.Path, adapters: Adapters, base_name: str) -> int:
  """Writes the adapters of a run for PEFT, in float32.

  Args:
    directory: An existing folder.
    adapters: From `run_adapters.load`, or a `read` made into them.
    base_name: Folder or hub name of their base.

  Returns:
    Bytes of all tensors.
  """
  config = adapters.config
  assert config.lora is not None
  ranks, alphas, arrays = {}, {}, {}
  for name, (kind, layer) in peft_names.linear_modules(config).items():
    module = config.lora.module(kind)
    if module is None or not module.ranks[layer or 0]:
      continue
    rank = module.ranks[layer or 0]
    ranks[name], alphas[name] = rank, module.alphas[layer or 0]
    leaves = lora.leaf_at(adapters.params, lora.module_path(kind))
    if layer is not None:
      leaves = {leaf: array[layer] for leaf, array in leaves.items()}
    arrays[peft_names.PREFIX + name + peft_names.A] = leaves["lora_a"][
      :, :rank
    ].T
    arrays[peft_names.PREFIX + name + peft_names.B] = leaves["lora_b"][:rank].T
    if config.lora.dora:
      arrays[peft_names.PREFIX + name + peft_names.MAGNITUDE] = leaves[
        "magnitude"
      ]
  if config.num_labels:
    arrays[peft_names.PREFIX + "score.weight"] = adapters.params["score"][
      "kernel"
    ].T
  fields = peft_config.make(
    ranks,
    alphas,
    num_layers=config.num_layers,
    rslora=config.lora.rslora,
    dora=config.lora.dora,
    task=peft_config.SEQ_CLS if config.num_labels else peft_config.CAUSAL_LM,
    base_name=base_name,
  )
  specs = {n: TensorSpec(array.shape, "float32") for n, array in arrays.items()}
  with SafetensorsWriter(directory / peft_names.WEIGHTS_FILE, specs) as writer:
    for name, array in arrays.items():
      writer.append(name, array.astype(np.float32))
  text = json.dumps(fields, indent=2, sort_keys=True)
  (directory / peft_names.CONFIG_FILE).write_text(text + "\n")
  return sum(map(tensors.num_bytes, specs.values()))
