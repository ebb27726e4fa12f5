# SPDX-License-Identifier: Apache-2.0
"""`ramjax convert from-hf`: a Hugging Face model to a run's folder."""

import argparse
import pathlib
from collections.abc import Sequence

from ramjax.models.hf_folder import HFFolder
from ramjax.tools import chat_files, convert_options, model_card, write_model


def main(argv: Sequence[str]) -> int:
  """Converts, and says what was written."""
  args = _parser().parse_args(argv)
  source = HFFolder(args.source)
  wanted = convert_options.cast(source, args.dtype)
  total = write_model.write_model(
    wanted,
    args.target,
    layout=write_model.RUN,
    like=args.source,
    provenance={
      "command": "convert from-hf",
      "source": str(args.source),
      "version": model_card.version(),
    },
    allow_nonfinite=args.allow_nonfinite,
  )
  print(
    f"{args.target}: {len(source.specs)} tensors, {total / 1e9:.2f} GB,"
    f" {source.config.num_parameters:,} parameters"
  )
  print(chat_files.describe(args.target))
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax convert from-hf",
    description=(
      "Convert a Hugging Face model (config.json and safetensors, one file or"
      " sharded)\nto an Orbax checkpoint in a run's folder. Tokenizer, chat"
      " template, generation\nconfig and licence are carried along. Architectures:"
      " Llama, Mistral, Qwen2;\ncausal LM and sequence classification. Training can"
      " also read the Hugging Face\nfolder itself: --config.init.from_hf=SRC."
    ),
    epilog="example:\n  ramjax convert from-hf Llama-3.2-1B models/llama",
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument("source", metavar="SRC", type=pathlib.Path)
  parser.add_argument("target", metavar="DST", type=pathlib.Path)
  convert_options.add_dtype(parser)
  convert_options.add_allow_nonfinite(parser)
  return parser
