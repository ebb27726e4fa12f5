# SPDX-License-Identifier: Apache-2.0
"""The options of `ramjax convert lora`, and its --help."""

import argparse
import pathlib
from typing import Any

from ramjax.models.hf_folder import FLOAT_DTYPES
from ramjax.tools import convert_options, write_model


def parser() -> argparse.ArgumentParser:
  """With one sub-command for each, its name in `command`."""
  made = argparse.ArgumentParser(
    prog="ramjax convert lora",
    description=(
      "Adapters (LoRA, rsLoRA, DoRA) as a run keeps them and as PEFT does, and"
      " worked\ninto their base. A run with adapters holds them alone, and says"
      " in base.json\nwhere its base is."
    ),
    epilog=(
      "examples:\n"
      "  ramjax convert lora to-peft runs/lora adapter --base-name=org/base\n"
      "  ramjax convert lora from-peft adapter Llama-3.2-1B runs/adapted\n"
      "  ramjax convert lora merge runs/lora exported --to=hf\n"
      "  ramjax convert lora merge adapter merged --base=Llama-3.2-1B\n"
      "  ramjax convert lora unmerge exported runs/lora base"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  commands = made.add_subparsers(
    required=True, metavar="from-peft|to-peft|merge|unmerge"
  )
  _add_from_peft(commands)
  _add_to_peft(commands)
  _add_merge(commands)
  _add_unmerge(commands)
  return made


def _command(commands: Any, name: str, summary: str, more: str) -> Any:
  command = commands.add_parser(
    name,
    help=summary,
    description=f"{summary[0].upper()}{summary[1:]}.{more}",
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  command.set_defaults(command=name)
  return command


def _add_from_peft(commands: Any) -> None:
  command = _command(
    commands,
    "from-peft",
    "write PEFT's adapter as a run's folder",
    "\nIts weights stay adapters: DST refers to BASE, which must stay where it"
    " is.\nEvaluation, generation, `merge`, `to-hf` and --config.init.from_run"
    " read it.\nRefused by name, because unsupported:"
    " biases, trained tokens or embeddings,\nstarts that change the base"
    " (PiSSA and its like).",
  )
  for name in ("adapter", "base", "target"):
    metavar = "DST" if name == "target" else name.upper()
    command.add_argument(name, metavar=metavar, type=pathlib.Path)


def _add_to_peft(commands: Any) -> None:
  command = _command(
    commands,
    "to-peft",
    "write a run's adapters for PEFT and vLLM",
    "\nadapter_config.json, adapter_model.safetensors (float32) and the"
    " tokenizer.",
  )
  command.add_argument("run_dir", metavar="RUN", type=pathlib.Path)
  command.add_argument("target", metavar="DST", type=pathlib.Path)
  command.add_argument(
    "--base-name",
    metavar="NAME",
    help="of the base on a hub (default: its folder on this machine)",
  )
  convert_options.add_checkpoint(command)


def _add_merge(commands: Any) -> None:
  command = _command(
    commands,
    "merge",
    "write one model from adapters and their base",
    "\nADAPTERS is a run, or PEFT's folder with --base. Computed in float32,"
    " rounded\nonce.",
  )
  command.add_argument("adapters", metavar="ADAPTERS", type=pathlib.Path)
  command.add_argument("target", metavar="DST", type=pathlib.Path)
  command.add_argument(
    "--base",
    metavar="PATH",
    type=pathlib.Path,
    help="the model that PEFT's adapter is for (a run knows its own)",
  )
  convert_options.add_checkpoint(command)
  _add_output(command, of="a run: ramjax; PEFT's: hf")


def _add_unmerge(commands: Any) -> None:
  command = _command(
    commands,
    "unmerge",
    "take a run's adapters out of a merged model",
    "\nThe base comes back up to rounding. DoRA and a trained score head cannot"
    " be\ntaken out.",
  )
  command.add_argument("merged", metavar="MERGED", type=pathlib.Path)
  command.add_argument("run_dir", metavar="RUN", type=pathlib.Path)
  command.add_argument("target", metavar="DST", type=pathlib.Path)
  convert_options.add_checkpoint(command)
  _add_output(command, of="that of MERGED")


def _add_output(command: argparse.ArgumentParser, *, of: str) -> None:
  command.add_argument(
    "--to",
    choices=(write_model.RUN, write_model.HF),
    help=f"kind of folder to write (default: {of})",
  )
  command.add_argument(
    "--dtype",
    choices=FLOAT_DTYPES,
    help="of the weights written (default: as they are)",
  )
