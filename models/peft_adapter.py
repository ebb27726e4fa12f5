# SPDX-License-Identifier: Apache-2.0
"""Reads adapters from PEFT's files, a stranger's perhaps.

There each layer has its own `lora_A` [r, in] and `lora_B` [out, r]; here they
are `lora_a` [in, r] and `lora_b` [r, out], stacked over layers and padded with
zeros to the largest rank.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ramjax.models import (
  hf_names,
  lora,
  model_folder,
  peft_config,
  peft_names,
  tensors,
)
from ramjax.models.config import LlamaConfig
from ramjax.models.hf_folder import FLOAT_DTYPES
from ramjax.models.lora_config import LoraConfig, LoraModule
from ramjax.models.peft_config import PeftConfig
from ramjax.models.safetensors_file import SafetensorsFile
from ramjax.models.tensors import Source, TensorError, TensorSpec

Params = dict[str, Any]

_SCORE = "score.weight"
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


def read(
  directory: str | pathlib.Path, base: Source
) -> tuple[LlamaConfig, Params]:
  """Reads a LoRA, rsLoRA or DoRA adapter, from a stranger perhaps.

  Args:
    directory: The adapter's folder.
    base: The model that it adapts. A classifier's base may be a language
      model: its score head is then the adapter's.

  Returns:
    The config of the adapted model, and its trained leaves: float32 NumPy
    arrays in a nested dict, as `run_adapters.load` gives them.

  Raises:
    FileNotFoundError: A file is missing.
    ValueError: Something is not supported or, as a TensorError, the tensors are
      not those of the config and the base.
  """
  directory = pathlib.Path(directory)
  with SafetensorsFile(_weights_path(directory)) as file:
    config = _with_score(file, base.config)
    modules = peft_names.linear_modules(config)
    peft = peft_config.read(directory, list(modules))
    if peft.task == peft_config.CAUSAL_LM and config.num_labels:
      raise ValueError(
        f"{directory}: task_type='CAUSAL_LM', and the base or the adapter has a"
        " score head: name the language model that was adapted as the base."
      )
    pending = dict(file.tensors)
    params: Params = {}
    if config.num_labels:
      lora.put_at(params, ("score", "kernel"), _score(file, pending, base))
    found = {
      name: _adapter(file, pending, name, peft, config) for name in peft.ranks
    }
    _check_rest(file, pending, config, base)
  adapted = _lora_config(peft, modules)
  for module in adapted.modules:
    layers = {
      layer: found[name]
      for name, (kind, layer) in modules.items()
      if kind == module.name and name in found
    }
    stacked = layers[None] if None in layers else _stack(layers, module)
    lora.put_at(params, lora.module_path(module.name), stacked)
  return dataclasses.replace(config, lora=adapted), params


def _weights_path(directory: pathlib.Path) -> pathlib.Path:
  try:
    return model_folder.safe_file(directory, peft_names.WEIGHTS_FILE)
  except FileNotFoundError as error:
    raise FileNotFoundError(
      f"{directory / peft_names.WEIGHTS_FILE} does not exist. Adapters saved"
      " with pickle (adapter_model.bin) are not read: let PEFT save them again with"
      " safe_serialization=True."
    ) from error


def _with_score(file: SafetensorsFile, base: LlamaConfig) -> LlamaConfig:
  """The base's config, with the outputs of a score head that is trained."""
  spec = file.tensors.get(peft_names.PREFIX + _SCORE)
  if spec is None or base.num_labels:
    return base
  labels = spec.shape[0] if spec.shape else 0
  if spec.shape != (labels, base.width) or not labels:
    raise TensorError(
      f"{file.path}: tensor {peft_names.PREFIX + _SCORE!r} has shape"
      f" {list(spec.shape)}; a score head of this base is [labels, {base.width}]."
    )
  return dataclasses.replace(base, num_labels=labels)


def _score(
  file: SafetensorsFile, pending: dict[str, TensorSpec], base: Source
) -> np.ndarray:
  """The score head [width, labels]: the adapter's, or else the base's."""
  name = peft_names.PREFIX + _SCORE
  if name in pending:
    shape = (
      base.config.num_labels or pending[name].shape[0],
      base.config.width,
    )
    return np.ascontiguousarray(_take(file, pending, name, shape).T)
  rows = base.rows(_SCORE, 0, base.config.num_labels)
  return np.ascontiguousarray(rows.astype(np.float32).T)


