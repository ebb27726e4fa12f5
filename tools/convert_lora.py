# SPDX-License-Identifier: Apache-2.0
"""`ramjax convert lora`: adapters to and from PEFT, merged and taken out."""

import argparse
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from ramjax.models import (
  carried_files,
  fingerprint,
  peft_adapter,
  peft_export,
  peft_names,
  run_adapters,
  weights,
)
from ramjax.models.config import LlamaConfig
from ramjax.models.merged_lora import MergedLora
from ramjax.models.open_model import open_base, open_model
from ramjax.models.run_adapters import Adapters
from ramjax.models.tensors import Source
from ramjax.tools import (
  chat_files,
  convert_lora_options,
  convert_options,
  model_card,
  new_folder,
  write_model,
)


def main(argv: Sequence[str]) -> int:
  """Runs one of the four, and says what was written."""
  args = convert_lora_options.parser().parse_args(argv)
  new_folder.check_new(args.target)
  run = {
    "from-peft": _from_peft,
    "to-peft": _to_peft,
    "merge": _merge,
    "unmerge": _unmerge,
  }[args.command]
  return run(args)


def _from_peft(args: argparse.Namespace) -> int:
  base = open_model(args.base)
  config, params = peft_adapter.read(args.adapter, base)
  adapters = Adapters(
    config=config,
    step=0,
    params=params,
    base=args.base,
    fingerprint=fingerprint.fingerprint(base),
  )
  with new_folder.new_folder(args.target) as folder:
    run_adapters.save(folder, adapters)
    kept = folder / carried_files.FOLDER
    kept.mkdir()
    fields = chat_files.stage(
      args.base, kept, max_positions=config.max_positions
    )
    carried_files.save_config(fields, kept)
    _save_provenance(
      folder,
      {
        "command": "convert lora from-peft",
        "adapter": str(args.adapter),
        "base": str(args.base),
      },
    )
  print(f"{args.target}: {_described(config)}")
  return 0


def _to_peft(args: argparse.Namespace) -> int:
  adapters = _load(args.run_dir, step=args.step, average=args.average)
  base_name = args.base_name or str(adapters.base)
  with new_folder.new_folder(args.target) as folder:
    total = peft_export.write(folder, adapters, base_name)
    chat_files.stage(
      args.run_dir, folder, max_positions=adapters.config.max_positions
    )
    _save_provenance(
      folder,
      {
        "command": "convert lora to-peft",
        "source": str(args.run_dir),
        "step": adapters.step,
        "base": str(adapters.base),
        "of_source": model_card.read_provenance(args.run_dir),
      },
    )
  print(
    f"{args.target}: {_described(adapters.config)}, {total / 1e6:.1f} MB, for"
    f" {base_name}"
  )
  return 0


def _merge(args: argparse.Namespace) -> int:
  base, adapters = _base_and_adapters(args)
  source = MergedLora(
    base,
    adapters.config,
    adapters.params,
    dtype=args.dtype,
    step=adapters.step,
  )
  is_peft = args.base is not None
  provenance = {
    "command": "convert lora merge",
    "adapters": str(args.adapters),
    "base": str(adapters.base),
    "of_adapters": {} if is_peft else model_card.read_provenance(args.adapters),
    "of_base": model_card.read_provenance(adapters.base),
  }
  if not is_peft:
    provenance["step"] = adapters.step
  default = write_model.HF if is_peft else write_model.RUN
  like = adapters.base if is_peft else args.adapters
  return _write(source, args, args.to or default, like, provenance)


def _unmerge(args: argparse.Namespace) -> int:
  merged = open_model(args.merged)
  adapters = _load(args.run_dir, step=args.step, average=args.average)
  source = MergedLora(
    merged,
    adapters.config,
    adapters.params,
    unmerge=True,
    dtype=args.dtype,
  )
  provenance = {
    "command": "convert lora unmerge",
    "merged": str(args.merged),
    "adapters": str(args.run_dir),
    "step": adapters.step,
    "of_merged": model_card.read_provenance(args.merged),
  }
  layout = convert_options.layout(args.to, merged)
  return _write(source, args, layout, args.merged, provenance)


def _write(
  source: Source,
  args: argparse.Namespace,
  layout: str,
  like: pathlib.Path,
  provenance: dict[str, Any],
) -> int:
  total = write_model.write_model(
    source,
    args.target,
    layout=layout,
    like=like,
    provenance={**provenance, "version": model_card.version()},
  )
  print(
    f"{args.target}: {len(source.specs)} tensors, {total / 1e9:.2f} GB,"
    f" {source.config.num_parameters:,} parameters"
  )
  return 0


def _base_and_adapters(args: argparse.Namespace) -> tuple[Source, Adapters]:
  """What is merged: a run's adapters, or PEFT's with `--base`."""
  is_peft = peft_names.is_adapter(args.adapters)
  if is_peft != (args.base is not None):
    raise ValueError(
      f"{args.adapters} is PEFT's: name the model it adapts in --base."
      if is_peft
      else f"{args.adapters} holds no {peft_names.CONFIG_FILE}, so it is no"
      " adapter of PEFT's, and a run knows its own base: leave --base out."
    )
  if not is_peft:
    adapters = _load(args.adapters, step=args.step, average=args.average)
    return open_base(args.adapters, adapters), adapters
  if args.step is not None or args.average:
    raise ValueError(
      f"{args.adapters} is PEFT's, which has no steps and no average: leave"
      " --step and --average out."
    )
  base = open_model(args.base)
  config, params = peft_adapter.read(args.adapters, base)
  return base, Adapters(config, 0, params, args.base, "")


def _load(
  run_dir: pathlib.Path, *, step: int | None, average: bool
) -> Adapters:
  """The adapters of a run; a run without any is refused."""
  if weights.load_config(run_dir).lora is None:
    raise ValueError(
      f"{run_dir} has no adapters: it holds a whole model"
      f" ({weights.MODEL_FILE} has no lora)."
    )
  return run_adapters.load(run_dir, step=step, average=average)


def _save_provenance(folder: pathlib.Path, provenance: dict[str, Any]) -> None:
  provenance = {**provenance, "version": model_card.version()}
  text = json.dumps(provenance, indent=2, sort_keys=True)
  (folder / model_card.PROVENANCE_FILE).write_text(text + "\n")


def _described(config: LlamaConfig) -> str:
  """The adapters of a model in a few words."""
  assert config.lora is not None
  ranks = [r for module in config.lora.modules for r in module.ranks if r]
  low, high = min(ranks), max(ranks)
  return (
    f"{len(ranks)} {'DoRA' if config.lora.dora else 'LoRA'} adapters of rank"
    f" {low if low == high else f'{low} to {high}'}"
    + (" and a score head" if config.num_labels else "")
  )
