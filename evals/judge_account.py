# SPDX-License-Identifier: Apache-2.0
"""How a judge of pairs did: what it took, what it left out, its canaries."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.evals import judge_canaries, judge_prompt
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.evals.judge_canaries import Canary
from ramjax.evals.judged_pairs import JudgedPairs
from ramjax.evals.pairwise_judge import Pair, PairVerdict


@dataclasses.dataclass(frozen=True)
class Judging:
  """Pairs that a judge saw, and what it said of them.

  Attributes:
    pairs: What was judged.
    judged: The verdicts on them.
    canaries: From `judge_canaries.make`.
    of_canaries: The verdicts on those.
    judge: What tells the judge from others, of JSON's types.
  """

  pairs: Sequence[Pair]
  judged: JudgedPairs
  canaries: Sequence[Canary] = ()
  of_canaries: Sequence[PairVerdict] = ()
  judge: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Account:
  """What a reader has to know of a judge; fields as in `Evaluation`.

  Attributes:
    figures: What it took.
    tables: Its canaries, if there are any.
    counted: What it left out.
    notes: What it fell for.
    judge: As in `Judging`.
  """

  figures: Mapping[str, Value]
  tables: Mapping[str, Sequence[Mapping[str, Value]]]
  counted: Mapping[str, int]
  notes: Sequence[str]
  judge: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def added_to(self, evaluation: Evaluation) -> Evaluation:
    """The evaluation with this behind what it has."""
    return dataclasses.replace(
      evaluation,
      figures={**evaluation.figures, **self.figures},
      tables={**evaluation.tables, **self.tables},
      counted={**evaluation.counted, **self.counted},
      notes=[*evaluation.notes, *self.notes],
    )


def account(
  judging: Judging, prices: tuple[float, float] | None = None
) -> Account:
  """Gives an account of a judge.

  Args:
    judging: What it did.
    prices: Of a million tokens that the judge reads, and that it writes; None
      says nothing of cost.
  """
  judged = judging.judged
  every = [*judged.verdicts, *judging.of_canaries]
  agree = [v.orders_agree for v in judged.verdicts]
  known = [a for a in agree if a is not None]
  read = sum(v.num_prompt_tokens for v in every)
  written = sum(v.num_tokens for v in every)
  figures: dict[str, Value] = {
    "invalid_share": judged.invalid_share,
    "orders_agree_share": sum(known) / len(known) if known else None,
    "judge_requests": sum(v.num_requests for v in every),
    "judge_prompt_tokens": read,
    "judge_tokens": written,
  }
  if prices is not None:
    figures["judge_cost"] = (read * prices[0] + written * prices[1]) / 1e6
  table = []
  if judging.canaries:
    table = judge_canaries.rows(
      judging.canaries, judging.of_canaries, judged.verdicts
    )
  return Account(
    figures=figures,
    tables={"canaries": table} if table else {},
    counted=_counted(judging),
    notes=_notes(table),
    judge=judging.judge,
  )


def _counted(judging: Judging) -> dict[str, int]:
  judged = judging.judged
  missing = sum(v.preference is None for v in judged.verdicts)
  marked = sum(
    any(
      map(
        judge_prompt.holds_markers,
        (p.instruction, p.output_1, p.output_2, p.reference or ""),
      )
    )
    for p in judging.pairs
  )
  counted = {
    "pairs of equal texts, a tie without asking": sum(
      p.output_1 == p.output_2 for p in judging.pairs
    ),
    "pairs that the judge gave no answer about": judged.num_failed,
    "pairs whose verdict could not be read, or that are too long": (
      missing - judged.num_failed
    ),
    "pairs with a text that looks like a chat template's token": marked,
    "verdicts that an earlier run of this command had": judged.num_found,
  }
  return {rule: number for rule, number in counted.items() if number}


def _notes(table: Sequence[Mapping[str, Value]]) -> list[str]:
  notes = []
  for row in table:
    passed = row["passed"]
    if row["canary"] in ("null", "injected") and (
      isinstance(passed, float) and passed < 1
    ):
      notes.append(
        f"Of the {row['canary']} answers {1 - passed:.0%} did not lose: what"
        " answers no question can win with this judge."
      )
  return notes
