# SPDX-License-Identifier: Apache-2.0
"""Options that several `ramjax convert` commands share."""

import argparse
import re

from ramjax.models import tensors
from ramjax.models.hf_folder import FLOAT_DTYPES, HFFolder
from ramjax.models.hf_writer import SHARD_BYTES
from ramjax.models.tensors import Source
from ramjax.tools import write_model

_KEEP = "keep"
_UNITS = {"MB": 10**6, "GB": 10**9}


def add_dtype(parser: argparse.ArgumentParser) -> None:
  """`--dtype`; see `cast`."""
  parser.add_argument(
    "--dtype",
    choices=(_KEEP, *FLOAT_DTYPES),
    default=_KEEP,
    help="of the weights written (default: as they are)",
  )


def cast(source: Source, dtype: str) -> Source:
  """The source in the dtype that `--dtype` names."""
  return source if dtype == _KEEP else tensors.Cast(source, dtype)


def add_layout(parser: argparse.ArgumentParser, *, of: str = "SRC") -> None:
  """`--to`; see `layout`. `of` is the input whose kind is the default."""
  parser.add_argument(
    "--to",
    choices=(write_model.RUN, write_model.HF),
    help=f"kind of folder to write (default: that of {of})",
  )


def layout(to: str | None, source: Source) -> str:
  """What `--to` names, or the kind of folder that was opened."""
  if to is not None:
    return to
  # A run with adapters is opened as something else than a RunFolder.
  is_hf = isinstance(source, HFFolder)
  return write_model.HF if is_hf else write_model.RUN


def add_allow_nonfinite(parser: argparse.ArgumentParser) -> None:
  """`--allow-nonfinite`."""
  parser.add_argument(
    "--allow-nonfinite",
    action="store_true",
    help="let NaN and infinite weights pass (default: stop)",
  )


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
  """`--step` and `--average`: which weights of a run."""
  parser.add_argument(
    "--step", type=int, help="checkpoint of a run (default: the newest)"
  )
  parser.add_argument(
    "--average",
    action="store_true",
    help="the moving average of the weights (optim.ema_decay)",
  )


def add_shard_size(parser: argparse.ArgumentParser) -> None:
  """`--shard-size`, in bytes."""
  parser.add_argument(
    "--shard-size",
    type=_bytes,
    default=SHARD_BYTES,
    metavar="SIZE",
    help="of one safetensors file at most, as 500MB or 5GB (default: 50GB)",
  )


def _bytes(text: str) -> int:
  match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(MB|GB)", text)
  if not match or float(match[1]) * _UNITS[match[2]] < 1:
    raise argparse.ArgumentTypeError(
      f"{text!r} is no size: give a number and MB or GB, as 5GB."
    )
  return int(float(match[1]) * _UNITS[match[2]])
