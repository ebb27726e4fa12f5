# SPDX-License-Identifier: Apache-2.0
"""`ramjax convert vocab`: more or fewer tokens in a model, and in its tokenizer."""

import argparse
import pathlib
import re
import sys
import tempfile
from collections.abc import Sequence

from ramjax.data import add_tokens
from ramjax.data.tokenizer_backend import MAX_VOCAB_SIZE
from ramjax.models import carried_files, resized_vocab
from ramjax.models.open_model import open_model
from ramjax.models.resized_vocab import ResizedVocab
from ramjax.tools import chat_files, convert_options, model_card, write_model


def main(argv: Sequence[str]) -> int:
  """Converts, and says what was written."""
  args = _parser().parse_args(argv)
  source = open_model(args.source, step=args.step, average=args.average)
  old_size = source.config.vocab_size
  with tempfile.TemporaryDirectory() as folder:
    carried = pathlib.Path(folder)
    fields = chat_files.stage(
      args.source, carried, max_positions=source.config.max_positions
    )
    carried_files.save_config(fields, carried)
    num_before, num_tokens = _add_tokens(args.source, args.add_token, carried)
    size = new_size(
      old_size, num_tokens, wanted=args.size, multiple=args.pad_to_multiple
    )
    if size == old_size and not args.add_token:
      raise ValueError(
        f"{args.source} has {old_size:,} rows already, and no token is added:"
        " there is nothing to do."
      )
    kept = min(old_size, size)
    if args.add_token:  # Rows beyond the old tokens were padding.
      kept = min(kept, num_before)
    resized = ResizedVocab(source, size, init=args.init, num_kept=kept)
    provenance = {
      "command": "convert vocab",
      "source": str(args.source),
      "version": model_card.version(),
      "of_source": model_card.read_provenance(args.source),
      "added_tokens": args.add_token,
      "init": args.init,
      "rows_kept": kept,
    }
    if (step := getattr(source, "step", None)) is not None:
      provenance["step"] = step
    total = write_model.write_model(
      resized,
      args.target,
      layout=convert_options.layout(args.to, source),
      like=carried,
      provenance=provenance,
      allow_nonfinite=args.allow_nonfinite,
    )
  if not num_tokens:
    print(f"note: {args.source} has no tokenizer.", file=sys.stderr)
  for id_, name in enumerate(args.add_token, num_before):
    print(f"{name}: id {id_}")
  print(
    f"{args.target}: {size:,} rows (before: {old_size:,}), {num_tokens:,} of"
    f" tokens, {size - kept:,} new; {len(resized.specs)} tensors,"
    f" {total / 1e9:.2f} GB, {resized.config.num_parameters:,} parameters"
  )
  return 0


def new_size(
  old_size: int, num_tokens: int, *, wanted: int | None, multiple: int
) -> int:
  """Rows of the resized model.

  Args:
    old_size: Rows of the model.
    num_tokens: Tokens of its tokenizer, added ones included; 0 if it has none.
    wanted: What the user asks for; None is the rows there are, or one for each
      token where these are more.
    multiple: The result is rounded up to a multiple of it.

  Raises:
    ValueError: Fewer rows than tokens, fewer without a tokenizer that tells
      which are free, or more than a tokenizer may have.
  """
  if wanted is not None and wanted < num_tokens:
    raise ValueError(
      f"--size={wanted} is too small: the tokenizer has {num_tokens:,} tokens,"
      " and each needs its row."
    )
  if wanted is None:
    wanted = max(old_size, num_tokens)
  size = -(-wanted // multiple) * multiple
  if size < old_size and not num_tokens:
    raise ValueError(
      f"--size={wanted} would take rows away, and there is no tokenizer to tell"
      f" which of the {old_size:,} are free. Put the model's tokenizer into its"
      " folder."
    )
  if size > MAX_VOCAB_SIZE:
    raise ValueError(
      f"{size:,} rows are more than the {MAX_VOCAB_SIZE:,} that a tokenizer may"
      " have tokens."
    )
  return size


def _add_tokens(
  model: pathlib.Path, added: Sequence[str], folder: pathlib.Path
) -> tuple[int, int]:
  """Adds tokens to the tokenizer of `model`, staged in a folder.

  Returns:
    The tokenizer's tokens before and after; 0 where the model has none.
  """
  if carried_files.tokenizer_folder(folder) is None:
    if added:
      raise ValueError(
        f"{model} has no tokenizer.json, to which --add-token could add. Put"
        " the model's there."
      )
    return 0, 0
  before = chat_files.load_tokenizer(folder).vocab_size
  if not added:
    return before, before
  try:
    return before, add_tokens.add_special_tokens(folder, added).vocab_size
  except ValueError as error:
    # The user knows the model's folder, not where its files were staged.
    message = str(error).replace(str(folder), str(model))
    raise ValueError(message) from error


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax convert vocab",
    description=(
      "Change the number of rows of a model's embedding and head, and add"
      " special\ntokens to its tokenizer. SRC is a run's folder or a Hugging"
      " Face one. Rows that\nstay are kept to the byte.\n\n"
      "Without --size the model keeps its rows, or gets one for each token where"
      " these\nare more. Rows beyond the tokenizer's last id are padding:"
      " generation masks\nthem, and they cost memory only. New tokens take the"
      " ids after the last, so rows\nof padding are used first, and made anew."
      " Rows can be taken away down to the\ntokenizer's size."
    ),
    epilog=(
      "examples:\n"
      "  ramjax convert vocab Llama-3.2-1B with-tool --add-token='<|tool|>'\n"
      "  ramjax convert vocab runs/mine padded --pad-to-multiple=128"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument("source", metavar="SRC", type=pathlib.Path)
  parser.add_argument("target", metavar="DST", type=pathlib.Path)
  parser.add_argument(
    "--add-token",
    action="append",
    default=[],
    metavar="TOKEN",
    help="special token to add to tokenizer.json, as '<|tool|>'; may be given"
    " several times",
  )
  parser.add_argument(
    "--size",
    type=_positive,
    metavar="NUM",
    help="rows to have, not fewer than the tokenizer has tokens",
  )
  parser.add_argument(
    "--pad-to-multiple",
    type=_positive,
    default=1,
    metavar="NUM",
    help="round the rows up to a multiple, such as 128, which matrix units and"
    " meshes divide evenly",
  )
  parser.add_argument(
    "--init",
    choices=resized_vocab.INITS,
    default=resized_vocab.MEAN,
    help="new rows: the mean of the kept ones (a new token is then no likelier"
    " than others), or zeros (default: %(default)s)",
  )
  convert_options.add_layout(parser)
  convert_options.add_checkpoint(parser)
  convert_options.add_allow_nonfinite(parser)
  return parser


def _positive(text: str) -> int:
  if not re.fullmatch("[1-9][0-9]{0,8}", text):
    raise argparse.ArgumentTypeError(
      f"{text!r} is no whole number from 1 to 999999999."
    )
  return int(text)
