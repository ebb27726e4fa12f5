# SPDX-License-Identifier: Apache-2.0
"""Copies, and overlap with held-out rows."""

import pytest
import tiny_audit

from ramjax.data import audit_duplicates, tokenizers
from ramjax.data.findings import Severity
from ramjax.data.rows import PreferenceRow, TextRow

_LONG = "An answer that is longer than forty characters, which is enough."


@pytest.fixture(scope="module")
def ours(tokenizer_paths):
  return tokenizers.load_tokenizer(tokenizer_paths["ours"])


@pytest.fixture(scope="module")
def check(ours):
  def run(rows, held_out=()):
    data = tiny_audit.of_rows(rows, ours, held_out=held_out)
    return list(audit_duplicates.check_duplicates(data))

  return run


def _rows(num):
  return [tiny_audit.chat(f"question {i}", f"answer {i}") for i in range(num)]


def test_rows_that_differ_are_clean(check):
  held_out = [tiny_audit.chat("another question", "another answer")]
  assert check(_rows(20), held_out) == []


def test_copies_of_rows_are_counted(check):
  rows = [*_rows(8), *_rows(2)]
  (finding,) = check(rows)
  assert finding.name == "duplicate_rows"
  assert (finding.count, finding.total) == (2, 10)
  assert finding.severity is Severity.WARNING
  assert [str(p) for p in finding.examples] == ["main row 9", "main row 10"]


def test_one_copy_among_many_is_a_note(check):
  (finding,) = check([*_rows(199), *_rows(1)])
  assert finding.severity is Severity.NOTE


def test_another_answer_to_a_prompt_is_no_copy_of_the_row(check):
  rows = [*_rows(3), tiny_audit.chat(" QUESTION  1", "other")]
  (finding,) = check(rows)
  assert finding.name == "duplicate_prompts"
  assert (finding.count, finding.total) == (1, 4)
  assert finding.severity is Severity.WARNING
  assert [str(p) for p in finding.examples] == ["main row 4"]


def test_several_pairs_to_a_prompt_are_a_note(check):
  rows = [PreferenceRow("p", f"a {i}", f"b {i}") for i in range(3)]
  (finding,) = check(rows)
  assert finding.name == "duplicate_prompts" and finding.count == 2
  assert finding.severity is Severity.NOTE


def test_raw_text_without_a_prompt_has_no_duplicate_prompt(check):
  assert check([TextRow("", "one"), TextRow("", "two")]) == []


@pytest.mark.parametrize(
  "answer,severity", [(_LONG, Severity.WARNING), ("yes", Severity.NOTE)]
)
def test_an_answer_to_many_prompts_is_found(answer, severity, check):
  rows = _rows(90) + [tiny_audit.chat(f"other {i}", answer) for i in range(10)]
  (finding,) = check(rows)
  assert finding.name == "repeated_answer" and finding.severity is severity
  assert (finding.count, finding.total) == (10, 100)


def test_nine_repeats_are_none(check):
  rows = _rows(9) + [tiny_audit.chat(f"other {i}", "yes") for i in range(9)]
  assert check(rows) == []


def test_a_held_out_prompt_that_is_trained_on_is_an_error(check):
  held_out = [tiny_audit.chat("Question 1 ", "other"), *_other(3)]
  (finding,) = check(_rows(5), held_out)
  assert finding.name == "held_out_prompts"
  assert finding.severity is Severity.ERROR
  assert (finding.count, finding.total) == (1, 4)
  assert [str(p) for p in finding.examples] == ["held-out row 1"]
  assert "'user question 1'" in finding.found


def test_one_leaked_prompt_in_a_thousand_is_a_warning(check):
  held_out = [*_other(1000), tiny_audit.chat("question 1", "other")]
  (finding,) = check(_rows(5), held_out)
  assert finding.severity is Severity.WARNING


def test_a_long_held_out_answer_that_is_trained_on_is_found(check):
  rows = [*_rows(5), tiny_audit.chat("a", _LONG)]
  (finding,) = check(rows, [tiny_audit.chat("b", _LONG.upper())])
  assert finding.name == "held_out_answers"
  assert finding.severity is Severity.WARNING


def test_a_short_answer_on_both_sides_is_no_leak(check):
  assert (
    check([tiny_audit.chat("a", "yes")], [tiny_audit.chat("b", "yes")]) == []
  )


def _other(num):
  return [tiny_audit.chat(f"other {i}", f"reply {i}") for i in range(num)]
