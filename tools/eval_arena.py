# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval arena`: ratings of models from verdicts on pairs."""

import argparse
import pathlib
from collections.abc import Sequence

import numpy as np

from ramjax.evals import arena_verdicts, bounded_records, bradley_terry
from ramjax.evals.arena_verdicts import Battles
from ramjax.evals.bradley_terry import Verdicts
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.tools import eval_result, option_types

MATRIX = "win_matrix"
# Below it, an interval's ends are few draws' values.
_FEW_DRAWS = 100
# Categories that are rated; a column with nearly an id for each verdict is none.
_MOST_CATEGORIES = 50


def main(argv: Sequence[str]) -> int:
  """Prints the ratings.

  Args:
    argv: The arguments behind `ramjax eval arena`.

  Returns:
    0.

  Raises:
    ValueError: The file holds no verdicts, or they allow no ratings.
    OSError: A file cannot be read or written.
  """
  args = parse(argv)
  if args.out is not None:
    eval_result.prepare(
      args.out,
      benchmark="arena",
      model=args.verdicts.name,
      files=[],
      inputs=[args.verdicts],
    )
  battles = arena_verdicts.read_battles(args.verdicts)
  evaluation = evaluate(
    battles,
    args.verdicts.name,
    anchor=args.anchor,
    draws=args.bootstrap,
    seed=args.seed,
    ridge=args.ridge,
    elo_k=args.elo_k,
  )
  eval_result.conclude(
    evaluation,
    args.out,
    inputs=[args.verdicts],
    command=["ramjax", "eval", "arena", *argv],
    hidden=[MATRIX],
  )
  return 0


def evaluate(
  battles: Battles,
  name: str,
  *,
  anchor: str | None,
  draws: int,
  seed: int,
  ridge: float,
  elo_k: float | None,
) -> Evaluation:
  """Ratings with their intervals.

  Args:
    battles: From `arena_verdicts.read_battles`.
    name: What they are called.
    anchor: The model rated 1000; without one the mean is.
    draws: Of the bootstrap; 0 for no intervals.
    seed: Of the bootstrap.
    ridge: See `bradley_terry.fit`.
    elo_k: K of online Elo, which is left out without.

  Raises:
    ValueError: There is no such anchor, or no finite strengths fit best.
  """
  verdicts = battles.verdicts
  strengths, found = _rated(verdicts, anchor, ridge)
  samples = None
  if draws:
    samples = bradley_terry.bootstrap(
      verdicts, draws=draws, seed=seed, ridge=ridge
    )
  order = sorted(
    range(len(found)), key=lambda i: (-found[i], verdicts.models[i])
  )
  chances = bradley_terry.win_probabilities(strengths)
  by_category, of_categories = _categories(battles, found, anchor, ridge, order)
  infinite = 0 if samples is None else int(np.isnan(samples[:, 0]).sum())
  counted = {
    "ties, half a win each": int((verdicts.share == 0.5).sum()),
    "of these with both answers bad": battles.both_bad,
    "bootstrap draws without finite strengths": infinite,
  }
  return Evaluation(
    benchmark="arena",
    model=name,
    figures={
      "models": len(verdicts.models),
      "verdicts": len(verdicts.share),
      "log loss, nats": _log_loss(bradley_terry.win_matrix(verdicts), chances),
    },
    tables={
      "ratings": _ratings_table(
        verdicts, found, order, anchor=anchor, samples=samples, elo_k=elo_k
      ),
      **({"ratings by category": by_category} if by_category else {}),
      MATRIX: _matrix_table(verdicts.models, chances, order),
    },
    counted={rule: n for rule, n in counted.items() if n},
    notes=[*_notes(anchor, draws, infinite, ridge, elo_k), *of_categories],
  )


