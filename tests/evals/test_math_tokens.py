# SPDX-License-Identifier: Apache-2.0
"""Tokens of mathematics: LaTeX and plain text alike, layout and units gone."""

import pytest

from ramjax.evals import math_tokens


def _texts(text):
  return [token.text for token in math_tokens.tokens(text)]


@pytest.mark.parametrize(
  "text,texts",
  [
    (r"\dfrac{1}{2}", ["frac", "{", "1", "}", "{", "2", "}"]),
    (r"\left(x \cdot 2\right)", ["(", "x", "*", "2", ")"]),
    (r"5\text{ cm}^2", ["5"]),
    (r"5\text{ or }6", ["5", ",", "6"]),
    (r"\text{(C)}", ["C"]),
    (r"\operatorname{sin} x", ["sin", "x"]),
    (r"90^\circ + 1^{\circ}", ["90", "+", "1"]),
    (r"\$50\%", ["50"]),
    (r"1,\!234", ["1234"]),
    ("1{,}234,567.5", ["1234567.5"]),
    ("(1,234)", ["(", "1", ",", "234", ")"]),
    ("sinx", ["sin", "x"]),
    ("2xpi", ["2", "x", "pi"]),
    ("\u221a2\u00d7\u03c0\u00b2", ["sqrt", "2", "*", "pi", "^", "2"]),
    ("x or y", ["x", ",", "y"]),
    ("1.5e-7", ["1.5e-7"]),
    ("", []),
  ],
)
def test_ways_to_write_one_thing_give_the_same_tokens(text, texts):
  assert _texts(text) == texts


@pytest.mark.parametrize(
  "text", [r"\begin{pmatrix}", "x < 5", "east", "\0", "\ud800", "5 & 6", "\\"]
)
def test_what_is_no_mathematics_is_refused(text):
  with pytest.raises(math_tokens.MathSyntaxError):
    math_tokens.tokens(text)


def test_the_kinds_tell_functions_from_symbols():
  kinds = [token.kind for token in math_tokens.tokens(r"\sin x + 2")]
  assert kinds == ["function", "symbol", "mark", "number"]
