# SPDX-License-Identifier: Apache-2.0
"""Severities, places and shares of findings."""

import pytest

from ramjax.data import findings
from ramjax.data.findings import Finding, Place, Severity


def _finding(severity, name="x"):
  return Finding(severity, name, "", "", 1, 2)


def test_the_worst_of_nothing_is_clean():
  assert findings.worst([]) is Severity.CLEAN


def test_the_worst_counts_and_comes_first():
  found = [
    _finding(Severity.NOTE, "a"),
    _finding(Severity.ERROR, "b"),
    _finding(Severity.NOTE, "c"),
  ]
  assert findings.worst(found) is Severity.ERROR
  assert [f.name for f in findings.by_severity(found)] == ["b", "a", "c"]


def test_places_are_counted_from_one():
  assert str(Place("main", 0)) == "main row 1"
  assert str(Place("", 4, "held-out row")) == "held-out row 5"


def test_examples_are_named_once_and_few():
  places = [Place("m", i) for i in (3, 3, 5, 7, 9)]
  assert [p.index for p in findings.first(places)] == [3, 5, 7]


@pytest.mark.parametrize(
  "count,total,text",
  [
    (0, 0, "0.0%"),
    (0, 10, "0.0%"),
    (1, 8, "12.5%"),
    (1, 2000, "under 0.1%"),
    (1999, 2000, "over 99.9%"),
    (10, 10, "100.0%"),
  ],
)
def test_a_share_is_never_rounded_to_none_or_all(count, total, text):
  assert findings.share(count, total) == text


def test_a_count_comes_with_its_share():
  assert findings.of(1234, 2468) == "1,234 of 2,468 (50.0%)"


def test_a_share_from_the_threshold_on_is_a_warning():
  severities = [findings.by_share(n, 100, warn_from=0.05) for n in (4, 5)]
  assert severities == [Severity.NOTE, Severity.WARNING]
