# SPDX-License-Identifier: Apache-2.0
"""Where a run's weights come from: a model's folder, or random numbers."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections
from jax.sharding import Mesh

from ramjax.data import tokenizer_probe
from ramjax.models import (
  attention,
  attention_cudnn,
  carried_files,
  frozen_base,
  llama,
  model_folder,
  new_head,
  partition,
  presets,
  source_params,
  weights,
)
from ramjax.models.config import COMPUTE_FIELDS, LlamaConfig
from ramjax.models.lora_config import LoraConfig, choose_modules
from ramjax.trainers import starting_model

# What the run decides: the computation, and longer rows than the weights were
# trained for.
_RUN_FIELDS = (*COMPUTE_FIELDS, "max_positions")


def _compute_capability() -> str | None:
  """Of the GPUs here; None without."""
  return getattr(jax.devices()[0], "compute_capability", None)


def make_model_config(
  config: ml_collections.ConfigDict,
  start: starting_model.Start | None = None,
  *,
  platform: str | None = None,
  only_shape: bool = False,
) -> LlamaConfig:
  """The model's shape, from `init` or the preset, with the run's adapters.

  Args:
    config: Of the run.
    start: From `starting_model.choose`, which is called where none is given.
    platform: What it runs on, for attention="auto"; None is JAX's default.
    only_shape: Whether the weights that adapters need may be missing.

  Raises:
    ValueError: Neither `init` nor a preset says what the model is, a field of
      `model` contradicts the folder of `init`, or what the folder raises.
  """
  start = start or starting_model.choose(config)
  folder = start.folder
  given = config.model.to_dict()
  preset = given.pop("preset")
  given["attention"] = attention.choose_backend(
    given["attention"],
    platform or jax.default_backend(),
    cudnn=attention_cudnn.serves(
      dtype=given["dtype"],
      branches="share_prompt" in config.data and config.data.share_prompt,
      split_rows=config.mesh.sequence > 1,
      capability=None if platform else _compute_capability(),
    ),
  )
  if folder is None:
    if not preset:
      raise ValueError(
        "model.preset='' and no init: name one of"
        f" {', '.join(presets.PRESETS)}, or a model to start from in"
        " init.from_hf or init.from_run."
      )
    shape = presets.llama_config(preset, **given)
  else:
    source = start.open()
    source.close()
    _refuse_other_shape(folder, source.config, preset, given)
    chosen = {n: given[n] for n in _RUN_FIELDS if given[n] is not None}
    shape = dataclasses.replace(source.config, **chosen)
  shape = _with_head(config, shape)
  if config.data.max_length > shape.max_positions:
    raise ValueError(
      f"data.max_length={config.data.max_length} is beyond the"
      f" {shape.max_positions} positions the model is for: lower it, or set"
      " model.max_positions if longer rows are meant to teach it more."
    )
  if not only_shape:
    _refuse_adapters_of_nothing(config, folder)
  adapters = _make_lora(config, shape)
  return dataclasses.replace(
    shape,
    lora=adapters,
    quantization=config.lora.quantize_base if adapters else "none",
  )


def has_new_head(
  model_config: LlamaConfig, start: starting_model.Start
) -> bool:
  """Whether a score head starts anew, and is not that of the model on disk."""
  if not model_config.num_labels or start.folder is None:
    return model_config.num_labels > 0
  source = start.open()
  source.close()
  return source.config.num_labels != model_config.num_labels


def load(
  config: ml_collections.ConfigDict,
  model_config: LlamaConfig,
  mesh: Mesh,
  start: starting_model.Start | None = None,
) -> tuple[Any, Any]:
  """(trained, frozen) parameters of a run's start, on the mesh.

  Args:
    config: Of the run.
    model_config: From `make_model_config`.
    mesh: Where they go; each process reads what its devices hold.
    start: From `starting_model.choose`, which is called where none is given.

  Returns:
    Two nested dicts; float32 masters are trained, `frozen` is in the dtype of
    the computation and is {} without adapters.
  """
  start = start or starting_model.choose(config)
  key = jax.random.key(config.seed)
  frozen: Any = None
  new = has_new_head(model_config, start)
  if start.folder is None:
    params = llama.init_params(model_config, key, mesh)
  else:
    with start.reading() as source:
      if model_config.lora is None:
        without = ("lm_head",) if new else ()
        params = source_params.load_params(source, mesh, without=without)
      else:
        frozen = frozen_base.load(source, model_config, mesh)
  if frozen is not None:
    params = frozen_base.adapt(frozen, model_config, key, mesh)
  if new:
    params["score"] = new_head.new_score_head(
      model_config, key, mesh, init_std=config.reward.init_std
    )
  return partition.split(params, model_config)


def describe(
  config: ml_collections.ConfigDict, start: starting_model.Start | None = None
) -> dict[str, Any]:
  """For the manifest: the folder and a fingerprint of its weights."""
  start = start or starting_model.choose(config)
  if start.folder is None:
    return {"random_seed": config.seed}
  return starting_model.describe(start)


def carry_files(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  described: Mapping[str, Any],
) -> None:
  """Keeps what came with the weights in the run's folder, for the way back.

  With adapters, also says where the base is: checkpoints hold adapters only.

  Args:
    config: Of the run.
    workdir: Of the run.
    described: From `describe`.
  """
  folder = starting_model.init_folder(config)
  if folder is None:
    return
  kept = workdir / carried_files.FOLDER
  kept.mkdir(exist_ok=True)
  carried_files.carry(carried_files.folder_of(folder), kept)
  if (raw := carried_files.load_config(folder)) is not None:
    carried_files.save_config(raw, kept)
  if config.lora.rank:
    text = json.dumps(described, indent=2)
    (workdir / weights.BASE_FILE).write_text(text + "\n")


def tokenizer_folder(config: ml_collections.ConfigDict) -> pathlib.Path | None:
  """Where the tokenizer of `init`'s model is; None for random weights.

  Raises:
    FileNotFoundError: The model came without a tokenizer.
    ValueError: Its tokenizer is refused, or a link out of the folder.
  """
  folder = starting_model.init_folder(config)
  if folder is None:
    return None
  place = carried_files.tokenizer_folder(folder)
  if place is None:
    raise FileNotFoundError(
      f"the model in {folder} came without"
      f" {' or '.join(carried_files.VOCABULARIES)}: name its tokenizer in"
      " tokenizer.path."
    )
  for name in carried_files.TOKENIZER_FILES:
    if (place / name).exists():
      model_folder.safe_file(place, name)
  # A file that crashes the library must crash another process.
  tokenizer_probe.probe_tokenizer(place)
  return place


def _with_head(
  config: ml_collections.ConfigDict, shape: LlamaConfig
) -> LlamaConfig:
  """The shape with the head of the algorithm: scores for a reward model."""
  if "reward" not in config:
    return shape
  num_labels = config.reward.num_labels
  if num_labels < 1:
    raise ValueError(
      f"reward.num_labels={num_labels} must be at least 1: one score, or one for"
      " each attribute, threshold or class."
    )
  if shape.num_labels not in (0, num_labels):
    raise ValueError(
      f"the model of init has {shape.num_labels} scores and"
      f" reward.num_labels={num_labels}: give its own number."
    )
  return dataclasses.replace(shape, num_labels=num_labels)


def _refuse_adapters_of_nothing(
  config: ml_collections.ConfigDict, folder: pathlib.Path | None
) -> None:
  if config.lora.rank and folder is None:
    raise ValueError(
      f"lora.rank={config.lora.rank} adapts a model that exists: name it in"
      " init.from_hf or init.from_run."
    )


def _make_lora(
  config: ml_collections.ConfigDict, shape: LlamaConfig
) -> LoraConfig | None:
  if not config.lora.rank:
    if config.lora.quantize_base != "none":
      raise ValueError(
        f"lora.quantize_base={config.lora.quantize_base!r} needs adapters: set"
        " lora.rank."
      )
    return None
  if config.optim.name == "muon":
    raise ValueError(
      "optim.name='muon' updates the matrices of the layers, which adapters"
      " freeze: choose another, such as adamw."
    )
  return choose_modules(
    shape.num_layers,
    rank=config.lora.rank,
    alpha=config.lora.alpha,
    targets=config.lora.targets,
    rank_pattern=config.lora.rank_pattern,
    rslora=config.lora.rslora,
    dora=config.lora.dora,
  )


def _refuse_other_shape(
  folder: pathlib.Path, shape: LlamaConfig, preset: str, given: dict[str, Any]
) -> None:
  """A field that is set although the folder decides must say the same."""
  expected = {
    name: value
    for name, value in given.items()
    if value is not None and name not in _RUN_FIELDS
  }
  if preset:
    of_preset = dataclasses.asdict(presets.llama_config(preset))
    names = set(of_preset) - {*_RUN_FIELDS, "lora", "quantization"}
    expected = {n: of_preset[n] for n in names} | expected
  held = dataclasses.asdict(shape)
  wrong = sorted(n for n, value in expected.items() if held[n] != value)
  if wrong:
    name = wrong[0]
    raise ValueError(
      f"the model in {folder} has {name}={held[name]!r}, and"
      f" {'model.preset=' + repr(preset) if preset else 'model.' + name} says"
      f" {expected[name]!r}. Its own shape is used: leave model.preset='' and"
      " the fields of model unset."
    )
