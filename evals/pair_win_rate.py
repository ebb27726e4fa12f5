# SPDX-License-Identifier: Apache-2.0
"""A win rate from pairs that a judge saw, and how far the judge can be trusted."""

import dataclasses
from collections.abc import Sequence

from ramjax.evals import judge_account, win_rate
from ramjax.evals.alpaca_annotations import Annotation
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.evals.judge_account import Judging
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
    good_answers: Known good ones that the judge is shown besides, in the same
      order; None where it is shown none.
    question_ids: What names a pair where an instruction may stand twice.
  """

  outputs: Sequence[ModelOutput]
  references: Sequence[ModelOutput]
  num_without_reference: int
  num_without_output: int
  good_answers: Sequence[str] | None = None
  question_ids: Sequence[int] | None = None

  @property
  def pairs(self) -> list[Pair]:
    """What is judged."""
    return [
      Pair(ours.instruction, theirs.output, ours.output, good)
      for ours, theirs, good in zip(
        self.outputs,
        self.references,
        self.good_answers or [None] * len(self.outputs),
        strict=True,
      )
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


def with_good_answers(
  matched: Matched, answers: Sequence[ModelOutput]
) -> Matched:
  """Adds an answer that is known to be good to each instruction.

  Args:
    matched: What is judged.
    answers: To its instructions, and maybe to others, in any order.

  Raises:
    ValueError: An instruction has none, or an empty one.
  """
  by_instruction = {answer.instruction: answer.output for answer in answers}
  found = []
  for output in matched.outputs:
    text = by_instruction.get(output.instruction)
    if text is None or not text.strip():
      raise ValueError(
        f"the instruction {output.instruction[:60]!a} has"
        f" {'no' if text is None else 'an empty'} answer among the"
        f" {len(answers)} known good ones: the judge would compare without. Give"
        " one for each instruction."
      )
    found.append(text)
  return dataclasses.replace(matched, good_answers=found)


def require_names(matched: Matched | None, names: Names) -> None:
  """Refuses names with which annotations could not be read back.

  Args:
    matched: What is judged; None where the model has not answered yet.
    names: Of the parties.

  Raises:
    ValueError: One cannot be printed, or a model and another baseline have one
      name.
  """
  for party, name in dataclasses.asdict(names).items():
    if not name.isprintable():
      raise ValueError(
        f"the {party} is called {name!a}, which holds characters that cannot be"
        " printed: it must be a name."
      )
  if names.model != names.reference:
    return
  if matched is None:
    raise ValueError(
      f"the model that would answer and the reference are both called"
      f" {names.model!r}: give the model another name with --model-name."
    )
  if any(pair.output_1 != pair.output_2 for pair in matched.pairs):
    raise ValueError(
      f"the model and the reference are both called {names.model!r}, and their"
      " outputs differ: two models share a name. Rename one."
    )


def evaluate(
  benchmark: str,
  matched: Matched,
  judging: Judging,
  names: Names,
  prices: tuple[float, float] | None = None,
) -> Evaluation:
  """The win rate, and how the judge did.

  Args:
    benchmark: Its name.
    matched: What was judged.
    judging: What the judge said of it.
    names: Of the parties.
    prices: Of a million tokens that the judge reads, and that it writes; None
      says nothing of cost.

  Raises:
    ValueError: No pair has a verdict.
  """
  rate = win_rate.win_rate([v.preference for v in judging.judged.verdicts])
  figures: dict[str, Value] = {
    **rate.figures(),
    "avg_length, characters": win_rate.average_length(
      [o.output for o in matched.outputs]
    ),
  }
  evaluation = Evaluation(
    benchmark=benchmark,
    model=names.model,
    figures=figures,
    counted=unmatched(matched),
    notes=[
      f"Preferences of {names.judge} for {names.model} over {names.reference};"
      " no length control (`ramjax eval alpaca_eval` has it)."
    ],
  )
  return judge_account.account(judging, prices).added_to(evaluation)


def unmatched(matched: Matched) -> dict[str, int]:
  """What `match` left out, if anything."""
  counted = {
    "answers of the model without one of the baseline": (
      matched.num_without_reference
    ),
    "answers of the baseline without one of the model": (
      matched.num_without_output
    ),
  }
  return {rule: number for rule, number in counted.items() if number}


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
    if matched.question_ids is not None:
      original["question_id"] = matched.question_ids[position]
    if words := _words(verdict):
      original["raw_completion"] = words
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


def _words(verdict: PairVerdict) -> str:
  """What a judge wrote, if it wrote more than a token; by the order shown."""
  parts = []
  for look in verdict.looks:
    first = "the model's" if look.swapped else "the baseline's"
    texts = look.said if isinstance(look.said, list) else []
    parts += [
      f"[{first} answer shown first]\n{text}"
      for text in texts
      if isinstance(text, str)
    ]
  return "\n\n".join(parts)
