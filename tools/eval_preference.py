# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval preference`: how often the chosen answer scores higher."""

import argparse
import math
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ramjax.data import group_rows, load, parse_rows
from ramjax.data.load import LoadedRows
from ramjax.data.read import DataError
from ramjax.data.rows import PreferenceRow
from ramjax.data.tokenizers import Tokenizer
from ramjax.evals import (
  record_file,
  replaced_file,
  response_rows,
  scored_pairs,
)
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.evals.padded_rows import Row
from ramjax.evals.response_scorers import LOGP, MEAN_LOGP
from ramjax.evals.scored_pairs import ScoredPair
from ramjax.tools import eval_result, scoring_options
from ramjax.tools.scoring_model import Scoring
from ramjax.tools.scoring_options import SCORES_FILE

_BENCHMARK = "preference"
_BAD_FILE = "quarantine.jsonl"
_SUBSET = "subset"


class _Kept(NamedTuple):
  """What tokenising left of the pairs.

  Attributes:
    pairs: The index of each pair that is left.
    counts: By rule, see `group_rows.tokenize_group_rows`.
  """

  pairs: list[int]
  counts: Mapping[str, int]


class Parsed(NamedTuple):
  """A command line, and the pairs that it names.

  Attributes:
    args: Its options.
    loaded: The pairs.
    subsets: The one that each pair names, None where it names none.
    bad_rows: What is to stand in the file of bad rows.
  """

  args: argparse.Namespace
  loaded: LoadedRows[PreferenceRow]
  subsets: list[str | None]
  bad_rows: str


def main(argv: Sequence[str]) -> int:
  """Writes the figures and scores with --out, and prints the figures.

  Args:
    argv: The arguments behind `ramjax eval preference`.

  Returns:
    0.

  Raises:
    ValueError, OSError: For `ramjax eval` to print.
  """
  parsed = parse(argv)
  args = parsed.args
  scoring = scoring_options.open_scoring(args)
  data = pathlib.Path(args.data)
  inputs = [data] if data.is_file() else []
  if args.out is not None:
    eval_result.prepare(
      args.out,
      benchmark=_BENCHMARK,
      model=str(args.model),
      files=[SCORES_FILE, *([_BAD_FILE] if args.max_bad_share else [])],
      inputs=inputs,
    )
    if args.max_bad_share:
      replaced_file.replace_file(args.out / _BAD_FILE, [parsed.bad_rows])
  rows, kept = _tokenized(scoring, parsed.loaded.rows)
  places = [
    f"{parsed.loaded.places[i]}, {side}"
    for i in kept.pairs
    for side in ("chosen", "rejected")
  ]
  scores = scoring.score(rows, places)
  pairs = _pairs(rows, scores, kept, parsed)
  evaluation = _evaluation(parsed, scoring, rows, scores, pairs, kept)
  written = []
  if args.out is not None:
    records = map(scored_pairs.record, pairs)
    path = record_file.write_records(args.out / SCORES_FILE, records)
    written.append(path)
  eval_result.conclude(
    evaluation,
    args.out,
    inputs=inputs,
    command=["ramjax", "eval", "preference", *argv],
    model_identity=scoring.identity(),
    written_before=written,
  )
  return 0


def parse(argv: Sequence[str]) -> Parsed:
  """Reads a command line and its pairs; refuses what needs no model to tell.

  Args:
    argv: The arguments behind `ramjax eval preference`.

  Raises:
    ValueError: Options that do not go together, or pairs that cannot be read.
    OSError: The pairs, or a reference, are not there.
  """
  args = make_parser().parse_args(argv)
  if args.max_bad_share and args.out is None:
    raise ValueError(
      "--max-bad-share needs --out=DIR: bad rows are set aside in its"
      f" {_BAD_FILE}."
    )
  scoring_options.check(args)
  # It is not yet time to write to --out.
  with tempfile.TemporaryDirectory() as folder:
    aside = pathlib.Path(folder) / _BAD_FILE
    loaded = _load(args, aside)
    bad_rows = aside.read_text("utf-8") if args.max_bad_share else ""
  return Parsed(args, loaded, _subsets(args, loaded), bad_rows)


def _load(
  args: argparse.Namespace, aside: pathlib.Path
) -> LoadedRows[PreferenceRow]:
  """The pairs, read as training reads them; bad rows are put `aside`."""
  share = args.max_bad_share
  try:
    return load.load_rows(
      args.data,
      parse=parse_rows.parse_preference,
      max_bad_share=share,
      quarantine_path=aside if share else None,
    )
  except DataError as error:
    # It speaks to who trains, and of a file that does not stay.
    text = str(error).replace("data.max_bad_share", "--max-bad-share")
    raise ValueError(text.replace(f" (all are in {aside})", "")) from None


def _subsets(
  args: argparse.Namespace, loaded: LoadedRows[PreferenceRow]
) -> list[str | None]:
  """The subset that each pair names, None where it names none."""
  name = args.subset_field or _SUBSET
  found = [record.get(name) for record in loaded.records]
  subsets = [
    str(value)
    if isinstance(value, str | int)
    and not isinstance(value, bool)
    and value != ""
    else None
    for value in found
  ]
  if args.subset_field is not None and not any(subsets):
    raise ValueError(
      f"--subset-field={args.subset_field}: no row of {args.data} has that field"
      " with a name in it."
    )
  return subsets


