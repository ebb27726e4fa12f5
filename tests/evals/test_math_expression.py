# SPDX-License-Identifier: Apache-2.0
"""Parser of mathematics: what binds to what, and what is refused in no time."""

from fractions import Fraction

import pytest

from ramjax.evals.math_expression import (
  Collection,
  Equation,
  Number,
  Operation,
  Symbol,
  parse,
)
from ramjax.evals.math_tokens import MathSyntaxError


def _number(value):
  return Number(Fraction(value))


_X, _Y = Symbol("x"), Symbol("y")


@pytest.mark.parametrize(
  "text,same",
  [
    ("2x^2", "2*(x^2)"),
    ("2^3^2", "2^(3^2)"),
    ("-x^2", "-(x^2)"),
    ("2^-1", "2^{-1}"),
    ("a/bx", "a / b * x"),
    ("--x", "x"),
    (r"\frac12", r"\frac{1}{2}"),
    (r"\frac1{2}", r"\frac{1}{2}"),
    (r"\frac123", r"\frac{1}{2} 3"),
    (r"\sqrt2", r"\sqrt{2}"),
    (r"\sqrt23", r"\sqrt{2} 3"),
    (r"\sin 2x \cos y", r"\sin(2x) * \cos(y)"),
    (r"\sin^2 x", r"(\sin x)^2"),
    (r"\tan^{-1} x", r"\arctan x"),
    (r"|x||y|", r"abs(x) * abs(y)"),
    ("x_{12}", "x_12"),
  ],
)
def test_what_binds_to_what(text, same):
  assert parse(text) == parse(same)


def test_a_whole_number_and_a_fraction_of_numbers_are_a_mixed_number():
  three_quarters = Operation("/", (_number(3), _number(4)))
  mixed = Operation("+", (_number(1), three_quarters))
  assert parse(r"1\frac{3}{4}") == mixed
  product = Operation("*", (_number(1), Operation("/", (_X, _number(4)))))
  assert parse(r"1\frac{x}{4}") == product


@pytest.mark.parametrize(
  "text,brackets",
  [
    ("(x, y)", "()"),
    (r"\left[x, y\right)", "[)"),
    (r"\{x, y\}", "{}"),
    ("x, y", ""),
    (r"x \cup y", "cup"),
  ],
)
def test_collections_keep_their_brackets(text, brackets):
  assert parse(text) == Collection(brackets, (_X, _Y))


def test_the_empty_set_has_two_names():
  assert parse(r"\emptyset") == parse(r"\{\}") == Collection("{}", ())


def test_of_a_chain_of_equals_the_ends_count():
  assert parse("x = 2 + 3 = 5") == Equation(_X, _number(5))


@pytest.mark.parametrize(
  "text",
  [
    "", "()", "(1", "1)", "1 2", "x^", "^2", "1010_2", "*2", "2*", r"\frac{1}",
    r"\sqrt", r"\sin", r"\log^{-1} 2", "x_", "x_{", "|x", "[1,2", "1,",
    "(1,2}", "5!", "9" * 401, "1e301", "x" * 1001,
  ],
)  # fmt: skip
def test_what_is_no_expression_is_refused(text):
  with pytest.raises(MathSyntaxError):
    parse(text)


@pytest.mark.parametrize(
  "text",
  [
    "(" * 400 + "1" + ")" * 400,
    "{" * 900,
    "|" * 900,
    "9^" * 400 + "9",
    r"\frac" * 200,
    r"\sqrt" * 190 + "2",
    r"\sin" * 200 + "x",
    r"\log_" * 190 + "x",
    "x_{" * 300,
  ],
)
def test_depth_is_bounded(text):
  with pytest.raises(MathSyntaxError):
    parse(text)


def test_long_sums_and_runs_of_signs_are_not_deep():
  assert len(parse("+".join("x" * 400)).operands) == 400
  assert parse("-" * 901 + "1") == Operation("-", (_number(1),))
