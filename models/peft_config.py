# SPDX-License-Identifier: Apache-2.0
"""PEFT's `adapter_config.json`: which modules have an adapter, of what rank.

Fields and their meaning are those of `peft.LoraConfig` 0.21. A field that
changes what is computed is either understood here or refused by name.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ramjax.models import (
  json_fields,
  model_folder,
  peft_names,
  peft_targets,
  strict_json,
)
from ramjax.models.json_fields import shown

CAUSAL_LM, SEQ_CLS = "CAUSAL_LM", "SEQ_CLS"
# PEFT's own choice for every classifier; a Llama has no "classifier".
SCORE_MODULES = ("classifier", "score")

_MAX_BYTES = 2**24
# Read below.
_UNDERSTOOD = (
  "alpha_pattern",
  "bias",
  "exclude_modules",
  "init_lora_weights",
  "layers_pattern",
  "layers_to_transform",
  "lora_alpha",
  "modules_to_save",
  "peft_type",
  "r",
  "rank_pattern",
  "target_modules",
  "task_type",
  "use_dora",
  "use_rslora",
)
# Nothing that is computed from a finished adapter depends on these: names,
# training, and settings of features whose switch is another field.
_WITHOUT_EFFECT = (
  "auto_mapping",
  "base_model_name_or_path",
  "eva_config",
  "inference_mode",
  "lora_dropout",
  "megatron_core",
  "peft_version",
  "qalora_group_size",
  "revision",
  "runtime_config",
)
# Starts of training that leave the base as it is; PiSSA, OLoRA, CorDA, LoftQ
# and LoRA-GA subtract something from it.
_PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")


class PeftConfig(NamedTuple):
  """What a config says about the modules of one model.

  Attributes:
    ranks: Of each module that has an adapter, by PEFT's name of it.
    alphas: Of the same.
    rslora: See `LoraConfig`.
    dora: See `LoraConfig`.
    task: "CAUSAL_LM", "SEQ_CLS", or None where it is not said.
  """

  ranks: Mapping[str, int]
  alphas: Mapping[str, float]
  rslora: bool
  dora: bool
  task: str | None


def read(directory: str | pathlib.Path, modules: Sequence[str]) -> PeftConfig:
  """Reads and checks the config of an adapter.

  Args:
    directory: The adapter's folder.
    modules: Names of all linear layers of the model, such as
      "model.layers.0.self_attn.q_proj".

  Raises:
    FileNotFoundError: No such file.
    ValueError: Something is not supported, or not a config.
  """
  path = model_folder.safe_file(directory, peft_names.CONFIG_FILE)
  data = model_folder.read_capped(path, max_bytes=_MAX_BYTES)
  raw = strict_json.parse_object(data, what=str(path))
  try:
    _refuse_unsupported(raw, path)
    targets = peft_targets.chosen(raw, modules)
    ranks = peft_targets.by_pattern(raw, "rank_pattern", "r", targets, path)
    alphas = peft_targets.by_pattern(
      raw, "alpha_pattern", "lora_alpha", targets, path
    )
  except ValueError as error:
    if str(error).startswith(str(path)):
      raise
    raise ValueError(f"{path}: {error}") from error
  for name, rank in ranks.items():
    if rank < 1 or rank != int(rank):
      raise ValueError(
        f"{path}: the rank {rank:g} of {name} must be a whole number of at"
        " least 1."
      )
  for name, alpha in alphas.items():
    if alpha <= 0:
      raise ValueError(
        f"{path}: lora_alpha={alpha:g} of {name} must be above 0."
      )
  return PeftConfig(
    ranks={name: int(rank) for name, rank in ranks.items()},
    alphas=alphas,
    rslora=json_fields.boolean(raw, "use_rslora", path),
    dora=json_fields.boolean(raw, "use_dora", path),
    task=raw.get("task_type"),
  )


def make(
  ranks: Mapping[str, int],
  alphas: Mapping[str, float],
  *,
  num_layers: int,
  rslora: bool,
  dora: bool,
  task: str,
  base_name: str,
) -> dict[str, Any]:
  """The fields of a config that PEFT resolves to exactly these adapters.

  Args:
    ranks: Of each adapted module, by PEFT's name of it.
    alphas: Of the same.
    num_layers: Of the model.
    rslora: See `LoraConfig`.
    dora: See `LoraConfig`.
    task: "CAUSAL_LM" or "SEQ_CLS".
    base_name: Folder or hub name of the model they adapt.
  """
  targets, layers = peft_targets.shortest_targets(list(ranks), num_layers)
  rank, rank_pattern = peft_targets.shortest_pattern(ranks)
  alpha, alpha_pattern = peft_targets.shortest_pattern(
    {n: int(a) if a == int(a) else a for n, a in alphas.items()}
  )
  return {
    "alpha_pattern": alpha_pattern,
    "base_model_name_or_path": base_name,
    "bias": "none",
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "layers_to_transform": layers,
    "lora_alpha": alpha,
    "lora_dropout": 0.0,
    "modules_to_save": list(SCORE_MODULES) if task == SEQ_CLS else None,
    "peft_type": "LORA",
    "r": rank,
    "rank_pattern": rank_pattern,
    "target_modules": targets,
    "task_type": task,
    "use_dora": dora,
    "use_rslora": rslora,
  }


def _refuse_unsupported(raw: Mapping[str, Any], path: pathlib.Path) -> None:
  if raw.get("peft_type") != "LORA":
    raise ValueError(
      f"{path}: peft_type={shown(raw.get('peft_type'))} is not supported; it"
      " must be 'LORA'."
    )
  allowed = {
    "bias": ("none", None),
    "task_type": (CAUSAL_LM, SEQ_CLS, None),
    "init_lora_weights": _PLAIN_STARTS,
  }
  for name, values in allowed.items():
    # By identity for booleans: 1 == True, and an object has no hash.
    if not any(raw.get(name) is v or raw.get(name) == v for v in values):
      raise ValueError(
        f"{path}: {name}={shown(raw[name])} is not supported; it must be one"
        f" of {', '.join(map(repr, values))}."
        + (
          " That start changes the base's weights: let PEFT convert the adapter"
          " to plain LoRA (path_initial_model_for_weight_conversion)."
          if name == "init_lora_weights"
          else ""
        )
      )
  others = [
    name
    for name in peft_targets.names(raw, "modules_to_save")
    if name not in SCORE_MODULES
  ]
  if others:
    raise ValueError(
      f"{path}: modules_to_save has {shown(others[0])}, which is not supported:"
      " beside adapters only the head of a classifier may be trained."
    )
  for name, value in raw.items():
    # Null, false and what is empty is "off" for every field there is.
    if name not in (*_UNDERSTOOD, *_WITHOUT_EFFECT) and value:
      raise ValueError(
        f"{path}: {name[:80]!a}={shown(value)} is not supported."
      )
