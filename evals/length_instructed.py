# SPDX-License-Identifier: Apache-2.0
"""Figures of AlpacaEval-LI and MT-Bench-LI: is a limit of words kept?

Yuan et al., "Following Length Constraints in Instructions", arXiv 2406.17744:
an answer of more words than its limit is a violation (Vlt), and loses against
the baseline whatever it says. Taken to be so where the paper is not at hand:
words are those of `word_tokens`; the judge is shown the instruction as the
model was, with its limit; a verdict counts as AlpacaEval's raw win rate has it
(`win_rate`), and a violation as a verdict of 1.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ramjax.data.wilson import wilson_interval
from ramjax.evals import alpaca_files, win_rate, word_tokens
from ramjax.evals.alpaca_annotations import Annotations
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.evals.length_instructed_files import LimitedPrompt

# What a verdict for the baseline is.
_LOSS = 1.0


@dataclasses.dataclass(frozen=True)
class Verdicts:
  """What a judge said of answers.

  Attributes:
    judge: Its name.
    baseline: Whose answers they were compared with.
    by_key: Preferences by the prompts' keys, from 1 to 2; None is no verdict.
  """

  judge: str
  baseline: str
  by_key: Mapping[Any, float | None]


@dataclasses.dataclass(frozen=True)
class Answered:
  """Prompts that a model answered.

  Attributes:
    prompts: In the order of their file.
    texts: The answer to each.
    words: How many each has.
    num_without_answer: Prompts that the model did not answer.
    num_unknown: Answers to what is no prompt.
  """

  prompts: Sequence[LimitedPrompt]
  texts: Sequence[str]
  words: Sequence[int]
  num_without_answer: int
  num_unknown: int

  @property
  def violates(self) -> list[bool]:
    """Whether each answer has more words than it may."""
    return [
      words > prompt.max_len
      for prompt, words in zip(self.prompts, self.words, strict=True)
    ]

  @property
  def within(self) -> list[int]:
    """Indices of the answers that keep their limit."""
    return [i for i, violates in enumerate(self.violates) if not violates]


def match(
  prompts: Sequence[LimitedPrompt], answers: Mapping[Any, str]
) -> Answered:
  """Prompts and the answers to them.

  Args:
    prompts: Of one benchmark.
    answers: By the prompts' keys.

  Raises:
    ValueError: No prompt is answered.
  """
  both = [prompt for prompt in prompts if prompt.key in answers]
  if not both:
    raise ValueError(
      f"none of the {len(prompts)} prompts is among the {len(answers)} that the"
      " model answered. It has to be asked as the prompts are, each with the"
      " line of its limit: are the answers to those?"
    )
  texts = [answers[prompt.key] for prompt in both]
  return Answered(
    prompts=both,
    texts=texts,
    words=[word_tokens.count_words(text) for text in texts],
    num_without_answer=len(prompts) - len(both),
    num_unknown=len(answers) - len(both),
  )


def verdicts(answered: Answered, judged: Annotations, key: str) -> Verdicts:
  """Verdicts by the prompts' keys.

  Args:
    answered: What was to be judged.
    judged: The verdicts; those on violations may be among them.
    key: The field of a verdict that has the prompt's key.

  Raises:
    ValueError: A verdict is on another prompt or on other texts, or there is
      none on any answer within its limit.
  """
  places = {prompt.key: i for i, prompt in enumerate(answered.prompts)}
  found = {}
  for row in judged.rows:
    name = row.original[key]
    if name not in places:
      raise ValueError(
        f"{row.where} judges {key}={alpaca_files.shown(name)}, which is no prompt"
        " that the model answered: the verdicts are on other outputs. Judge"
        " these, or give those that were judged."
      )
    prompt = answered.prompts[places[name]]
    expected = {
      "instruction": prompt.instruction,
      "output_1": row.output_1 if prompt.baseline is None else prompt.baseline,
      "output_2": answered.texts[places[name]],
    }
    for field, text in expected.items():
      if getattr(row, field) != text:
        raise ValueError(
          f"{row.where}: {field} is not what was given for"
          f" {key}={alpaca_files.shown(name)} ({prompt.where}): the verdict is on"
          " another text. Judge these outputs, or give those that were judged."
        )
    found[name] = row.preference
  judge = judged.annotator or "a judge that is not named"
  within = [answered.prompts[i].key for i in answered.within]
  if within and all(found.get(name) is None for name in within):
    raise ValueError(
      f"none of the {len(within)} answers within their limit has a verdict:"
      " judge them first."
    )
  return Verdicts(judge, judged.baseline, found)


def evaluate(
  benchmark: str,
  model: str,
  answered: Answered,
  judged: Verdicts | None = None,
  *,
  group: str = "group",
) -> Evaluation:
  """How often a model keeps its limits, and wins.

  Args:
    benchmark: Its name.
    model: What answered.
    answered: Its answers.
    judged: Verdicts on those that keep their limit; None of no judge.
    group: What a prompt's group is called.
  """
  every = range(len(answered.prompts))
  violations = sum(answered.violates)
  low, high = wilson_interval(violations, len(every))
  figures: dict[str, Value] = {
    "prompts": len(every),
    "violations": violations,
    "Vlt, %": 100 * violations / len(every),
    "Vlt, 95 % from": 100 * low,
    "Vlt, 95 % to": 100 * high,
    "mean words": _mean(answered.words),
    "mean limit, words": _mean([p.max_len for p in answered.prompts]),
  }
  if judged is not None:
    rate = win_rate.win_rate(_preferences(answered, judged, every))
    figures |= {
      **rate.figures(),
      "win_rate within limits, %": _rate(answered, judged, answered.within),
      "n_total within limits": _num_judged(answered, judged),
    }
  return Evaluation(
    benchmark=benchmark,
    model=model,
    figures=figures,
    tables=_by_group(answered, judged, group),
    counted=_counted(answered, judged),
    notes=_notes(model, judged),
  )


def _notes(model: str, judged: Verdicts | None) -> list[str]:
  notes = [
    "Words are NLTK's word tokens by ramjax's own rule: an answer about as long"
    " as its limit may be on the other side of it for NLTK itself."
  ]
  if judged is not None:
    notes.append(
      f"Preferences of {judged.judge} for {model} over {judged.baseline}, judged"
      " by the instruction with its limit."
    )
  return notes


def _preferences(
  answered: Answered, judged: Verdicts, rows: Iterable[int]
) -> list[float | None]:
  violates = answered.violates
  return [
    _LOSS if violates[i] else judged.by_key.get(answered.prompts[i].key)
    for i in rows
  ]


def _rate(
  answered: Answered, judged: Verdicts, rows: Sequence[int]
) -> float | None:
  """The win rate of some rows; None if none has a verdict."""
  preferences = _preferences(answered, judged, rows)
  if all(preference is None for preference in preferences):
    return None
  return win_rate.win_rate(preferences).win_rate


def _num_judged(answered: Answered, judged: Verdicts) -> int:
  return sum(
    judged.by_key.get(answered.prompts[i].key) is not None
    for i in answered.within
  )


def _by_group(
  answered: Answered, judged: Verdicts | None, name: str
) -> dict[str, list[dict[str, Value]]]:
  """A row for each group, in the order in which they come; none without."""
  groups: dict[str, list[int]] = {}
  for i, prompt in enumerate(answered.prompts):
    groups.setdefault(prompt.group or "not named", []).append(i)
  if set(groups) == {"not named"}:
    return {}
  violates = answered.violates
  table = []
  for group, rows in groups.items():
    row: dict[str, Value] = {
      name: group,
      "prompts": len(rows),
      "Vlt, %": 100 * sum(violates[i] for i in rows) / len(rows),
      "mean words": _mean([answered.words[i] for i in rows]),
    }
    if judged is not None:
      within = [i for i in rows if not violates[i]]
      row["win_rate, %"] = _rate(answered, judged, rows)
      row["within limits, %"] = _rate(answered, judged, within)
    table.append(row)
  return {f"by {name}": table}


def _counted(answered: Answered, judged: Verdicts | None) -> dict[str, int]:
  counted = {
    "prompts have no answer of the model": answered.num_without_answer,
    "answers of the model are to no prompt": answered.num_unknown,
    "answers are empty": sum(not text.strip() for text in answered.texts),
    "answers of the baseline have more words than the limit": sum(
      prompt.baseline is not None
      and word_tokens.count_words(prompt.baseline) > prompt.max_len
      for prompt in answered.prompts
    ),
  }
  if judged is not None:
    violations = [
      prompt.key
      for prompt, violates in zip(
        answered.prompts, answered.violates, strict=True
      )
      if violates
    ]
    num_within = len(answered.prompts) - len(violations)
    counted |= {
      "answers beyond their limit lose without a judge": len(violations),
      "verdicts are on such answers: not used": sum(
        name in judged.by_key for name in violations
      ),
      "answers within their limit have no verdict: no part of win rates": (
        num_within - _num_judged(answered, judged)
      ),
    }
  return {rule: number for rule, number in counted.items() if number}


def _mean(numbers: Sequence[int]) -> float:
  return sum(numbers) / len(numbers)
