# SPDX-License-Identifier: Apache-2.0
"""The figures beside the findings."""

import pytest
import tiny_audit

from ramjax.data.rows import PreferenceRow, TextRow
from ramjax.tools import doctor_figures


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  return tiny_audit.train(tmp_path_factory.mktemp("tokenizer"))


def _figures(rows, tokenizer, **settings):
  data = tiny_audit.of_rows(rows, tokenizer, **settings)
  return {f.name: (f.value, f.detail) for f in doctor_figures.figures(data)}


def test_figures_of_text_by_hand(tokenizer):
  # BOS, 2, 3, EOS; BOS, 2, 1, EOS; the first loses one token.
  rows = [TextRow("!?", "?!?"), TextRow("!?", "?")]
  held_out = [TextRow("!", "!")]
  assert _figures(rows, tokenizer, max_length=6, held_out=held_out) == {
    "Rows to train on": ("2", "1 held out"),
    "Tokens": ("11", "2 sequences of 6 (median) to 6"),
    "Supervised": ("45.5%", "5 tokens"),
    "Cut to fit": ("1", "to data.max_length=6"),
  }


def test_figures_of_pairs_state_the_length_bias(tokenizer):
  rows = [PreferenceRow(f"p {i}", "!", "!!!") for i in range(4)]
  value, detail = _figures(rows, tokenizer)["Chosen is longer"]
  assert value == "0.0%"
  # Wilson's interval of 4 in 4 begins at 4 / (4 + 1.96^2).
  expected = "-2.0 tokens; choosing the shorter is right in 51.0% to 100.0%"
  assert detail == expected


def test_examples_are_counted_where_they_are_not_one_a_row(tokenizer):
  rows = [PreferenceRow("p", "!", "!"), PreferenceRow("p", "!", "?")]
  _, detail = _figures(rows, tokenizer)["Rows to train on"]
  assert detail == "0 held out; 1 examples"


def test_facts_name_sources_and_template(tokenizer):
  data = tiny_audit.of_rows([tiny_audit.chat("a", "b")], tokenizer)
  facts = dict(doctor_figures.facts(data, "sft"))
  assert facts["Algorithm"] == "sft" and facts["Template"] == "plain"
  assert facts["max_length"] == "1,000" and "main" in facts
  text = tiny_audit.of_rows([TextRow("a", "b")], tokenizer)
  assert dict(doctor_figures.facts(text, "sft"))["Template"] == "none: raw text"
