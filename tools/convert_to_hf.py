# SPDX-License-Identifier: Apache-2.0
"""`ramjax convert to-hf`: a run's model to a Hugging Face folder."""

import argparse
import pathlib
from collections.abc import Sequence

from ramjax.models.open_model import open_model
from ramjax.tools import convert_options, model_card, write_model


def main(argv: Sequence[str]) -> int:
  """Converts, and says what was written."""
  args = _parser().parse_args(argv)
  source = open_model(args.source, step=args.step, average=args.average)
  wanted = convert_options.cast(source, args.dtype)
  provenance = {
    "command": "convert to-hf",
    "source": str(args.source),
    "version": model_card.version(),
    "of_source": model_card.read_provenance(args.source),
  }
  if (step := getattr(source, "step", None)) is not None:
    provenance["step"] = step
  total = write_model.write_model(
    wanted,
    args.target,
    layout=write_model.HF,
    like=args.source,
    provenance=provenance,
    shard_bytes=args.shard_size,
    allow_nonfinite=args.allow_nonfinite,
  )
  print(
    f"{args.target}: {len(source.specs)} tensors, {total / 1e9:.2f} GB,"
    f" {source.config.num_parameters:,} parameters"
  )
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax convert to-hf",
    description=(
      "Convert a checkpoint of a run to a folder that transformers and vLLM"
      " load:\nconfig.json, safetensors, tokenizer, chat template, generation"
      " config and a\nmodel card that states where the weights come from."
    ),
    epilog="example:\n  ramjax convert to-hf runs/mine exported --dtype=bfloat16",
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument("source", metavar="SRC", type=pathlib.Path)
  parser.add_argument("target", metavar="DST", type=pathlib.Path)
  convert_options.add_checkpoint(parser)
  convert_options.add_dtype(parser)
  convert_options.add_shard_size(parser)
  convert_options.add_allow_nonfinite(parser)
  return parser
