# SPDX-License-Identifier: Apache-2.0
"""Small models with random adapters of every kind, for tests."""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np
import tiny_model_folder

from ramjax.models import (
  fingerprint,
  frozen_base,
  lora,
  partition,
  run_adapters,
  sharding,
  source_params,
  tensors,
)
from ramjax.models.config import LlamaConfig
from ramjax.models.hf_writer import HFWriter
from ramjax.models.lora_config import LAYER_MODULES, LoraConfig, LoraModule

# Every axis has its own size, so that a mixed-up pair of axes is an error.
CONFIG = LlamaConfig(
  vocab_size=72,
  width=32,
  mlp_width=48,
  num_layers=3,
  num_heads=4,
  num_kv_heads=2,
  head_dim=16,
  max_positions=64,
)
# Sizes that NF4 takes: multiples of 64.
WIDE = dataclasses.replace(CONFIG, width=64, mlp_width=128)


def _everywhere(rank: int, alpha: float, *names: str) -> tuple[LoraModule, ...]:
  return tuple(LoraModule(n, (rank,) * 3, (alpha,) * 3) for n in names)


# Kinds of adapters: by the update's scale, by magnitudes, by where they stand.
KINDS = {
  "lora": LoraConfig(_everywhere(4, 6.0, *LAYER_MODULES)),
  "rslora": LoraConfig(
    _everywhere(4, 6.0, "attention/query", "mlp/down"), rslora=True
  ),
  "dora": LoraConfig(_everywhere(4, 6.0, *LAYER_MODULES), dora=True),
  "ranks": LoraConfig(
    (
      LoraModule("attention/query", (2, 0, 4), (8.0, 0.0, 3.0)),
      LoraModule("attention/output", (0, 3, 0), (0.0, 3.0, 0.0)),
      LoraModule("mlp/up", (1, 1, 1), (2.0, 2.0, 2.5)),
    )
  ),
  "dora_ranks": LoraConfig(
    (
      LoraModule("attention/value", (2, 0, 4), (8.0, 0.0, 3.0)),
      LoraModule("mlp/down", (0, 3, 0), (0.0, 3.0, 0.0)),
    ),
    rslora=True,
    dora=True,
  ),
  "lm_head": LoraConfig(
    (
      *_everywhere(2, 4.0, "attention/value"),
      LoraModule("lm_head", (3,), (5.0,)),
    )
  ),
  "dora_lm_head": LoraConfig((LoraModule("lm_head", (3,), (5.0,)),), dora=True),
}


def adapted(kind: str, base: LlamaConfig = CONFIG, **fields: Any):
  """A config with one of the `KINDS` of adapters."""
  return dataclasses.replace(base, lora=KINDS[kind], **fields)


def one_device() -> jax.sharding.Mesh:
  return sharding.make_mesh({"data": 1}, jax.devices()[:1])


def base_source(config: LlamaConfig, seed: int = 0):
  """Random weights of the model without its adapters."""
  plain = dataclasses.replace(config, lora=None, quantization="none")
  return tiny_model_folder.RandomModel(plain, dtype="float32", seed=seed)


def base_params(config: LlamaConfig, seed: int = 0) -> Any:
  """The same as parameters, on one device."""
  return source_params.load_params(base_source(config, seed), one_device())


def frozen(config: LlamaConfig, mesh: Any = None) -> Any:
  """The frozen base of an adapted model, without its adapters."""
  return frozen_base.load(base_source(config), config, mesh or one_device())


def started(config: LlamaConfig, mesh: Any = None) -> Any:
  """An adapted model as training starts it."""
  mesh = mesh or one_device()
  key = jax.random.key(0)
  return frozen_base.adapt(frozen(config, mesh), config, key, mesh)


def random_adapters(config: LlamaConfig, seed: int = 1) -> Any:
  """Trained leaves: none is zero but where a layer's rank does not reach."""
  rng = np.random.default_rng(seed)
  params: Any = {}
  for path, shape in partition.trained_shapes(config).items():
    values = 0.2 * rng.standard_normal(shape)
    if path[-1] == "magnitude":
      values = 0.6 + np.abs(values)
    lora.put_at(params, path, values.astype(np.float32))
  assert config.lora is not None
  for module in config.lora.modules:
    leaves = lora.leaf_at(params, lora.module_path(module.name))
    if module.name == "lm_head":
      continue
    for layer, rank in enumerate(module.ranks):
      leaves["lora_a"][layer, :, rank:] = 0
      leaves["lora_b"][layer, rank:] = 0
      if config.lora.dora and not rank:
        leaves["magnitude"][layer] = 0
  return params


def all_params(config: LlamaConfig) -> Any:
  """Base and adapters in one tree."""
  return partition.join(base_params(config), random_adapters(config))


def write_base(folder: pathlib.Path, config: LlamaConfig, seed: int = 0):
  """The base as a Hugging Face folder; returns its source."""
  folder.mkdir(parents=True)
  source = base_source(config, seed)
  tensors.copy(source, HFWriter(folder, source.config, source.specs))
  return source


def adapters_of(
  config: LlamaConfig, base: pathlib.Path, *, step: int = 7, seed: int = 1
) -> run_adapters.Adapters:
  """Random adapters as `run_adapters.load` would give them."""
  return run_adapters.Adapters(
    config=config,
    step=step,
    params=random_adapters(config, seed),
    base=base,
    fingerprint=fingerprint.fingerprint(base_source(config)),
  )


def write_reward_run(
  folder: pathlib.Path,
  base: pathlib.Path,
  source: tiny_model_folder.RandomModel,
  lora_config: LoraConfig,
  *,
  num_labels: int = 1,
  quantization: str = "none",
  **recorded: Any,
) -> LlamaConfig:
  """A reward model as random adapters on the model in `base`; its shape."""
  config = dataclasses.replace(
    source.config,
    lora=lora_config,
    num_labels=num_labels,
    quantization=quantization,
  )
  folder.mkdir(parents=True)
  adapters = run_adapters.Adapters(
    config=config,
    step=3,
    params=random_adapters(config),
    base=base,
    fingerprint=fingerprint.fingerprint(source),
  )
  run_adapters.save(folder, adapters._replace(**recorded))
  return config