def _tokenized(
  scoring: Scoring, pairs: Sequence[PreferenceRow]
) -> tuple[list[Row], _Kept]:
  """Two rows for each pair, the chosen one first."""
  of_text = all(isinstance(pair.prompt, str) for pair in pairs)
  template = scoring.template(of_text=of_text)

  def make(tokenizer: Tokenizer) -> tuple[list[Row], _Kept]:
    groups, kept, counts = group_rows.tokenize_group_rows(
      pairs,
      template=template,
      tokenizer=tokenizer,
      max_length=scoring.max_length,
      label="pairs",
    )
    rows = [row for group in groups for row in response_rows.group_rows(group)]
    return rows, _Kept(kept, counts)

  rows, kept = scoring.tokenized(make)
  if not rows:
    raise ValueError(
      f"in all {len(pairs)} pairs the answers are the same once they are cut to"
      f" --max-length={scoring.max_length}: raise it."
    )
  return rows, kept


def _pairs(
  rows: Sequence[Row],
  scores: np.ndarray,
  kept: _Kept,
  parsed: Parsed,
) -> list[ScoredPair]:
  lengths = [response_rows.num_scored(row) for row in rows]
  return [
    ScoredPair(
      where=parsed.loaded.places[i],
      subset=parsed.subsets[i],
      chosen=float(scores[2 * at]),
      rejected=float(scores[2 * at + 1]),
      chosen_tokens=lengths[2 * at],
      rejected_tokens=lengths[2 * at + 1],
    )
    for at, i in enumerate(kept.pairs)
  ]


def _evaluation(
  parsed: Parsed,
  scoring: Scoring,
  rows: Sequence[Row],
  scores: np.ndarray,
  pairs: Sequence[ScoredPair],
  kept: _Kept,
) -> Evaluation:
  args, loaded = parsed.args, parsed.loaded
  figures: dict[str, Value] = {"scorer": scoring.kind}
  figures |= scored_pairs.figures(pairs)
  if scoring.kind in (LOGP, MEAN_LOGP):
    for k, side in enumerate(("chosen", "rejected")):
      figures[f"perplexity, {side}"] = _perplexity(
        scoring.kind, rows[k::2], scores[k::2]
      )
  counted = {
    f"rows cannot be read, and are in {_BAD_FILE}": loaded.num_quarantined,
    "pairs are left out: their answers are the same once they are cut": (
      kept.counts["rows_identical"]
    ),
    "pairs are longer than --max-length, and cut as in training": (
      kept.counts["rows_truncated"]
    ),
    "pairs have two answers of one score, and count half": (
      scored_pairs.num_ties(pairs)
    ),
  }
  notes = [scoring.describe()]
  if scoring.kind in (LOGP, MEAN_LOGP):
    notes.append(
      "No training makes a confidence of such scores: calibration says how far"
      " they are from one."
    )
  if not pathlib.Path(args.data).is_file():
    notes.append(f"{args.data} has the fingerprint {loaded.fingerprint}.")
  return Evaluation(
    benchmark=_BENCHMARK,
    model=str(args.model),
    figures=figures,
    tables=scored_pairs.tables(pairs),
    counted={rule: n for rule, n in counted.items() if n},
    notes=notes,
  )


def _perplexity(
  kind: str, rows: Sequence[Row], scores: np.ndarray
) -> float | None:
  """By token, of all answers together; None where it is too large a number."""
  lengths = np.array([response_rows.num_scored(row) for row in rows])
  totals = scores * lengths if kind == MEAN_LOGP else scores
  try:
    return math.exp(-float(totals.sum()) / int(lengths.sum()))
  except OverflowError:
    return None


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval preference",
    description=(
      "How often a model scores the chosen answer of a pair above the rejected"
      " one: accuracy with its\n95 % interval (Wilson), by subset and by which"
      " answer is longer, and whether margins mean what\nBradley and Terry say"
      " they do (reward models and DPO's implicit rewards). A tie counts half."
      " Pairs\nare read, rendered and cut as training does."
    ),
    epilog=(
      "examples:\n"
      "  ramjax eval preference --data=pairs.jsonl --model=runs/reward"
      " --out=evals/pairs\n"
      "  ramjax eval preference --data=pairs.jsonl --model=runs/dpo"
      " --reference=runs/sft"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--data",
    required=True,
    metavar="PAIRS",
    help="rows with chosen and rejected answers, in any of the forms that"
    " training takes: a file (.jsonl, .json, .parquet), or another source",
  )
  parser.add_argument(
    "--model",
    required=True,
    type=pathlib.Path,
    metavar="FOLDER",
    help="a run's folder or a Hugging Face one, with its tokenizer: a reward"
    " model, or a language model",
  )
  parser.add_argument(
    "--subset-field",
    metavar="NAME",
    help=f"the field that tells rows apart (default: {_SUBSET!r}, where rows"
    " have it)",
  )
  parser.add_argument(
    "--max-bad-share",
    type=_share,
    default=0.0,
    metavar="SHARE",
    help="share of rows that cannot be read and are set aside, at most"
    f" (default: 0); needs --out, where they go to {_BAD_FILE}",
  )
  scoring_options.add_options(parser)
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    metavar="DIR",
    help=f"write {eval_result.FILE} and {SCORES_FILE} there, at the end: a run"
    " that was stopped starts over",
  )
  return parser


def _share(text: str) -> float:
  try:
    value = float(text)
  except ValueError:
    value = -1.0
  if not 0 <= value <= 1:
    raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 to 1")
  return value
