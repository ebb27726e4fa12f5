# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.evals.ifeval_case."""

import pytest

from ramjax.evals import ifeval_case


def test_capital_words_are_held_to_a_relation():
  def check(frequency, relation):
    return ifeval_case.has_capital_words(
      "VOTE now, I say: VOTE",
      capital_frequency=frequency,
      capital_relation=relation,
    )

  assert check(3, "at least") and not check(4, "at least")
  assert check(4, "less than") and not check(3, "less than")


@pytest.mark.parametrize(
  ("text", "capital", "lowercase"),
  [
    ("THE 3 DOGS ARE IN THE HOUSE!", True, False),
    ("the 3 dogs are in the house!", False, True),
    ("The dogs are in the house.", False, False),
    ("LOS PERROS ESTÁN EN LA CASA", False, False),
    ("los perros están en la casa", False, False),
    ("HELLO WORLD", True, False),
    ("123", False, False),
    ("", False, False),
  ],
)
def test_text_is_english_and_of_one_case(text, capital, lowercase):
  assert ifeval_case.is_english_capital(text) == capital
  assert ifeval_case.is_english_lowercase(text) == lowercase
