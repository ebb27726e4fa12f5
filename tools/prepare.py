# SPDX-License-Identifier: Apache-2.0
"""`ramjax prepare`: checks the rows of a file and prepares them with TFDS."""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from ramjax.data import tfds_rows


def main(argv: Sequence[str]) -> int:
  """Prepares a file of rows and prints the path to put in a config.

  Args:
    argv: The arguments behind `ramjax prepare`.

  Returns:
    The exit status: 0, or 1 if the file cannot be prepared. Wrong arguments
    exit with 2, as argparse does.
  """
  args = _parser().parse_args(argv)
  try:
    tfds_rows.prepare(
      args.file,
      config=args.config,
      data_dir=args.data_dir,
      split=args.split,
      max_bad_share=args.max_bad_share,
      quarantine_path=args.quarantine,
    )
  except (ValueError, OSError) as error:
    print(f"ramjax prepare: {error}", file=sys.stderr)
    return 1
  print(tfds_rows.source_path(args.config, args.split, args.data_dir))
  return 0


def _parser() -> argparse.ArgumentParser:
  kinds = "\n".join(
    f"  {name:16} {config.description}"
    for name, config in tfds_rows.CONFIGS.items()
  )
  parser = argparse.ArgumentParser(
    prog="ramjax prepare",
    description=(
      "Check every row of a file and prepare them as a TFDS dataset in"
      " array_record\nformat, which other TFDS programs read too. Prints the path"
      " to put in a config."
    ),
    epilog=(
      f"configs:\n{kinds}\n\nexample:\n  ramjax prepare train.jsonl"
      " --config=chat --data-dir=/data/tfds"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "file",
    metavar="FILE",
    help="rows as .jsonl, .json (each also .gz) or .parquet, in a format of TRL",
  )
  parser.add_argument(
    "--config",
    required=True,
    choices=list(tfds_rows.CONFIGS),
    metavar="CONFIG",
    help="what the rows are; see below",
  )
  parser.add_argument(
    "--data-dir", required=True, metavar="DIR", help="where to prepare them"
  )
  parser.add_argument(
    "--split", default="train", help="the split's name (default: %(default)s)"
  )
  parser.add_argument(
    "--max-bad-share",
    type=float,
    default=0.0,
    metavar="SHARE",
    help="the share of bad rows to set aside (default: 0, the first one stops)",
  )
  parser.add_argument(
    "--quarantine",
    type=pathlib.Path,
    metavar="FILE",
    help="where to write bad rows; needed with --max-bad-share",
  )
  return parser
