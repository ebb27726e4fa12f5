# SPDX-License-Identifier: Apache-2.0
"""How much a page may read, by hand."""

import pytest

from ramjax.tools import report_budget


def test_what_is_read_is_counted_and_no_more_than_that(tmp_path):
  five, six = tmp_path / "five", tmp_path / "six"
  five.write_bytes(b"5" * 5)
  six.write_bytes(b"6" * 6)
  budget = report_budget.Bytes(11)
  budget.take(six)
  with pytest.raises(report_budget.Spent, match="six has 6 bytes, and of 11"):
    budget.take(six)
  # A smaller one is still read, to the last byte.
  budget.take(five)
  with pytest.raises(report_budget.Spent, match=r"0 are left\."):
    budget.take(five)


def test_pages_do_not_share_theirs(tmp_path):
  file = tmp_path / "file"
  file.write_bytes(b"x")
  first, second = report_budget.of_page(), report_budget.of_page()
  first.verdicts.take(file)
  assert first.verdicts is not second.verdicts
  assert first.evaluations is not first.verdicts
