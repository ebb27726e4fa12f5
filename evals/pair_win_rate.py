# SPDX-License-Identifier: Apache-2.0
"""A win rate from pairs that a judge saw, and how far the judge can be trusted."""

import dataclasses
from collections.abc import Sequence

from ramjax.evals import judge_canaries, judge_prompt, win_rate
from ramjax.evals.alpaca_annotations import Annotation
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.evals.judge_canaries import Canary
from ramjax.evals.judged_pairs import JudgedPairs
from ramjax.evals.model_outputs import ModelOutput
from ramjax.evals.pairwise_judge import Pair, PairVerdict


@dataclasses.dataclass(frozen=True)
class Matched:
  """A model's answers and a baseline's, to the same instructions.

  Attributes:
    outputs: The model's.
    references: The baseline's, in the same order: that of its file.
    num_without_reference: Answers of the model that the baseline has none for.
    num_without_output: Answers of the baseline that the model has none for.
  """

  outputs: Sequence[ModelOutput]
  references: Sequence[ModelOutput]
  num_without_reference: int
  num_without_output: int

  @property
  def pairs(self) -> list[Pair]:
    """What is judged."""
    return [
      Pair(ours.instruction, theirs.output, ours.output)
      for ours, theirs in zip(self.outputs, self.references, strict=True)
    ]


@dataclasses.dataclass(frozen=True)
class Names:
  """What the three parties are called in annotations."""

  model: str
  reference: str
  judge: str


def match(
  outputs: Sequence[ModelOutput], references: Sequence[ModelOutput]
) -> Matched:
  """Answers to the same instructions, in the order of the baseline's file.

  Args:
    outputs: The model's.
    references: The baseline's.

  Raises:
    ValueError: They have no instruction in common.
  """
  by_instruction = {output.instruction: output for output in outputs}
  both = [ref for ref in references if ref.instruction in by_instruction]
  if not both:
    raise ValueError(
      f"none of the model's {len(outputs)} instructions is among the baseline's"
      f" {len(references)}: are the files of the same benchmark?"
    )
  return Matched(
    outputs=[by_instruction[ref.instruction] for ref in both],
    references=both,
    num_without_reference=len(outputs) - len(both),
    num_without_output=len(references) - len(both),
  )


def evaluate(
  benchmark: str,
  matched: Matched,
  judged: JudgedPairs,
  names: Names,
  canaries: Sequence[Canary],
  of_canaries: Sequence[PairVerdict],
  prices: tuple[float, float] | None = None,
) -> Evaluation:
  """The win rate, and how the judge did.

  Args:
    benchmark: Its name.
    matched: What was judged.
    judged: The verdicts.
    names: Of the parties.
    canaries: From `judge_canaries.make`.
    of_canaries: The verdicts on them.
    prices: Of a million tokens that the judge reads, and that it writes; None
      says nothing of cost.

  Raises:
    ValueError: No pair has a verdict.
  """
  rate = win_rate.win_rate([v.preference for v in judged.verdicts])
  every = [*judged.verdicts, *of_canaries]
  agree = [v.orders_agree for v in judged.verdicts]
  known = [a for a in agree if a is not None]
  figures: dict[str, Value] = {
    "win_rate, %": rate.win_rate,
    "standard_error, points": rate.standard_error,
    "n_wins": rate.n_wins,
    "n_wins_base": rate.n_wins_base,
    "n_draws": rate.n_draws,
    "n_total": rate.n_total,
    "discrete_win_rate, %": rate.discrete_win_rate,
    "avg_length, characters": win_rate.average_length(
      [o.output for o in matched.outputs]
    ),
    "invalid_share": judged.invalid_share,
    "orders_agree_share": sum(known) / len(known) if known else None,
    "judge_requests": sum(v.num_requests for v in every),
    "judge_prompt_tokens": sum(v.num_prompt_tokens for v in every),
    "judge_tokens": sum(v.num_tokens for v in every),
  }
  if prices is not None:
    read = sum(v.num_prompt_tokens for v in every)
    written = sum(v.num_tokens for v in every)
    figures["judge_cost"] = (read * prices[0] + written * prices[1]) / 1e6
  table = judge_canaries.rows(canaries, of_canaries, judged.verdicts)
  return Evaluation(
    benchmark=benchmark,
    model=names.model,
    figures=figures,
    tables={"canaries": table} if canaries else {},
    counted=_counted(matched, judged),
    notes=_notes(names, table if canaries else []),
  )


def _counted(matched: Matched, judged: JudgedPairs) -> dict[str, int]:
  verdicts = judged.verdicts
  missing = sum(v.preference is None for v in verdicts)
  marked = sum(
    any(
      map(
        judge_prompt.holds_markers,
        (pair.instruction, pair.output_1, pair.output_2),
      )
    )
    for pair in matched.pairs
  )
  counted = {
    "answers of the model without one of the baseline": (
      matched.num_without_reference
    ),
    "answers of the baseline without one of the model": (
      matched.num_without_output
    ),
    "pairs of equal texts, a tie without asking": sum(
      p.output_1 == p.output_2 for p in matched.pairs
    ),
    "pairs that the judge gave no answer about": judged.num_failed,
    "pairs whose verdict could not be read, or that are too long": (
      missing - judged.num_failed
    ),
    "pairs with a text that looks like a chat template's token": marked,
    "verdicts that an earlier run of this command had": judged.num_found,
  }
  return {rule: number for rule, number in counted.items() if number}


def _notes(
  names: Names, table: Sequence[dict[str, float | int | str | None]]
) -> list[str]:
  notes = [
    f"Preferences of {names.judge} for {names.model} over {names.reference};"
    " no length control (`ramjax eval alpaca_eval` has it)."
  ]
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


def annotations(
  matched: Matched, verdicts: Sequence[PairVerdict], names: Names
) -> list[Annotation]:
  """The verdicts in AlpacaEval's format.

  Args:
    matched: What was judged.
    verdicts: On each pair.
    names: Of the parties.
  """
  rows = []
  for position, (ours, theirs, verdict) in enumerate(
    zip(matched.outputs, matched.references, verdicts, strict=True)
  ):
    texts = {
      "instruction": ours.instruction,
      "output_1": theirs.output,
      "output_2": ours.output,
      "generator_1": names.reference,
      "generator_2": names.model,
    }
    dataset = ours.dataset or theirs.dataset
    original = {
      **texts,
      **({"dataset": dataset} if dataset is not None else {}),
      "annotator": names.judge,
      "preference": verdict.preference,
    }
    rows.append(
      Annotation(
        **texts,
        preference=verdict.preference,
        position=position,
        where=f"pair {position + 1}",
        original=original,
      )
    )
  return rows
