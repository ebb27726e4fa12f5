# SPDX-License-Identifier: Apache-2.0
"""Truncation and padding."""

import pytest
import tiny_audit

from ramjax.data import audit_lengths, tokenizers
from ramjax.data.findings import Severity
from ramjax.data.rows import PreferenceRow, TextRow


@pytest.fixture(scope="module")
def ours(tokenizer_paths):
  return tokenizers.load_tokenizer(tokenizer_paths["ours"])


def _check(data):
  return list(audit_lengths.check_lengths(data))


# "!?" is two tokens, for no text that the tokenizer learned has it.
def _row(num_prompt, num_answer):
  return TextRow("!?" * num_prompt, "?!" * num_answer)


def test_rows_that_fit_are_clean(ours):
  # BOS, 4, 4, EOS: 10 of 10 places.
  assert _check(tiny_audit.of_rows([_row(2, 2)] * 4, ours, max_length=10)) == []


def test_truncation_is_counted_in_rows_and_tokens(ours):
  # 10 tokens fit; 8 + 2 more do not.
  rows = [_row(2, 2)] * 3 + [_row(6, 2)]
  data = tiny_audit.of_rows(rows, ours, max_length=10)
  (finding,) = _check(data)
  assert finding.name == "truncated"
  assert (finding.count, finding.total) == (1, 4)
  # 30 and 18 tokens, 8 of them cut.
  assert "lose 8 tokens, 16.7% of all" in finding.found
  assert [str(place) for place in finding.examples] == ["main row 4"]
  assert finding.severity is Severity.WARNING


def test_a_little_truncation_is_a_note(ours):
  rows = [_row(2, 2)] * 39 + [_row(6, 2)]
  (finding,) = _check(tiny_audit.of_rows(rows, ours, max_length=10))
  assert finding.severity is Severity.NOTE


def test_answers_that_lost_their_end_are_counted(ours):
  rows = [_row(2, 2)] * 3 + [_row(2, 6)]
  found = _check(tiny_audit.of_rows(rows, ours, max_length=10))
  finding = tiny_audit.only(found, "answers_cut")
  assert (finding.count, finding.total) == (1, 4)
  assert finding.severity is Severity.WARNING


def test_only_the_answer_of_a_pair_that_was_cut_counts(ours):
  row = PreferenceRow("!?", "?!", "?!" * 20)
  found = _check(tiny_audit.of_rows([row], ours, max_length=10))
  finding = tiny_audit.only(found, "answers_cut")
  assert (finding.count, finding.total) == (1, 2)


def test_pairs_that_become_equal_are_counted(ours):
  same = PreferenceRow("!?", "?!" * 20 + "a", "?!" * 20 + "b")
  rows = [same, PreferenceRow("!?", "?", "!")]
  found = _check(tiny_audit.of_rows(rows, ours, max_length=10))
  finding = tiny_audit.only(found, "answers_identical")
  assert (finding.count, finding.total) == (1, 2)
  assert finding.severity is Severity.WARNING
  assert tiny_audit.only(found, "truncated").total == 2


def test_records_set_aside_are_counted(ours):
  data = tiny_audit.of_rows([_row(2, 2)] * 9, ours, quarantined=1)
  (finding,) = _check(data)
  assert finding.name == "quarantined"
  assert (finding.count, finding.total) == (1, 10)
  assert finding.severity is Severity.WARNING


def test_outliers_in_length_are_noted(ours):
  rows = [_row(2, 2)] * 99 + [_row(20, 20)]
  (finding,) = _check(tiny_audit.of_rows(rows, ours))
  assert finding.name == "long_outliers"
  assert finding.count == 1 and finding.severity is Severity.NOTE
  assert str(finding.examples[0]) == "main row 100"
  assert "(10 tokens); the longest has 82" in finding.found


@pytest.mark.parametrize(
  "pack,max_length,expected",
  [(False, 21, ["padding"]), (False, 20, []), (True, 21, [])],
)
def test_padding_without_packing_is_a_warning_above_one_half(
  pack, max_length, expected, ours
):
  rows = [_row(2, 2)] * 3
  data = tiny_audit.of_rows(rows, ours, max_length=max_length, pack=pack)
  found = _check(data)
  assert tiny_audit.names(found) == expected
  if expected:
    # 3 rows of 10 tokens in 21 places each.
    assert (found[0].count, found[0].total) == (33, 63)
    assert found[0].severity is Severity.WARNING
