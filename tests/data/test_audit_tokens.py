# SPDX-License-Identifier: Apache-2.0
"""BOS, the end of answers, and the supervised share."""

import numpy as np
import pytest
import tiny_audit

from ramjax.data import audit_tokens, tokenizers
from ramjax.data.findings import Severity
from ramjax.data.rows import ChatRow, TextRow
from ramjax.data.tokenize_rows import Example

_ROWS = [
  tiny_audit.chat("What is 2 + 2?", "It is 4."),
  tiny_audit.chat("Hello there", "Hello"),
]
_BOS, _EOS = 1, 2


@pytest.fixture(scope="module")
def ours(tokenizer_paths):
  return tokenizers.load_tokenizer(tokenizer_paths["ours"])


@pytest.fixture(scope="module")
def clean(ours):
  return tiny_audit.of_rows(_ROWS, ours)


def _check(data):
  return list(audit_tokens.check_tokens(data))


def _changed(clean, change):
  """`clean` with another first example: `change(tokens, mask)`."""
  (source,) = clean.sources
  first, second = source.examples
  tokens, mask = change(first.tokens, first.response_mask)
  broken = Example(np.array(tokens), np.array(mask, bool), 0)
  return tiny_audit.with_examples(clean, [broken, second])


@pytest.mark.parametrize("template", ["plain", "alpaca", "llama2", "mistral"])
def test_rows_as_a_run_makes_them_are_clean(template, ours):
  turns = _ROWS[0].messages + _ROWS[1].messages
  rows = [*_ROWS, ChatRow(turns), TextRow("a b ", "c d")]
  assert _check(tiny_audit.of_rows(rows, ours, template=template)) == []


@pytest.mark.parametrize("template", ["llama3", "llama3_1"])
def test_turns_that_end_in_their_own_token_are_clean(template, tokenizer_paths):
  llama3 = tokenizers.load_tokenizer(tokenizer_paths["llama3_json"])
  assert _check(tiny_audit.of_rows(_ROWS, llama3, template=template)) == []


def test_a_missing_bos_is_an_error(clean):
  data = _changed(clean, lambda tokens, mask: (tokens[1:], mask[1:]))
  finding = tiny_audit.only(_check(data), "bos_missing")
  assert finding.severity is Severity.ERROR
  assert (finding.count, finding.total) == (1, 2)
  assert [str(place) for place in finding.examples] == ["main row 1"]
  assert "1 of 2 (50.0%)" in finding.found


def test_a_template_without_bos_is_a_warning(tokenizer_paths):
  llama2 = tokenizers.load_tokenizer(tokenizer_paths["llama2_model"])
  data = tiny_audit.of_rows(_ROWS, llama2, template="chatml")
  (finding,) = _check(data)
  assert finding.name == "bos_missing" and finding.count == 2
  assert finding.severity is Severity.WARNING
  assert "template='chatml'" in finding.found


def test_two_bos_are_an_error(clean):
  data = _changed(clean, lambda tokens, mask: ([_BOS, *tokens], [False, *mask]))
  (finding,) = _check(data)
  assert finding.name == "bos_twice" and finding.severity is Severity.ERROR


def test_a_bos_inside_is_an_error(clean):
  data = _changed(
    clean, lambda tokens, mask: (np.insert(tokens, 4, _BOS), [*mask, True])
  )
  found = tiny_audit.only(_check(data), "bos_inside")
  assert found.severity is Severity.ERROR and found.count == 1


def test_a_bos_after_an_eos_is_stray_unless_the_template_puts_it_there(ours):
  row = ChatRow(_ROWS[0].messages + _ROWS[1].messages)
  clean = tiny_audit.of_rows([row], ours, template="llama2")
  assert _check(clean) == []
  (source,) = clean.sources
  plain = tiny_audit.of_rows([row], ours)
  data = tiny_audit.with_examples(plain, source.examples)
  assert "bos_inside" in tiny_audit.names(_check(data))


def test_an_answer_without_its_end_is_an_error(clean):
  data = _changed(clean, lambda tokens, mask: (tokens[:-1], mask[:-1]))
  (finding,) = _check(data)
  assert finding.name == "end_missing" and finding.severity is Severity.ERROR
  assert "</s>" in finding.found


def test_an_end_that_is_not_supervised_is_an_error(clean):
  data = _changed(clean, lambda tokens, mask: (tokens, [*mask[:-1], False]))
  assert tiny_audit.names(_check(data)) == ["end_missing"]


def test_an_answer_that_was_cut_needs_no_end(ours):
  data = tiny_audit.of_rows(_ROWS, ours, max_length=16)
  assert any(e.num_truncated for e in data.sources[0].examples)
  assert "end_missing" not in tiny_audit.names(_check(data))


def test_an_answer_of_nothing_but_its_end_is_an_error(clean):
  data = _changed(
    clean, lambda tokens, mask: ([_BOS, 9, _EOS], [False, False, True])
  )
  (finding,) = _check(data)
  assert finding.name == "empty_answers" and finding.count == 1


def test_a_row_that_supervises_nothing_is_an_error(clean):
  data = _changed(clean, lambda tokens, mask: (tokens, 0 * mask))
  assert "empty_answers" in tiny_audit.names(_check(data))


def test_a_low_share_of_supervised_tokens_is_a_warning(ours):
  # An answer of at most two tokens and its end, after more than 200.
  prompt = "!?" * 100
  data = tiny_audit.of_rows([tiny_audit.chat(prompt, "4")], ours)
  (finding,) = _check(data)
  assert finding.name == "mask_share_low"
  assert finding.severity is Severity.WARNING
  assert finding.count < 0.02 * finding.total


def test_a_high_share_is_a_warning_for_rows_with_prompts_only(ours):
  answer = "!?" * 100
  (finding,) = _check(tiny_audit.of_rows([TextRow("!", answer)], ours))
  assert finding.name == "mask_share_high"
  # BOS and one token of the prompt are not supervised.
  assert finding.total - finding.count == 2
  assert _check(tiny_audit.of_rows([TextRow("", answer)], ours)) == []
