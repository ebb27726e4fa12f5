# SPDX-License-Identifier: Apache-2.0
"""Where a run's weights come from: a model's folder, or random numbers."""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import ml_collections
from jax.sharding import Mesh

from ramjax.data import tokenizer_probe
from ramjax.models import (
  carried_files,
  fingerprint,
  frozen_base,
  llama,
  model_folder,
  open_model,
  partition,
  presets,
  source_params,
  weights,
)
from ramjax.models.config import LlamaConfig
from ramjax.models.lora_config import LoraConfig, choose_modules

_TOKENIZERS = ("tokenizer.json", "tokenizer.model")
# How a model is computed, not what it is: the run decides. So it does about
# longer rows than the weights were trained for.
_RUN_FIELDS = ("dtype", "remat", "attention", "max_positions")


def init_folder(config: ml_collections.ConfigDict) -> pathlib.Path | None:
  """The folder that `init` names, or None for random weights.

  Raises:
    ValueError: Both a Hugging Face folder and a run are named.
  """
  from_hf, from_run = config.init.from_hf, config.init.from_run
  if from_hf and from_run:
    raise ValueError(
      f"init.from_hf={from_hf!r} and init.from_run={from_run!r} are both set:"
      " a run starts from one model."
    )
  if not from_hf and not from_run:
    return None
  folder = pathlib.Path(from_hf or from_run).expanduser()
  is_run = (folder / weights.MODEL_FILE).is_file()
  if from_hf and is_run:
    raise ValueError(
      f"init.from_hf={from_hf!r} is a run's folder: name it in init.from_run."
    )
  if from_run and not is_run:
    raise ValueError(
      f"init.from_run={from_run!r} holds no {weights.MODEL_FILE}, so it is no"
      " run's folder. A Hugging Face folder is named in init.from_hf."
    )
  return folder


def make_model_config(config: ml_collections.ConfigDict) -> LlamaConfig:
  """The model's shape, from `init` or the preset, with the run's adapters.

  Raises:
    ValueError: Neither `init` nor a preset says what the model is, a field of
      `model` contradicts the folder of `init`, or what the folder raises.
  """
  folder = init_folder(config)
  given = config.model.to_dict()
  preset = given.pop("preset")
  if folder is None:
    if not preset:
      raise ValueError(
        "model.preset='' and no init: name one of"
        f" {', '.join(presets.PRESETS)}, or a model to start from in"
        " init.from_hf or init.from_run."
      )
    shape = presets.llama_config(preset, **given)
  else:
    source = open_model.open_model(folder)
    source.close()
    _refuse_other_shape(folder, source.config, preset, given)
    chosen = {n: given[n] for n in _RUN_FIELDS if given[n] is not None}
    shape = dataclasses.replace(source.config, **chosen)
  if config.data.max_length > shape.max_positions:
    raise ValueError(
      f"data.max_length={config.data.max_length} is beyond the"
      f" {shape.max_positions} positions the model is for: lower it, or set"
      " model.max_positions if longer rows are meant to teach it more."
    )
  adapters = _make_lora(config, shape, folder)
  return dataclasses.replace(
    shape,
    lora=adapters,
    quantization=config.lora.quantize_base if adapters else "none",
  )


def load(
  config: ml_collections.ConfigDict, model_config: LlamaConfig, mesh: Mesh
) -> tuple[Any, Any]:
  """(trained, frozen) parameters of a run's start, on the mesh.

  Args:
    config: Of the run.
    model_config: From `make_model_config`.
    mesh: Where they go; each process reads what its devices hold.

  Returns:
    Two nested dicts; float32 masters are trained, `frozen` is in the dtype of
    the computation and is {} without adapters.
  """
  folder = init_folder(config)
  key = jax.random.key(config.seed)
  if folder is None:
    return llama.init_params(model_config, key, mesh), {}
  source = open_model.open_model(folder)
  try:
    if model_config.lora is None:
      return source_params.load_params(source, mesh), {}
    frozen = frozen_base.load(source, model_config, mesh)
  finally:
    source.close()
  params = frozen_base.adapt(frozen, model_config, key, mesh)
  return partition.split(params, model_config)


def describe(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """For the manifest: the folder and a fingerprint of its weights."""
  folder = init_folder(config)
  if folder is None:
    return {"random_seed": config.seed}
  source = open_model.open_model(folder)
  described = {
    "folder": str(folder.resolve()),
    "fingerprint": fingerprint.fingerprint(source),
  }
  source.close()
  return described


def carry_files(
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> None:
  """Keeps what came with the weights in the run's folder, for the way back.

  With adapters, also says where the base is: checkpoints hold adapters only.
  """
  folder = init_folder(config)
  if folder is None:
    return
  kept = workdir / carried_files.FOLDER
  kept.mkdir(exist_ok=True)
  carried_files.carry(carried_files.folder_of(folder), kept)
  if (raw := carried_files.load_config(folder)) is not None:
    carried_files.save_config(raw, kept)
  if config.lora.rank:
    text = json.dumps(describe(config), indent=2)
    (workdir / weights.BASE_FILE).write_text(text + "\n")


def tokenizer_folder(config: ml_collections.ConfigDict) -> pathlib.Path | None:
  """Where the tokenizer of `init`'s model is; None for random weights.

  Raises:
    FileNotFoundError: The model came without a tokenizer.
    ValueError: Its tokenizer is refused, or a link out of the folder.
  """
  folder = init_folder(config)
  if folder is None:
    return None
  for place in (folder, carried_files.folder_of(folder)):
    if any((place / name).is_file() for name in _TOKENIZERS):
      for name in carried_files.TOKENIZER_FILES:
        if (place / name).exists():
          model_folder.safe_file(place, name)
      # A file that crashes the library must crash another process.
      tokenizer_probe.probe_tokenizer(place)
      return place
  raise FileNotFoundError(
    f"the model in {folder} came without {' or '.join(_TOKENIZERS)}: name its"
    " tokenizer in tokenizer.path."
  )


def _make_lora(
  config: ml_collections.ConfigDict,
  shape: LlamaConfig,
  folder: pathlib.Path | None,
) -> LoraConfig | None:
  if not config.lora.rank:
    if config.lora.quantize_base != "none":
      raise ValueError(
        f"lora.quantize_base={config.lora.quantize_base!r} needs adapters: set"
        " lora.rank."
      )
    return None
  if folder is None:
    raise ValueError(
      f"lora.rank={config.lora.rank} adapts a model that exists: name it in"
      " init.from_hf or init.from_run."
    )
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