def _rated(
  verdicts: Verdicts, anchor: str | None, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
  """Log strengths and ratings; refuses what has none."""
  at = _index(verdicts.models, anchor)
  wins = bradley_terry.win_matrix(verdicts)
  bradley_terry.require_comparable(wins, verdicts.models, ridge=ridge)
  strengths = bradley_terry.fit(wins, ridge=ridge)
  return strengths, bradley_terry.ratings(strengths, at)


def _index(models: Sequence[str], anchor: str | None) -> int | None:
  if anchor is None:
    return None
  if anchor not in models:
    raise ValueError(
      f"--anchor={anchor}: not one of the models: {', '.join(sorted(models))}."
    )
  return models.index(anchor)


def _ratings_table(
  verdicts: Verdicts,
  found: np.ndarray,
  order: Sequence[int],
  *,
  anchor: str | None,
  samples: np.ndarray | None,
  elo_k: float | None,
) -> list[dict[str, Value]]:
  wins = bradley_terry.win_matrix(verdicts)
  games = (wins + wins.T).sum(axis=1)
  ends = None
  if samples is not None:
    at = _index(verdicts.models, anchor)
    ends = bradley_terry.intervals(bradley_terry.ratings(samples, at))
  elo = None
  if elo_k is not None:
    elo = bradley_terry.online_elo(verdicts, k=elo_k)
  rows = []
  for i in order:
    row: dict[str, Value] = {
      "model": verdicts.models[i],
      "rating": float(found[i]),
    }
    if ends is not None:
      row |= {"95% from": ends[0][i], "to": ends[1][i]}
    row |= {
      "games": int(games[i]),
      "win share": float(wins[i].sum() / games[i]),
    }
    if elo is not None:
      row["online Elo"] = float(elo[i])
    rows.append(row)
  return rows


def _matrix_table(
  models: Sequence[str], chances: np.ndarray, order: Sequence[int]
) -> list[dict[str, Value]]:
  """Predicted share of wins of each row's model over each column's."""
  return [
    {
      "model": models[i],
      **{f"over {models[j]}": float(chances[i, j]) for j in order if j != i},
    }
    for i in order
  ]


def _log_loss(wins: np.ndarray, chances: np.ndarray) -> float:
  """Mean of -log P(verdict), in nats; a tie is half of each."""
  won = wins > 0
  return -float((wins[won] * np.log(chances[won])).sum() / wins.sum())


def _categories(
  battles: Battles,
  overall: np.ndarray,
  anchor: str | None,
  ridge: float,
  order: Sequence[int],
) -> tuple[list[dict[str, Value]], list[str]]:
  """Ratings within each category, and what a reader of them needs.

  Without an anchor, the mean of a category is that of its models' overall
  ratings, so that both can be compared.
  """
  all_models = battles.verdicts.models
  whole = dict(zip(all_models, overall.tolist(), strict=True))
  columns: dict[str, dict[str, float]] = {}
  failed: list[str] = []
  for category, part in battles.by_category(_MOST_CATEGORIES):
    try:
      _, found = _rated(part, anchor, ridge)
    except ValueError as error:
      failed.append(f"{category}: {error}")
      continue
    if anchor is None:
      found += np.mean([whole[name] for name in part.models]) - found.mean()
    heading = f"{category} ({len(part.share)})"
    columns[heading] = dict(zip(part.models, found.tolist(), strict=True))
  notes = _category_notes(battles.num_categories, len(columns), failed, anchor)
  if not columns:
    return [], notes
  models = [all_models[i] for i in order]
  table: list[dict[str, Value]] = [
    {"model": name, **{h: column.get(name) for h, column in columns.items()}}
    for name in models
  ]
  return table, notes


def _category_notes(
  number: int, num_rated: int, failed: Sequence[str], anchor: str | None
) -> list[str]:
  notes = []
  if num_rated and anchor is None:
    notes.append(
      "Ratings by category: the mean of each category's models is that of their"
      " overall ratings."
    )
  if number > _MOST_CATEGORIES:
    notes.append(
      f"Of {number:,} categories only the {_MOST_CATEGORIES} with most verdicts"
      " are rated."
    )
  if failed:
    notes.append(
      f"No ratings for {len(failed):,} of the categories; one is {failed[0]}"
    )
  return notes


def _notes(
  anchor: str | None,
  draws: int,
  infinite: int,
  ridge: float,
  elo_k: float | None,
) -> list[str]:
  base = "the mean" if anchor is None else anchor
  notes = [
    f"Bradley-Terry strengths on the Elo scale: {base} is at 1000, and 400"
    " points are odds of 10 to 1."
  ]
  if draws:
    notes.append(
      f"Intervals: 95 % percentiles of {draws:,} bootstrap draws of verdicts,"
      " which are taken to be independent, also those of one question."
    )
  if 0 < draws < _FEW_DRAWS:
    notes.append(f"WARNING: {draws} draws are too few for 95 % intervals.")
  if infinite:
    notes.append(
      f"In {infinite:,} of {draws:,} draws a model won or lost everything:"
      " these count as beyond the end of every interval, and an end that is"
      " then infinite is left out."
    )
  if ridge:
    notes.append(
      f"With a ridge of {ridge:g}: a normal prior of variance {1 / ridge:g} (in"
      " nats) pulls strengths together, so that they are finite. They are not"
      " those of most likelihood."
    )
  if elo_k is not None:
    notes.append(
      f"Online Elo (K = {elo_k:g}) depends on the order of the verdicts, which"
      " is the file's."
    )
  return notes


def parse(argv: Sequence[str]) -> argparse.Namespace:
  """The options."""
  return make_parser().parse_args(argv)


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval arena",
    description=(
      "Ratings of models from verdicts on pairs of their answers: strengths of"
      " Bradley and Terry on the\nElo scale, with intervals. Reads records in"
      " Chatbot Arena's format: model_a, model_b and winner\n"
      f"({', '.join(arena_verdicts.SHARES)}); category and question_id may be\nmissing. Models"
      " that cannot be compared, or won or lost everything, are refused by"
      " name."
    ),
    epilog=(
      "example:\n"
      "  ramjax eval arena --verdicts=battles.jsonl --anchor=llama-2-7b-chat"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--verdicts",
    type=pathlib.Path,
    required=True,
    metavar="FILE",
    help="JSONL, a JSON list or Parquet, of at most"
    f" {bounded_records.MAX_ROWS:,} records",
  )
  parser.add_argument(
    "--anchor",
    metavar="MODEL",
    help="the model rated 1000 (default: the mean is 1000)",
  )
  parser.add_argument(
    "--bootstrap",
    type=option_types.count,
    default=1000,
    metavar="N",
    help="draws for the intervals, 0 for none (default: %(default)s)",
  )
  parser.add_argument(
    "--seed",
    type=option_types.count,
    default=0,
    metavar="N",
    help="of the draws (default: %(default)s)",
  )
  parser.add_argument(
    "--ridge",
    type=option_types.positive_float,
    default=0.0,
    metavar="X",
    help="pull strengths together, so that a model that won everything has one"
    " (default: none)",
  )
  parser.add_argument(
    "--elo-k",
    type=option_types.positive_float,
    metavar="K",
    help="add online Elo, which depends on the verdicts' order; Chatbot Arena"
    " had 4",
  )
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    metavar="DIR",
    help=f"write {eval_result.FILE}, with the predicted share of wins of each"
    " pair",
  )
  return parser
