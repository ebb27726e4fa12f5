# SPDX-License-Identifier: Apache-2.0
"""Whether two short pieces of mathematics mean the same.

Rational numbers are compared exactly. Everything else is evaluated at a few
random points, always the same ones, as in the test of Schwartz and Zippel
(1980, JACM 27(4)): two expressions that agree at all of them are equal but for
rounding. What cannot be parsed or evaluated is compared as text.
"""

import cmath
import functools
import math
import random
import re
from collections.abc import Callable
from fractions import Fraction

from ramjax.evals import math_expression, math_tokens
from ramjax.evals.math_expression import (
  Collection,
  Equation,
  Node,
  Number,
  Operation,
  Symbol,
)

_TOLERANCE = 1e-9
# Of the largest term of a sum: what may be left where terms cancel.
_ROUNDING = 1e-13
_POINTS = 8
_MIN_POINTS = 3

# Exact values of more bits, and larger exponents, are left to floats, in which
# 9^9^9^9 overflows at once.
_MAX_BITS = 20_000
_MAX_EXPONENT = 1000

_CONSTANTS = {"pi": math.pi, "e": math.e, "i": 1j}
_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
  "sin": cmath.sin,
  "cos": cmath.cos,
  "tan": cmath.tan,
  "sec": lambda z: 1 / cmath.cos(z),
  "csc": lambda z: 1 / cmath.sin(z),
  "cot": lambda z: 1 / cmath.tan(z),
  "arcsin": cmath.asin,
  "arccos": cmath.acos,
  "arctan": cmath.atan,
  "sinh": cmath.sinh,
  "cosh": cmath.cosh,
  "tanh": cmath.tanh,
  "ln": cmath.log,
  "abs": abs,
}
# Left of "=", the name of a function and not a factor.
_FUNCTION_NAMES = frozenset("fghpqFGHPQ")
# Items of a set: each is compared with each.
_MAX_UNORDERED = 32

# What makes no difference to what is compared as text.
_WORDS = re.compile(r"\\(?:text|textbf|textrm|mbox|mathrm) ?\{([^{}]*)\}")
_LAYOUT = re.compile(
  r"\\(?:left|right|displaystyle)(?![a-zA-Z])|\\?[%$]|\\!|\\(?=[,;: ])"
)
_SPACED = re.compile(r" ?([^\w\s]) ?")
_BRACED = re.compile(r"\{(\w)\}")


def equivalent(text: str, truth: str) -> bool:
  """Whether two texts are the same number, expression, set, ... or words.

  `x = 5` equals `5`: where one is an equation and the other is not, its right
  side counts. Lists and sets have no order; tuples and intervals have one.
  Numbers that are not both rational are equal up to 1e-9 of their size.

  Args:
    text: Anything at all; bounded time.
    truth: LaTeX or plain text.
  """
  if _as_text(text) == _as_text(truth):
    return True
  try:
    nodes = math_expression.parse(text), math_expression.parse(truth)
  except math_tokens.MathSyntaxError:
    return False
  return _equal(*nodes)


def is_expression(text: str) -> bool:
  """Whether `text` is mathematics that can be compared as such."""
  try:
    math_expression.parse(text)
  except math_tokens.MathSyntaxError:
    return False
  return True


def _as_text(text: str) -> str:
  plain = _WORDS.sub(r" \1 ", text.replace("\\dfrac", "\\frac"))
  plain = " ".join(_LAYOUT.sub("", plain).split()).rstrip(".")
  plain = _BRACED.sub(r"\1", _SPACED.sub(r"\1", plain))
  # "Yes" is "yes", but the variable X is not x.
  is_words = len(plain) > 1 and plain.replace(" ", "").isalpha()
  return plain.lower() if is_words else plain


def _equal(a: Node, b: Node) -> bool:
  if a == b:
    return True
  if isinstance(a, Equation) and isinstance(b, Equation):
    return _equal(a.right, b.right) if a.left == b.left else _same_curve(a, b)
  if isinstance(a, Equation) or isinstance(b, Equation):
    first, second = _right_side(a), _right_side(b)
    return first is not None and second is not None and _equal(first, second)
  if isinstance(a, Collection) or isinstance(b, Collection):
    return (
      isinstance(a, Collection)
      and isinstance(b, Collection)
      and _equal_collections(a, b)
    )
  exact = _exact(a), _exact(b)
  if exact[0] is not None and exact[1] is not None:
    return exact[0] == exact[1]
  return _agree(lambda point: _difference(a, b, point))


def _right_side(node: Node) -> Node | None:
  """What an equation says its left side is; None if it is not so simple."""
  if not isinstance(node, Equation):
    return node
  left = node.left
  if isinstance(left, Operation) and left.name == "*":
    first, *others = left.operands
    is_call = isinstance(first, Symbol) and first.name in _FUNCTION_NAMES
    if is_call and all(isinstance(other, Symbol) for other in others):
      return node.right
  if isinstance(left, Symbol) or _exact(left) is not None:
    return node.right
  return None


def _same_curve(a: Equation, b: Equation) -> bool:
  """Whether one equation is a multiple of the other."""

  def determinant(point: int) -> tuple[complex, float]:
    here, there = _Evaluation(point), _Evaluation(0)
    first = here.value(a.left) - here.value(a.right)
    second = here.value(b.left) - here.value(b.right)
    first_0 = there.value(a.left) - there.value(a.right)
    second_0 = there.value(b.left) - there.value(b.right)
    left, right = first * second_0, second * first_0
    if not left or not right:
      raise ZeroDivisionError
    size = max(abs(left), abs(right))
    return left - right, _TOLERANCE * size

  return _agree(determinant, first=1)


