# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.evals.ifeval_accuracy."""

import pytest

from ramjax.evals.ifeval_accuracy import ifeval_accuracy


def test_prompts_and_instructions_are_counted_apart():
  two = {
    "instruction_id_list": ["punctuation:no_comma", "keywords:existence"],
    "kwargs": [{}, {"keywords": ["tea"]}],
  }
  one = {
    "instruction_id_list": ["keywords:existence"],
    "kwargs": [{"keywords": ["milk"]}],
  }
  # Strictly, one of three is followed; loosely, all but the milk.
  assert ifeval_accuracy([two, one], ["Sure, here:\ntea", "water"]) == {
    "ifeval_prompt_strict": 0.0,
    "ifeval_prompt_loose": 0.5,
    "ifeval_instruction_strict": pytest.approx(1 / 3),
    "ifeval_instruction_loose": pytest.approx(2 / 3),
    "ifeval_instruction_strict/punctuation": 0.0,
    "ifeval_instruction_loose/punctuation": 1.0,
    "ifeval_instruction_strict/keywords": 0.5,
    "ifeval_instruction_loose/keywords": 0.5,
  }


def test_no_records_have_no_accuracy():
  assert ifeval_accuracy([], []) == {}


def test_each_record_needs_a_response():
  with pytest.raises(ValueError, match="shorter"):
    ifeval_accuracy([{}], [])
