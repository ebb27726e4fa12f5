# SPDX-License-Identifier: Apache-2.0
"""`ramjax tokenizer`: trains a tokenizer on the texts of a source of rows."""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from ramjax.data import (
  load,
  parse_rows,
  sources,
  templates,
  tokenizers,
  train_tokenizer,
)


def main(argv: Sequence[str]) -> int:
  """Trains a tokenizer and says what it is like.

  Args:
    argv: The arguments behind `ramjax tokenizer`.

  Returns:
    The exit status: 0, or 1 if it cannot be trained. Wrong arguments exit with
    2, as argparse does.
  """
  args = _parser().parse_args(argv)
  try:
    rows = load.load_rows(
      args.rows,
      parse=parse_rows.parse_sft,
      max_bad_share=args.max_bad_share,
      quarantine_path=args.quarantine,
    ).rows
    train_tokenizer.train_sentencepiece(
      sources.row_texts(rows, template=args.template),
      path=args.out,
      vocab_size=args.vocab_size,
      model_type=args.model_type,
      character_coverage=args.character_coverage,
    )
    tokenizer = tokenizers.load_tokenizer(args.out)
  except (ValueError, OSError) as error:
    print(f"ramjax tokenizer: {error}", file=sys.stderr)
    return 1
  num_chars = num_tokens = 0
  for text in sources.row_texts(rows, template=args.template):
    num_chars += len(text)
    num_tokens += len(tokenizer.encode(text, at_start=True))
  print(
    f"{args.out}: {tokenizer.vocab_size} tokens, of which one spells"
    f" {num_chars / num_tokens:.2f} characters of {args.rows} on average;"
    f" SHA-256 {tokenizer.digest}"
  )
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax tokenizer",
    description=(
      "Train a sentencepiece tokenizer on the prompts and answers of a data"
      " set, for\na model trained from scratch. A model that was trained"
      " before keeps its own."
    ),
    epilog=(
      "The same rows and settings give the same file."
      "\n\nexample:\n  ramjax tokenizer --rows train.jsonl --vocab-size 4096"
      " --out tok.model"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--rows",
    required=True,
    metavar="FILE",
    help="rows as .jsonl, .json (each also .gz) or .parquet, in a format of"
    " TRL; or any other source that a config can name",
  )
  parser.add_argument(
    "--vocab-size",
    required=True,
    type=int,
    metavar="NUM",
    help="number of tokens, 4 special ones and the 256 bytes included",
  )
  parser.add_argument(
    "--out",
    required=True,
    metavar="MODEL",
    help="the file to write, such as tok.model; an older one is replaced",
  )
  parser.add_argument(
    "--template",
    choices=templates.TEMPLATE_NAMES,
    default="plain",
    help="chat template whose headings the texts get, so that they cost few"
    " tokens (default: %(default)s)",
  )
  parser.add_argument(
    "--model-type",
    choices=("bpe", "unigram"),
    default="bpe",
    help="how the vocabulary is chosen (default: %(default)s, as Llama's)",
  )
  parser.add_argument(
    "--character-coverage",
    type=float,
    default=1.0,
    metavar="SHARE",
    help="share of the characters that get a token of their own; the rarest"
    " are spelt in bytes (default: %(default)s)",
  )
  parser.add_argument(
    "--max-bad-share",
    type=float,
    default=0.0,
    metavar="SHARE",
    help="share of bad rows to set aside, 0 to 1 (default: 0, the first stops)",
  )
  parser.add_argument(
    "--quarantine",
    type=pathlib.Path,
    metavar="FILE",
    help="where to write the bad rows, as JSONL",
  )
  return parser
