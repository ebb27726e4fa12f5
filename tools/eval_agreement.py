# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval agreement`: how far annotators agree on the labels of items."""

import argparse
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.evals import bounded_records, cohens_kappa
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.tools import eval_result

_FIELDS = ("item", "annotator", "label")


def main(argv: Sequence[str]) -> int:
  """Prints the agreement of annotators.

  Args:
    argv: The arguments behind `ramjax eval agreement`.

  Returns:
    0.

  Raises:
    ValueError: The file holds no labels, or they say two things.
    OSError: A file cannot be read or written.
  """
  args = parse(argv)
  if args.out is not None:
    eval_result.prepare(
      args.out,
      benchmark="agreement",
      model=args.verdicts.name,
      files=[],
      inputs=[args.verdicts],
    )
  evaluation = evaluate(read_labels(args.verdicts), args.verdicts.name)
  eval_result.conclude(
    evaluation,
    args.out,
    inputs=[args.verdicts],
    command=["ramjax", "eval", "agreement", *argv],
  )
  return 0


def read_labels(path: pathlib.Path) -> dict[str, dict[str, str]]:
  """Item -> annotator -> label, items and labels as canonical JSON.

  Raises:
    ValueError: A record lacks a field, an annotator labelled an item twice, or
      there is more than `bounded_records` allows.
  """
  labels: dict[str, dict[str, str]] = {}
  places: dict[tuple[str, str], str] = {}
  what = f"objects of {', '.join(_FIELDS)}"
  for where, record in bounded_records.read_objects(path, what, _FIELDS):
    item, label = (_scalar(record, name, where) for name in ("item", "label"))
    annotator = record.get("annotator")
    if not isinstance(annotator, str):
      raise ValueError(
        f"{where}: annotator is {_kind(annotator)}: write a name."
      )
    if not annotator or not annotator.isprintable():
      raise ValueError(
        f"{where}: annotator={annotator[:80]!a}: write printable characters, one"
        " or more."
      )
    first = places.setdefault((item, annotator), where)
    if first != where:
      raise ValueError(
        f"{where}: annotator={annotator[:80]!r} labelled item={item[:80]}"
        f" already at {first}: keep one label."
      )
    labels.setdefault(item, {})[annotator] = label
  return labels


def _scalar(record: Mapping[str, Any], name: str, where: str) -> str:
  """A field as canonical JSON: 1 and 1.0 are the same, 1 and "1" are not."""
  value = record.get(name)
  if not isinstance(value, str | int | float):
    raise ValueError(
      f"{where}: {name} is {_kind(value)}: write a string, a number, true or"
      " false."
    )
  if isinstance(value, float) and not math.isfinite(value):
    raise ValueError(
      f"{where}: {name} is {value}, which is no number: write what was labelled,"
      " or drop the record."
    )
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  return json.dumps(value)


def _kind(value: object) -> str:
  return "missing" if value is None else f"a {type(value).__name__}"


def evaluate(labels: dict[str, dict[str, str]], name: str) -> Evaluation:
  """The agreement of all annotators.

  Args:
    labels: From `read_labels`.
    name: What they are called.

  Raises:
    ValueError: No item has labels of two annotators.
  """
  compared = {item: given for item, given in labels.items() if len(given) > 1}
  if not compared:
    raise ValueError(
      f"{name}: none of {len(labels)} items has labels of two annotators: there"
      " is nothing to compare."
    )
  pairs = cohens_kappa.pairwise(compared)
  others = cohens_kappa.leave_one_out(compared)
  kappas = [x.kappa for x in pairs.values() if x.kappa is not None]
  pair_rows: list[dict[str, Value]] = [
    {
      "annotator": one,
      "and": other,
      "items": agreement.items,
      "observed, share": agreement.observed,
      "expected, share": agreement.expected,
      "kappa": agreement.kappa,
    }
    for (one, other), agreement in pairs.items()
  ]
  total = [x for shares in others.values() for x in shares]
  left_out = len(labels) - len(compared)
  no_kappa = sum(x.kappa is None for x in pairs.values())
  alone = set(cohens_kappa.annotators(labels)) - set(others)
  counted = {
    "items with a single annotator, left out": left_out,
    "pairs of annotators without a kappa": no_kappa,
    "annotators without an item that another one labelled": len(alone),
  }
  return Evaluation(
    benchmark="agreement",
    model=name,
    figures={
      "items": len(compared),
      "annotators": len(others),
      "mean kappa of pairs": cohens_kappa.mean(kappas),
      "agreement with the others' majority, share": cohens_kappa.mean(total),
    },
    tables={
      "pairs": pair_rows,
      "annotators, against the majority of the others": [
        {
          "annotator": one,
          "items": len(shares),
          "agreement, share": cohens_kappa.mean(shares),
        }
        for one, shares in others.items()
      ],
    },
    counted={rule: n for rule, n in counted.items() if n},
    notes=[
      "kappa = (observed - expected) / (1 - expected): 1 is full agreement, 0"
      " what chance makes of how often each annotator gave each label. It is"
      " undefined where two annotators gave one and the same label throughout"
      " (expected 1) or share no item.",
      "Where k labels are most frequent among the others, one of them agrees by"
      " 1/k.",
    ],
  )


def parse(argv: Sequence[str]) -> argparse.Namespace:
  """The options."""
  return make_parser().parse_args(argv)


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval agreement",
    description=(
      "How far annotators agree: Cohen's kappa of each pair, on the items that"
      " both labelled, and the\nagreement of each with the majority of the"
      " others. Reads records with item, annotator and label."
    ),
    epilog="example:\n  ramjax eval agreement --verdicts=labels.jsonl",
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--verdicts",
    type=pathlib.Path,
    required=True,
    metavar="FILE",
    help="records {item, annotator, label}: JSONL, a JSON list or Parquet, of at"
    f" most {bounded_records.MAX_ROWS:,} records",
  )
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    metavar="DIR",
    help=f"write {eval_result.FILE}",
  )
  return parser