def _equal_collections(a: Collection, b: Collection) -> bool:
  if len(a.items) != len(b.items):
    return False
  unordered = ("", "{}")
  if a.brackets != b.brackets and not (
    a.brackets in unordered and b.brackets in unordered
  ):
    return False
  if a.brackets not in (*unordered, "cup"):
    return all(map(_equal, a.items, b.items))
  if len(a.items) > _MAX_UNORDERED:
    return False
  left = list(b.items)
  for item in a.items:
    match = next((other for other in left if _equal(item, other)), None)
    if match is None:
      return False
    left.remove(match)
  return True


def _agree(
  difference: Callable[[int], tuple[complex, float]], first: int = 0
) -> bool:
  """Whether a difference is within its tolerance at every point it has."""
  compared = 0
  for point in range(first, first + _POINTS):
    try:
      distance, tolerance = difference(point)
    except (ArithmeticError, ValueError):
      # Not defined here, such as a logarithm of 0, or too large for a float.
      continue
    if not cmath.isfinite(distance):
      continue
    if abs(distance) > tolerance:
      return False
    compared += 1
  return compared >= _MIN_POINTS


def _difference(a: Node, b: Node, point: int) -> tuple[complex, float]:
  evaluation = _Evaluation(point)
  first, second = evaluation.value(a), evaluation.value(b)
  size = max(abs(first), abs(second))
  rounding = _ROUNDING * evaluation.largest_term
  if not rounding <= _TOLERANCE * max(size, 1.0):
    # Else 10^30*pi - 10^30*pi would be within its rounding of everything.
    raise ArithmeticError("terms cancel too far for floats to tell")
  return first - second, _TOLERANCE * size + rounding


class _Evaluation:
  """The value of expressions at one point, in complex floats.

  Attributes:
    largest_term: The largest absolute value among the terms of all sums.
  """

  def __init__(self, point: int):
    self._point = point
    self.largest_term = 0.0

  def value(self, node: Node) -> complex:
    """Returns the value.

    Raises:
      ArithmeticError: It is not defined here, or too large.
      ValueError: It is not defined here, or is no number.
    """
    match node:
      case Number(value):
        return complex(float(value))
      case Symbol(name):
        return complex(_CONSTANTS.get(name) or _coordinate(self._point, name))
      case Operation("^", (base, exponent)):
        return self._power(base, exponent)
      case Operation(name, operands):
        return self._apply(name, [self.value(part) for part in operands])
    raise ValueError("a list or an equation has no value")

  def _apply(self, name: str, values: list[complex]) -> complex:
    if name == "+":
      self.largest_term = max(self.largest_term, *map(abs, values))
      return sum(values, 0j)
    if name == "*":
      return math.prod(values, start=1 + 0j)
    if name == "/":
      return values[0] / values[1]
    if name == "-":
      return -values[0]
    if name == "log":
      # Without a base, 10's, as on a calculator; "ln" is the natural one.
      base = values[1] if len(values) == 2 else 10.0
      return cmath.log(values[0]) / cmath.log(base)
    return complex(_FUNCTIONS[name](values[0]))

  def _power(self, base: Node, exponent: Node) -> complex:
    root = _exact(exponent)
    value = self.value(base)
    if root is None:
      return value ** self.value(exponent)
    if value.imag or value.real >= 0 or root.denominator % 2 == 0:
      return value ** float(root)
    # The odd root of a negative number is real: the cube root of -8 is -2.
    size = (-value.real) ** float(root)
    return complex(-size if root.numerator % 2 else size)


@functools.lru_cache(maxsize=4096)
def _coordinate(point: int, name: str) -> float:
  """A symbol's value at a point: between 0.4 and 2.6, of either sign."""
  rng = random.Random(f"{point}/{name}")
  return rng.choice((-1, 1)) * rng.uniform(0.4, 2.6)


def _exact(node: Node) -> Fraction | None:
  """The value if it is rational by exact arithmetic of bounded size."""
  if isinstance(node, Number):
    return node.value
  if not isinstance(node, Operation):
    return None
  values = [_exact(part) for part in node.operands]
  known = [value for value in values if value is not None]
  if len(known) < len(values):
    return None
  match node.name:
    case "+" | "*":
      total = known[0]
      for value in known[1:]:
        if _bits(total) + _bits(value) > _MAX_BITS:
          return None
        total = total + value if node.name == "+" else total * value
      return total
    case "-":
      return -known[0]
    case "/":
      small = _bits(known[0]) + _bits(known[1]) <= _MAX_BITS
      return known[0] / known[1] if known[1] and small else None
    case "^":
      return _exact_power(*known)
    case "abs":
      return abs(known[0])
  return None


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
  size = abs(exponent)
  if exponent.denominator != 1 or size > _MAX_EXPONENT:
    return None
  if _bits(base) * size > _MAX_BITS or (not base and exponent <= 0):
    return None
  return base ** int(exponent)


def _bits(value: Fraction) -> int:
  return value.numerator.bit_length() + value.denominator.bit_length()
