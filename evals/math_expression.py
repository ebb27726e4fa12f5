# SPDX-License-Identifier: Apache-2.0
r"""A parser of short mathematics, as LaTeX or as plain text, by strangers.

It reads numbers, `+ - * / ^`, `\frac`, `\sqrt[n]{}`, functions, constants,
variables, implicit products, tuples, intervals, sets, unions and equations.
Units (`\text{cm}`), degrees, percent and dollar signs are dropped: "50%" is
50. Everything else (matrices, inequalities, words) is a `MathSyntaxError`.
Nothing is evaluated here; length, depth and digits are bounded.
"""

import dataclasses
from fractions import Fraction

from ramjax.evals import math_tokens
from ramjax.evals.math_tokens import END, MathSyntaxError, Token

MAX_CHARACTERS = 1000
_MAX_DEPTH = 30
_MAX_DIGITS = 400
_INVERSES = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}


@dataclasses.dataclass(frozen=True)
class Number:
  """A rational number, exactly."""

  value: Fraction


@dataclasses.dataclass(frozen=True)
class Symbol:
  """A variable or a constant: "x", "x_1", "pi", "e", "i", "infty", "pm"."""

  name: str


@dataclasses.dataclass(frozen=True)
class Operation:
  """What is computed: "+", "*", "/", "^", "-" (of one), or a function.

  Sums and products have any number of operands, so that a long one is not
  deep. "log" may have its base as a second operand.
  """

  name: str
  operands: tuple["Node", ...]


@dataclasses.dataclass(frozen=True)
class Collection:
  """Several values: "()", "(]", "[)", "[]" in order; "{}", "cup", "" in any."""

  brackets: str
  items: tuple["Node", ...]


@dataclasses.dataclass(frozen=True)
class Equation:
  """The first and the last side of a chain of equal ones."""

  left: "Node"
  right: "Node"


Node = Number | Symbol | Operation | Collection | Equation


def parse(text: str) -> Node:
  """Returns the expression that a text is.

  Raises:
    MathSyntaxError: The text is none, or is too long or too deep.
  """
  if len(text) > MAX_CHARACTERS:
    raise MathSyntaxError(f"longer than {MAX_CHARACTERS} characters")
  parser = _Parser(math_tokens.tokens(text))
  items = parser.sequence()
  if parser.next.kind:
    raise MathSyntaxError(f"unexpected {parser.next.text!r}")
  return items[0] if len(items) == 1 else Collection("", items)


