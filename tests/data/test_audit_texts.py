# SPDX-License-Identifier: Apache-2.0
"""Marks of templates within text, and seams."""

import pytest
import tiny_audit

from ramjax.data import audit_texts, tokenizers
from ramjax.data.findings import Severity
from ramjax.data.rows import PreferenceRow, TextRow


@pytest.fixture(scope="module")
def ours(tokenizer_paths):
  return tokenizers.load_tokenizer(tokenizer_paths["ours"])


@pytest.fixture(scope="module")
def check(ours):
  def run(rows):
    return list(audit_texts.check_texts(tiny_audit.of_rows(rows, ours)))

  return run


def test_ordinary_rows_are_clean(check):
  rows = [tiny_audit.chat("Is <s>this</s> [1] struck?", "Yes: 2 < 3.")]
  assert check([*rows, TextRow("How are", " you")]) == []


@pytest.mark.parametrize(
  "text", ["<|im_start|>user", "[/INST]", "### Response:\n", "<|eot_id|>"]
)
def test_a_chat_that_was_rendered_before_is_found(text, check):
  (finding,) = check([tiny_audit.chat("a", f"b {text}")])
  assert finding.name == "template_marks"
  assert finding.severity is Severity.WARNING
  assert repr(text.strip().removesuffix("user")) in finding.found


def test_headings_in_raw_text_are_meant(check):
  assert check([TextRow("\n\nHuman: Hi\n\nAssistant:", " Hello")]) == []
  assert tiny_audit.names(check([TextRow("<|im_end|>a", " b")])) == [
    "template_marks"
  ]


def test_marks_in_one_row_of_many_are_a_note(check):
  rows = [tiny_audit.chat(f"p {i}", "a") for i in range(200)]
  (finding,) = check([*rows, tiny_audit.chat("What is [/INST]?", "A mark.")])
  assert finding.severity is Severity.NOTE


def test_a_prompt_that_ends_in_a_space_merges(ours, check):
  # " you" is one token of this tokenizer.
  assert audit_texts.merges("How are ", "you", ours)
  assert not audit_texts.merges("How are", " you", ours)
  rows = [TextRow("How are ", "you"), TextRow("Hello,", " you")]
  (finding,) = check(rows)
  assert finding.name == "seam_merges"
  assert (finding.count, finding.total) == (1, 2)
  assert finding.severity is Severity.WARNING
  assert "In 1 of 2 (50.0%) the prompt ends in white space" in finding.found
  assert [str(place) for place in finding.examples] == ["main row 1"]


def test_a_seam_of_either_answer_of_a_pair_counts(check):
  rows = [PreferenceRow("How are ", "!", "you")]
  assert tiny_audit.names(check(rows)) == ["seam_merges"]


def test_many_rows_are_sampled_evenly(check, monkeypatch):
  monkeypatch.setattr(audit_texts, "_SEAM_ROWS", 3)
  rows = [TextRow("How are ", f"you {i}") for i in range(7)]
  (finding,) = check(rows)
  # Rows 1, 4 and 7.
  assert (finding.count, finding.total) == (3, 3)
  assert [place.index for place in finding.examples] == [0, 3, 6]
  assert "of 7 in all" in finding.found
