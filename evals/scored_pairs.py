# SPDX-License-Identifier: Apache-2.0
"""What scores of chosen and rejected answers say of their scorer."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ramjax.data.wilson import wilson_interval
from ramjax.evals import pair_accuracy
from ramjax.evals.evaluation import Value

# Of a pair that names no subset where others do.
_NO_SUBSET = "(none)"


class ScoredPair(NamedTuple):
  """A pair of answers and their scores.

  Attributes:
    where: Its place in the data.
    subset: The part of the data it is of; None where it names none.
    chosen: Score of the better answer.
    rejected: Score of the worse one.
    chosen_tokens: Tokens of the better answer, its end among them.
    rejected_tokens: The same of the worse one.
  """

  where: str
  subset: str | None
  chosen: float
  rejected: float
  chosen_tokens: int
  rejected_tokens: int


def figures(pairs: Sequence[ScoredPair]) -> dict[str, Value]:
  """Figures of all pairs together; at least one."""
  margins = _margins(pairs)
  told = _accuracy(margins)
  return {
    "pairs": told["pairs"],
    "accuracy, %": told["accuracy, %"],
    "accuracy, 95 % from": told["from"],
    "accuracy, 95 % to": told["to"],
    "mean margin": float(margins.mean()),
    "mean score, chosen": _mean([pair.chosen for pair in pairs]),
    "mean score, rejected": _mean([pair.rejected for pair in pairs]),
    "calibration error, share": pair_accuracy.calibration(margins)[
      "calibration_error"
    ],
    "mean length, chosen, tokens": _mean([p.chosen_tokens for p in pairs]),
    "mean length, rejected, tokens": _mean([p.rejected_tokens for p in pairs]),
  }


def tables(
  pairs: Sequence[ScoredPair],
) -> dict[str, list[dict[str, Value]]]:
  """Accuracy by subset (where there are any) and length, and calibration."""
  found: dict[str, list[dict[str, Value]]] = {}
  if any(pair.subset is not None for pair in pairs):
    found["by subset"] = _table(
      "subset",
      [_NO_SUBSET if pair.subset is None else pair.subset for pair in pairs],
      pairs,
    )
  found["by length"] = _table("chosen is", [_length(p) for p in pairs], pairs)
  found["calibration"] = [
    {
      "from": bin_.low,
      "to": bin_.high,
      "pairs": bin_.pairs,
      "mean confidence": bin_.confidence,
      "accuracy, share": bin_.accuracy,
    }
    for bin_ in pair_accuracy.calibration_bins(_margins(pairs))
  ]
  return found


def num_ties(pairs: Sequence[ScoredPair]) -> int:
  """Pairs whose answers have one score, which count half."""
  return sum(pair.chosen == pair.rejected for pair in pairs)


def record(pair: ScoredPair) -> dict[str, Value]:
  """The pair as a file of scores has it."""
  return {
    "where": pair.where,
    "subset": pair.subset,
    "score_chosen": pair.chosen,
    "score_rejected": pair.rejected,
    "tokens_chosen": pair.chosen_tokens,
    "tokens_rejected": pair.rejected_tokens,
  }


def _table(
  column: str, names: Sequence[str], pairs: Sequence[ScoredPair]
) -> list[dict[str, Value]]:
  """Accuracy of the pairs of each name, the names in order."""
  by_name: dict[str, list[ScoredPair]] = {}
  for name, pair in zip(names, pairs, strict=True):
    by_name.setdefault(name, []).append(pair)
  return [
    {column: name, **_accuracy(_margins(by_name[name]))}
    for name in sorted(by_name)
  ]


def _accuracy(margins: np.ndarray) -> Mapping[str, Value]:
  """In percent, with its interval; a tie counts half."""
  right = float(pair_accuracy.is_right(margins).sum())
  low, high = wilson_interval(right, len(margins))
  return {
    "pairs": len(margins),
    "accuracy, %": 100 * right / len(margins),
    "from": 100 * low,
    "to": 100 * high,
  }


def _length(pair: ScoredPair) -> str:
  if pair.chosen_tokens == pair.rejected_tokens:
    return "as long"
  return "longer" if pair.chosen_tokens > pair.rejected_tokens else "shorter"


def _margins(pairs: Sequence[ScoredPair]) -> np.ndarray:
  return np.array([pair.chosen - pair.rejected for pair in pairs], np.float64)


def _mean(values: Sequence[float]) -> float:
  return float(np.mean(np.asarray(values, np.float64)))
