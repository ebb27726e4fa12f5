# SPDX-License-Identifier: Apache-2.0
"""Checks of preferences: what else than quality tells good from bad answers."""

import collections
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ramjax.data import findings
from ramjax.data.audit_data import AuditedData, answer_keys, prompt_key
from ramjax.data.findings import Finding, Place, Severity
from ramjax.data.rows import JudgedRow, PreferenceRow, UnpairedRow
from ramjax.data.tokenize_groups import Group
from ramjax.data.wilson import wilson_interval

# Whoever sees nothing but lengths is then right in three pairs of five, a fifth
# of the way from chance to certainty.
_WARN_LENGTH_ALONE = 0.6
_WARN_NEARLY_IDENTICAL = 0.01
_WARN_BACKWARDS = 0.01
# Under one in ten, a contrast rests on few rows and asks for weights.
_WARN_LABEL_SHARE = 0.1


class LengthBias(NamedTuple):
  """How the lengths of chosen and rejected answers differ.

  Attributes:
    pairs: How many there are.
    longer: In how many the chosen answer is the longer one.
    equal: In how many both are as long.
    difference: Mean length of chosen less rejected answers, in tokens.
    accuracy: Share of pairs in which the longer answer is chosen; equal
      lengths count half.
    low: Lower end of its 95% interval.
    high: Upper end.
  """

  pairs: int
  longer: int
  equal: int
  difference: float
  accuracy: float
  low: float
  high: float


def check_pairs(data: AuditedData) -> Iterator[Finding]:
  """Length bias, labels, and answers that tell nothing apart."""
  yield from _check_length_bias(data)
  yield from _check_nearly_identical(data)
  yield from _check_contradictions(data)
  yield from _check_backwards(data)
  yield from _check_labels(data)


def length_bias(data: AuditedData) -> LengthBias | None:
  """Measures it in supervised tokens, as cut; None without pairs."""
  lengths = np.array(
    [
      [int(mask.sum()) for mask in example.response_masks]
      for source in data.sources
      for example in source.examples
      if isinstance(example, Group) and "margins" in example.features
    ]
  ).reshape(-1, 2)
  if not len(lengths):
    return None
  difference = lengths[:, 0] - lengths[:, 1]
  longer, equal = int((difference > 0).sum()), int((difference == 0).sum())
  right = longer + equal / 2
  low, high = wilson_interval(right, len(lengths))
  return LengthBias(
    pairs=len(lengths),
    longer=longer,
    equal=equal,
    difference=float(difference.mean()),
    accuracy=right / len(lengths),
    low=low,
    high=high,
  )


def _check_length_bias(data: AuditedData) -> Iterator[Finding]:
  bias = length_bias(data)
  if bias is None or bias.low <= 0.5 <= bias.high:
    return
  longer = bias.accuracy > 0.5
  right, low, high = bias.accuracy, bias.low, bias.high
  if not longer:
    right, low, high = 1 - right, 1 - high, 1 - low
  yield Finding(
    Severity.WARNING if low > _WARN_LENGTH_ALONE else Severity.NOTE,
    "length_bias",
    f"The chosen answer is the longer one in"
    f" {findings.of(bias.longer, bias.pairs)} pairs (and as long in"
    f" {bias.equal:,}), by {bias.difference:+.1f} tokens on average. Choosing"
    f" the {'longer' if longer else 'shorter'} one is right in {right:.1%} of"
    f" the pairs (95% interval {low:.1%} to {high:.1%}).",
    f"A model can learn to answer {'at length' if longer else 'briefly'}"
    " instead of well: balance the pairs, choose a loss that corrects for"
    " length (SimPO, R-DPO), and compare answers of the same length.",
    bias.longer,
    bias.pairs,
  )


def _check_nearly_identical(data: AuditedData) -> Iterator[Finding]:
  pairs = [(p, row) for p, row in data.rows if isinstance(row, PreferenceRow)]
  same = [p for p, row in pairs if len(set(answer_keys(row))) == 1]
  if same:
    yield Finding(
      findings.by_share(
        len(same), len(pairs), warn_from=_WARN_NEARLY_IDENTICAL
      ),
      "answers_nearly_identical",
      f"In {findings.of(len(same), len(pairs))} pairs the answers differ in"
      " white space or case only.",
      "Drop them, unless that is what the model shall learn.",
      len(same),
      len(pairs),
      findings.first(same),
    )


def _check_contradictions(data: AuditedData) -> Iterator[Finding]:
  """The same answer better in one row and worse in another."""
  verdicts: dict[tuple[str, ...], bool] = {}
  wrong: list[Place] = []
  total = 0
  for place, row in data.rows:
    if isinstance(row, PreferenceRow):
      better, worse = answer_keys(row)
      key, verdict = (prompt_key(row), *sorted((better, worse))), better < worse
    elif isinstance(row, UnpairedRow | JudgedRow):
      key, verdict = (prompt_key(row), *answer_keys(row)), row.label
    else:
      continue
    total += 1
    if verdicts.setdefault(key, verdict) != verdict:
      wrong.append(place)
  if wrong:
    yield Finding(
      Severity.WARNING,
      "contradictions",
      f"{findings.of(len(wrong), total)} rows judge the same answers to the same"
      " prompt in the opposite way of an earlier row.",
      "Keep the verdict that you trust: the two undo each other.",
      len(wrong),
      total,
      findings.first(wrong),
    )


def _check_backwards(data: AuditedData) -> Iterator[Finding]:
  pairs = [(p, row) for p, row in data.rows if isinstance(row, PreferenceRow)]
  wrong = [p for p, row in pairs if row.margin < 0 or row.preference_prob < 0.5]
  if wrong:
    yield Finding(
      findings.by_share(len(wrong), len(pairs), warn_from=_WARN_BACKWARDS),
      "backwards_pairs",
      f"In {findings.of(len(wrong), len(pairs))} pairs the data's own margin is"
      " negative or preference_prob under 0.5: the rejected answer has the"
      " higher score.",
      "Swap chosen and rejected, or look at how the pairs were made.",
      len(wrong),
      len(pairs),
      findings.first(wrong),
    )


def _check_labels(data: AuditedData) -> Iterator[Finding]:
  """Of what the run sees, which may be pairs taken apart."""
  labels = collections.Counter(
    bool(example.features["labels"][0])
    for source in data.sources
    for example in source.examples
    if isinstance(example, Group) and "labels" in example.features
  )
  total = labels.total()
  if not total:
    return
  rare = min((True, False), key=lambda label: labels[label])
  count = labels[rare]
  if count >= _WARN_LABEL_SHARE * total:
    return
  judged = any(isinstance(row, JudgedRow) for _, row in data.rows)
  yield Finding(
    Severity.ERROR if count == 0 and not judged else Severity.WARNING,
    "label_balance",
    f"{findings.of(count, total)} answers are"
    f" {'desirable' if rare else 'undesirable'}.",
    "Add some of that kind: the losses on labels learn from the difference."
    if not count
    else "Add some of that kind, or weigh the two kinds so that both matter"
    " (KTO: desirable_weight and undesirable_weight).",
    count,
    total,
  )