def _adapter(
  file: SafetensorsFile,
  pending: dict[str, TensorSpec],
  name: str,
  peft: PeftConfig,
  config: LlamaConfig,
) -> Params:
  """The leaves of one layer's adapter, in our layout and its own rank."""
  out_size, in_size = hf_names.hf_shapes(config)[name + ".weight"]
  rank, full = peft.ranks[name], peft_names.PREFIX + name
  if rank > max(out_size, in_size):
    raise ValueError(
      f"{file.path}: the rank {rank} of {name} is above the {in_size} inputs and"
      f" {out_size} outputs it has."
    )
  leaves = {
    "lora_a": _take(file, pending, full + peft_names.A, (rank, in_size)).T,
    "lora_b": _take(file, pending, full + peft_names.B, (out_size, rank)).T,
  }
  if peft.dora:
    magnitude = full + peft_names.MAGNITUDE
    if magnitude + ".weight" in pending:  # As modules of PEFT name it.
      magnitude += ".weight"
    leaves["magnitude"] = _take(file, pending, magnitude, (out_size,))
  return leaves


def _take(
  file: SafetensorsFile,
  pending: dict[str, TensorSpec],
  name: str,
  shape: tuple[int, ...],
) -> np.ndarray:
  """A tensor of known shape, in float32; it is pending no more."""
  spec = pending.pop(name, None)
  if spec is None:
    raise TensorError(
      f"{file.path}: tensor {name!r} is missing, and"
      f" {peft_names.CONFIG_FILE} names its module."
    )
  if spec.shape != shape:
    raise TensorError(
      f"{file.path}: tensor {name!r} has shape {list(spec.shape)}, and"
      f" {peft_names.CONFIG_FILE} and the base make it {list(shape)}."
    )
  _check_float(file, name, spec)
  rows = file.rows(name, 0, shape[0])
  if not tensors.is_finite(rows):
    raise TensorError(
      f"{file.path}: tensor {name!r} has NaN or infinite values."
    )
  return rows.astype(np.float32)


def _check_float(file: SafetensorsFile, name: str, spec: TensorSpec) -> None:
  if spec.dtype not in FLOAT_DTYPES:
    raise TensorError(
      f"{file.path}: tensor {name!r} is {spec.dtype}; weights must be one of"
      f" {', '.join(FLOAT_DTYPES)}."
    )


def _check_rest(
  file: SafetensorsFile,
  pending: Mapping[str, TensorSpec],
  config: LlamaConfig,
  base: Source,
) -> None:
  """Tensors left must be copies of the base's, which PEFT sometimes adds."""
  for name, spec in pending.items():
    inner = name.removeprefix(peft_names.PREFIX).replace(
      ".base_layer.weight", ".weight"
    )
    if config.tie_embeddings and inner == _HEAD:
      inner = _EMBEDDING
    if inner not in (_EMBEDDING, _HEAD) or inner not in base.specs:
      raise TensorError(
        f"{file.path}: tensor {name[:200]!a} belongs to no module that"
        f" {peft_names.CONFIG_FILE} names and the base has."
      )
    _check_float(file, name, spec)
    if spec.shape != base.specs[inner].shape or not _is_copy(
      file, name, spec, base, inner
    ):
      raise TensorError(
        f"{file.path}: tensor {name!r} is not the base's {inner!r}: the"
        " vocabulary was resized or the embedding trained, and adapters alone"
        " are read. Merge it into the base with PEFT instead."
      )


def _is_copy(
  file: SafetensorsFile, name: str, spec: TensorSpec, base: Source, inner: str
) -> bool:
  """Whether a tensor is the base's, in the dtype that it was saved in."""
  return all(
    np.array_equal(
      file.rows(name, start, stop),
      base.rows(inner, start, stop).astype(np.dtype(spec.dtype)),
    )
    for start, stop in tensors.blocks(spec)
  )


def _lora_config(
  peft: PeftConfig, modules: Mapping[str, tuple[str, int | None]]
) -> LoraConfig:
  by_kind: dict[str, tuple[list[int], list[float]]] = {}
  for name, (kind, _) in modules.items():
    ranks, alphas = by_kind.setdefault(kind, ([], []))
    ranks.append(peft.ranks.get(name, 0))
    alphas.append(peft.alphas.get(name, 0.0))
  return LoraConfig(
    modules=tuple(
      LoraModule(kind, tuple(ranks), tuple(alphas))
      for kind, (ranks, alphas) in by_kind.items()
      if any(ranks)
    ),
    rslora=peft.rslora,
    dora=peft.dora,
  )


def _stack(layers: Mapping[Any, Params], module: LoraModule) -> Params:
  """The adapters of some layers, by index, as the arrays of all layers."""
  first = next(iter(layers.values()))
  sizes = {
    "lora_a": (first["lora_a"].shape[0], module.rank),
    "lora_b": (module.rank, first["lora_b"].shape[1]),
    "magnitude": first["lora_b"].shape[1:],
  }
  stacked = {
    leaf: np.zeros((len(module.ranks), *sizes[leaf]), np.float32)
    for leaf in first
  }
  for layer, leaves in layers.items():
    for leaf, array in leaves.items():
      corner = (layer, *(slice(size) for size in array.shape))
      stacked[leaf][corner] = array
  return stacked
