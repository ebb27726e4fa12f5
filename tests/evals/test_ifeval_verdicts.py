# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.evals.ifeval_verdicts."""

import pytest

from ramjax.evals import ifeval_verdicts

_RECORD = {
  "instruction_id_list": ["punctuation:no_comma", "startend:end_checker"],
  "kwargs": [{}, {"end_phrase": "Bye."}],
}


def test_eight_forms_drop_lines_and_asterisks():
  assert ifeval_verdicts.relaxed_forms("*a*\nb*\nc") == [
    "*a*\nb*\nc",
    "b*\nc",
    "*a*\nb*",
    "b*",
    "a\nb\nc",
    "b\nc",
    "a\nb",
    "b",
  ]


def test_one_line_leaves_blank_forms_that_follow_nothing():
  assert ifeval_verdicts.relaxed_forms("*a*") == [
    "*a*",
    *[""] * 3,
    "a",
    *[""] * 3,
  ]
  assert ifeval_verdicts.verdicts(_RECORD, "a,", mode="loose") == [False, False]


@pytest.mark.parametrize(
  ("response", "strict", "loose"),
  [
    ("Tea. Bye.", [True, True], [True, True]),
    ("Sure, here:\nTea. Bye.", [False, True], [True, True]),
    ("Tea. Bye.\nMore, please", [False, False], [True, True]),
    ("Sure,\nTea. **Bye.**\nMore,", [False, False], [True, True]),
    ("Tea, milk.", [False, False], [False, False]),
    ("", [False, False], [False, False]),
  ],
)
def test_loose_verdict_forgives_first_and_last_line_and_asterisks(
  response, strict, loose
):
  assert ifeval_verdicts.verdicts(_RECORD, response, mode="strict") == strict
  assert ifeval_verdicts.verdicts(_RECORD, response, mode="loose") == loose


def test_each_instruction_may_be_followed_by_another_form():
  # Without the first line there is no comma; with it, there is the end.
  record = {
    "instruction_id_list": ["punctuation:no_comma", "keywords:existence"],
    "kwargs": [{}, {"keywords": ["sure"]}],
  }
  response = "Sure, here:\nTea."
  assert ifeval_verdicts.verdicts(record, response, mode="loose") == [
    True,
    True,
  ]


def test_unknown_mode_is_refused():
  with pytest.raises(ValueError, match="mode='lax'"):
    ifeval_verdicts.verdicts(_RECORD, "a", mode="lax")
