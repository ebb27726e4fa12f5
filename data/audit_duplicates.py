# SPDX-License-Identifier: Apache-2.0
"""Checks for rows that are there twice, here or on both sides of the split."""

import collections
from collections.abc import Hashable, Iterable, Iterator

from ramjax.data import findings
from ramjax.data.audit_data import (
  AuditedData,
  answer_keys,
  answer_texts,
  has_prompt,
  prompt_key,
)
from ramjax.data.findings import Finding, Place, Severity
from ramjax.data.rows import ChatRow, Row, TextRow

# Copies are trained on more than once; a few do no harm.
_WARN_DUPLICATE_ROWS = 0.01
# Of SFT rows. Rows with graded answers have several to a prompt by design.
_WARN_DUPLICATE_PROMPTS = 0.05
# From here on a held-out figure measures memory.
_ERROR_OVERLAP = 0.01
_WARN_SAME_ANSWERS = 0.01
# "Yes." is on both sides without a leak; a sentence this long seldom is.
_LEAST_ANSWER_CHARS = 40
# One answer to so many of the prompts is what the model will say to any.
_WARN_REPEATED_ANSWER = 0.05
_LEAST_REPEATS = 10


def check_duplicates(data: AuditedData) -> Iterator[Finding]:
  """Copies of rows, prompts and answers, and the overlap with held-out rows."""
  yield from _check_rows(data)
  yield from _check_prompts(data)
  yield from _check_repeated_answer(data)
  if data.held_out_rows:
    yield from _check_held_out_prompts(data)
    yield from _check_held_out_answers(data)


def _copies(keyed: Iterable[tuple[Hashable, Place]]) -> list[Place]:
  """What comes after the first of its key."""
  seen = set()
  copies = []
  for key, place in keyed:
    if key in seen:
      copies.append(place)
    seen.add(key)
  return copies


def _check_rows(data: AuditedData) -> Iterator[Finding]:
  copies = _copies((row, place) for place, row in data.rows)
  total = len(data.rows)
  if copies:
    yield Finding(
      findings.by_share(len(copies), total, warn_from=_WARN_DUPLICATE_ROWS),
      "duplicate_rows",
      f"{findings.of(len(copies), total)} rows are copies of an earlier one.",
      "Remove the copies: each counts as often as it is there.",
      len(copies),
      total,
      findings.first(copies),
    )


def _check_prompts(data: AuditedData) -> Iterator[Finding]:
  distinct = {row: place for place, row in reversed(data.rows)}
  rows = [(p, r) for p, r in data.rows if distinct[r] == p and has_prompt(r)]
  copies = _copies((prompt_key(row), place) for place, row in rows)
  total = len(rows)
  if not copies:
    return
  severity = Severity.NOTE
  if isinstance(rows[0][1], ChatRow | TextRow):
    severity = findings.by_share(
      len(copies), total, warn_from=_WARN_DUPLICATE_PROMPTS
    )
  yield Finding(
    severity,
    "duplicate_prompts",
    f"{findings.of(len(copies), total)} rows have the prompt of an earlier row"
    " with another answer.",
    "Fine where several answers to a prompt are meant; otherwise keep the best"
    " one.",
    len(copies),
    total,
    findings.first(copies),
  )


def _check_repeated_answer(data: AuditedData) -> Iterator[Finding]:
  places: dict[str, list[Place]] = collections.defaultdict(list)
  for place, row in data.rows:
    for key in set(answer_keys(row)):
      places[key].append(place)
  if not places:
    return
  answer, found = max(places.items(), key=lambda item: len(item[1]))
  total = len(data.rows)
  if len(found) < max(_LEAST_REPEATS, _WARN_REPEATED_ANSWER * total):
    return
  # Labels and yes/no answers repeat by nature.
  is_long = len(answer) >= _LEAST_ANSWER_CHARS
  yield Finding(
    Severity.WARNING if is_long else Severity.NOTE,
    "repeated_answer",
    f"One answer stands in {findings.of(len(found), total)} rows:"
    f" {_excerpt(answer)!r}.",
    "The model will give it to other prompts, too: keep fewer of those rows,"
    " unless it is a label.",
    len(found),
    total,
    findings.first(found),
  )


def _excerpt(text: str) -> str:
  return text if len(text) <= 60 else text[:60] + "..."


def _check_held_out_prompts(data: AuditedData) -> Iterator[Finding]:
  trained = {prompt_key(row) for _, row in data.rows}
  leaked = [
    _held_out(i)
    for i, row in enumerate(data.held_out_rows)
    if prompt_key(row) in trained
  ]
  total = len(data.held_out_rows)
  if leaked:
    is_large = len(leaked) >= _ERROR_OVERLAP * total
    yield Finding(
      Severity.ERROR if is_large else Severity.WARNING,
      "held_out_prompts",
      f"{findings.of(len(leaked), total)} held-out rows have a prompt that is"
      " trained on, white space and case aside. The first:"
      f" {_excerpt(prompt_key(data.held_out_rows[leaked[0].index]))!r}.",
      "Held-out figures would look better than they are: remove those rows from"
      " one of the two sides.",
      len(leaked),
      total,
      findings.first(leaked),
    )


def _check_held_out_answers(data: AuditedData) -> Iterator[Finding]:
  trained = {key for _, row in data.rows for key in _long_answers(row)}
  leaked = [
    _held_out(i)
    for i, row in enumerate(data.held_out_rows)
    if any(key in trained for key in _long_answers(row))
  ]
  total = len(data.held_out_rows)
  if leaked:
    yield Finding(
      findings.by_share(len(leaked), total, warn_from=_WARN_SAME_ANSWERS),
      "held_out_answers",
      f"{findings.of(len(leaked), total)} held-out rows have an answer of at"
      f" least {_LEAST_ANSWER_CHARS} characters that is trained on.",
      "Look whether their prompts are the same in other words; remove those"
      " rows from one of the two sides.",
      len(leaked),
      total,
      findings.first(leaked),
    )


def _long_answers(row: Row) -> list[str]:
  if max(map(len, answer_texts(row)), default=0) < _LEAST_ANSWER_CHARS:
    return []
  return [k for k in answer_keys(row) if len(k) >= _LEAST_ANSWER_CHARS]


def _held_out(index: int) -> Place:
  return Place("", index, "held-out row")