class _Parser:
  """Recursive descent over tokens; each method reads one kind of thing."""

  def __init__(self, tokens: list[Token]):
    self._tokens = tokens
    self._index = 0
    self._depth = 0
    self._open_bars = 0

  @property
  def next(self) -> Token:
    if self._index < len(self._tokens):
      return self._tokens[self._index]
    return END

  def _take(self, *marks: str) -> str:
    """Steps over the next token if it is one of the marks, and returns it."""
    token = self.next
    if token.kind == "mark" and token.text in marks:
      self._index += 1
      return token.text
    return ""

  def _expect(self, *marks: str) -> str:
    mark = self._take(*marks)
    if not mark:
      raise MathSyntaxError(f"{self.next.text!r} where {marks[0]!r} is due")
    return mark

  def sequence(self) -> tuple[Node, ...]:
    """Items between commas."""
    items = [self._item()]
    while self._take(","):
      items.append(self._item())
    return tuple(items)

  def _item(self) -> Node:
    sides = [self._union()]
    while self._take("="):
      sides.append(self._union())
    return sides[0] if len(sides) == 1 else Equation(sides[0], sides[-1])

  def _union(self) -> Node:
    parts = [self._sum()]
    while self._take("cup"):
      parts.append(self._sum())
    return parts[0] if len(parts) == 1 else Collection("cup", tuple(parts))

  def _sum(self) -> Node:
    terms = [self._signed(self._product)]
    while self.next.kind == "mark" and self.next.text in ("+", "-", "pm"):
      terms.append(self._signed(self._product))
    return terms[0] if len(terms) == 1 else Operation("+", tuple(terms))

  def _signed(self, read) -> Node:
    negative = either = False
    while sign := self._take("+", "-", "pm"):
      negative ^= sign == "-"
      either |= sign == "pm"
    node = read()
    if either:
      node = Operation("*", (Symbol("pm"), node))
    return Operation("-", (node,)) if negative else node

  def _product(self) -> Node:
    factors = [self._power()]
    while True:
      before = self._tokens[self._index - 1].kind
      if self._take("*"):
        factors.append(self._signed(self._power))
      elif self._take("/"):
        divisor = self._signed(self._power)
        factors.append(Operation("/", (Number(Fraction(1)), divisor)))
      elif self._starts_factor():
        if before == self.next.kind == "number":
          raise MathSyntaxError("two numbers without an operator")
        factors.append(self._power())
      else:
        break
    return factors[0] if len(factors) == 1 else Operation("*", tuple(factors))

  def _starts_factor(self) -> bool:
    kind, text = self.next.kind, self.next.text
    if kind == "mark":
      bar = text == "|" and not self._open_bars
      return bar or text in ("(", "{", "frac", "root")
    return kind != ""

  def _power(self) -> Node:
    base = self._atom()
    if not self._take("^"):
      return base
    return Operation("^", (base, self._deeper(self._exponent)))

  def _exponent(self) -> Node:
    return self._signed(self._power)

  def _deeper(self, read):
    self._depth += 1
    if self._depth > _MAX_DEPTH:
      raise MathSyntaxError(f"nested more than {_MAX_DEPTH} levels deep")
    node = read()
    self._depth -= 1
    return node

  def _atom(self) -> Node:
    return self._deeper(self._read_atom)

  def _read_atom(self) -> Node:
    token = self.next
    self._index += 1
    if token.kind == "number":
      return self._number(token.text)
    if token.kind == "symbol":
      return Symbol(token.text + self._subscript())
    if token.kind == "function":
      return self._function(token.text)
    match token.text if token.kind else "":
      case "frac":
        return Operation("/", (self._argument(), self._argument()))
      case "root":
        return self._root()
      case "(" | "[" as opening:
        items = self.sequence()
        brackets = opening + self._expect(")", "]")
        if len(items) == 1 and brackets in ("()", "[]"):
          return items[0]
        return Collection(brackets, items)
      case "\\{":
        if self._take("\\}"):
          return Collection("{}", ())
        items = self.sequence()
        self._expect("\\}")
        return Collection("{}", items)
      case "{":
        items = self.sequence()
        self._expect("}")
        return items[0] if len(items) == 1 else Collection("{}", items)
      case "|":
        self._open_bars += 1
        inner = self._sum()
        self._expect("|")
        self._open_bars -= 1
        return Operation("abs", (inner,))
      case "empty":
        return Collection("{}", ())
    raise MathSyntaxError(f"{token.text!r} where a value is due")

  def _number(self, digits: str) -> Node:
    mantissa, _, exponent = digits.lower().partition("e")
    if len(mantissa) > _MAX_DIGITS or abs(int(exponent or "0")) > 300:
      raise MathSyntaxError("a number of too many digits")
    number = Number(Fraction(mantissa) * Fraction(10) ** int(exponent or "0"))
    if not digits.isdigit() or self.next != Token("mark", "frac"):
      return number
    fraction = self._atom()
    assert isinstance(fraction, Operation)
    # 1\frac{3}{4} is a mixed number, and 2\frac{x}{3} a product.
    mixed = all(isinstance(part, Number) for part in fraction.operands)
    return Operation("+" if mixed else "*", (number, fraction))

  def _subscript(self) -> str:
    if not self._take("_"):
      return ""
    if not self._take("{"):
      token = self.next
      self._index += 1
      if token.kind not in ("number", "symbol"):
        raise MathSyntaxError(f"{token.text!r} as a subscript")
      return f"_{token.text}"
    parts = []
    while not self._take("}"):
      if not self.next.kind or self.next.text == "{":
        raise MathSyntaxError("a subscript without an end")
      parts.append(self.next.text)
      self._index += 1
    return f"_{''.join(parts)}"

  def _argument(self) -> Node:
    r"""A braced group, or one character as LaTeX reads it: \frac12."""
    token = self.next
    if token.kind == "number" and len(token.text) > 1:
      first, rest = token.text[0], token.text[1:]
      self._tokens[self._index] = Token("number", rest)
      if not (first + rest).isdigit():
        raise MathSyntaxError(f"{token.text!r} without braces")
      return Number(Fraction(first))
    if token.kind == "number":
      self._index += 1
      return Number(Fraction(token.text))
    return self._atom()

  def _root(self) -> Node:
    degree: Node = Number(Fraction(2))
    if self._take("["):
      degree = self._sum()
      self._expect("]")
    degree = Operation("/", (Number(Fraction(1)), degree))
    return Operation("^", (self._argument(), degree))

  def _function(self, name: str) -> Node:
    base = exponent = None
    if name == "log" and self._take("_"):
      base = self._argument()
    if self._take("^"):
      exponent = self._argument()
      if exponent == Operation("-", (Number(Fraction(1)),)):
        if name not in _INVERSES:
          raise MathSyntaxError(f"{name}^-1 is an inverse or a power")
        name, exponent = _INVERSES[name], None
    operand = self._operand(name)
    if name == "sqrt":
      node = Operation("^", (operand, Number(Fraction(1, 2))))
    elif name == "exp":
      node = Operation("^", (Symbol("e"), operand))
    else:
      operands = (operand,) if base is None else (operand, base)
      node = Operation(name, operands)
    return node if exponent is None else Operation("^", (node, exponent))

  def _operand(self, name: str) -> Node:
    """What a function is of: brackets, or a product without functions."""
    bracketed = self.next.kind == "mark" and self.next.text != "frac"
    if bracketed or name in ("sqrt", "abs"):
      return self._atom()
    factors = [self._power()]
    while self._starts_factor() and self.next.kind != "function":
      factors.append(self._power())
    return factors[0] if len(factors) == 1 else Operation("*", tuple(factors))
