# SPDX-License-Identifier: Apache-2.0
"""Checks of lengths: what truncation cost, and what padding will."""

from collections.abc import Iterator

import numpy as np

from ramjax.data import findings
from ramjax.data.audit_data import AuditedData
from ramjax.data.findings import Finding, Severity

# A run that cuts one row in twenty trains on other data than its name says.
_WARN_TRUNCATED = 0.05
# Cut answers never end: from one in a hundred on, the model learns that.
_WARN_CUT_ANSWERS = 0.01
# Pairs that are left out because their answers came out the same.
_WARN_IDENTICAL = 0.01
_WARN_QUARANTINED = 0.01
# Where more than half of the places are padding, packing would double speed.
_WARN_PADDING = 0.5
# A row is an outlier when it is this many times as long as 95 in 100 are.
_OUTLIER_RATIO = 4


def check_lengths(data: AuditedData) -> Iterator[Finding]:
  """Rows set aside, truncation, rows left out, outliers and padding."""
  yield from _check_quarantined(data)
  yield from _check_truncated(data)
  yield from _check_cut_answers(data)
  yield from _check_identical(data)
  yield from _check_padding(data)


def _check_quarantined(data: AuditedData) -> Iterator[Finding]:
  bad = sum(source.counts["rows_quarantined"] for source in data.sources)
  total = sum(source.counts["rows_read"] for source in data.sources)
  if bad:
    yield Finding(
      findings.by_share(bad, total, warn_from=_WARN_QUARANTINED),
      "quarantined",
      f"{findings.of(bad, total)} records are no rows and are set aside.",
      "Mend them; a run writes each, with its reason, into WORKDIR/quarantine.",
      bad,
      total,
    )


def _check_truncated(data: AuditedData) -> Iterator[Finding]:
  places = [
    source.place(i)
    for source in data.sources
    for i, example in enumerate(source.examples)
    if example.num_truncated
  ]
  rows = sum(source.counts["rows_truncated"] for source in data.sources)
  lost = sum(source.counts["tokens_truncated"] for source in data.sources)
  kept = sum(source.counts["tokens"] for source in data.sources)
  left_out = sum(s.counts.get("rows_identical", 0) for s in data.sources)
  total = sum(len(source.examples) for source in data.sources) + left_out
  if rows:
    yield Finding(
      findings.by_share(rows, total, warn_from=_WARN_TRUNCATED),
      "truncated",
      f"{findings.of(rows, total)} examples are longer than"
      f" data.max_length={data.max_length} and lose {lost:,} tokens,"
      f" {findings.share(lost, lost + kept)} of all.",
      "Raise data.max_length if memory allows, or shorten the rows.",
      rows,
      total,
      findings.first(places),
    )


def _check_cut_answers(data: AuditedData) -> Iterator[Finding]:
  ends = data.ends
  cut = [
    place
    for place, one in data.answered
    if one.was_cut and one.mask[-1] and int(one.tokens[-1]) not in ends
  ]
  total = len(data.answered)
  if cut:
    yield Finding(
      findings.by_share(len(cut), total, warn_from=_WARN_CUT_ANSWERS),
      "answers_cut",
      f"{findings.of(len(cut), total)} answers lose their end to"
      f" data.max_length={data.max_length}, and with it the token that ends an"
      " answer.",
      "Raise data.max_length, or drop the rows: from cut answers a model does"
      " not learn to stop.",
      len(cut),
      total,
      findings.first(cut),
    )


def _check_identical(data: AuditedData) -> Iterator[Finding]:
  same = sum(s.counts.get("rows_identical", 0) for s in data.sources)
  total = sum(len(source.examples) for source in data.sources) + same
  if same:
    yield Finding(
      findings.by_share(same, total, warn_from=_WARN_IDENTICAL),
      "answers_identical",
      f"{findings.of(same, total)} examples are left out: their answers are the"
      f" same once they are cut to data.max_length={data.max_length}.",
      "Raise data.max_length; or drop rows whose answers are the same anyway.",
      same,
      total,
    )


def _check_padding(data: AuditedData) -> Iterator[Finding]:
  places = [place for place, _ in data.answered]
  lengths = np.array([len(one.tokens) for _, one in data.answered])
  typical = np.percentile(lengths, 95)
  long = np.flatnonzero(lengths > _OUTLIER_RATIO * typical)
  if long.size:
    longest = long[np.argsort(-lengths[long], kind="stable")]
    yield Finding(
      Severity.NOTE,
      "long_outliers",
      f"{findings.of(long.size, lengths.size)} sequences are more than"
      f" {_OUTLIER_RATIO} times as long as 95% of them are"
      f" ({typical:.0f} tokens); the longest has {lengths.max():,}.",
      "Look at them: they may be broken. Without them, data.max_length could be"
      " lower, which saves memory.",
      int(long.size),
      int(lengths.size),
      findings.first([places[i] for i in longest]),
    )
  places_paid = data.max_length * lengths.size
  padding = int(places_paid - lengths.sum())
  if not data.pack and padding > _WARN_PADDING * places_paid:
    yield Finding(
      Severity.WARNING,
      "padding",
      f"{findings.of(padding, places_paid)} places of the batches would be"
      " padding: data.pack=False, and each sequence takes"
      f" data.max_length={data.max_length}.",
      "Set data.pack=True, or lower data.max_length.",
      padding,
      places_paid,
    )
