# SPDX-License-Identifier: Apache-2.0
r"""The words of short mathematics: LaTeX and plain text as one kind of tokens.

Layout, units (`\text{cm}`), degrees, percent and dollar signs are dropped.
"""

import dataclasses
import re

# Longer runs of letters are words, not products of variables.
_MAX_LETTERS = 3

_FUNCTIONS = (
  "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "sqrt", "sin", "cos",
  "tan", "sec", "csc", "cot", "log", "exp", "abs", "ln",
)  # fmt: skip
_SYMBOLS = (
  "alpha", "beta", "gamma", "delta", "epsilon", "theta", "lambda", "sigma",
  "omega", "infty", "rho", "tau", "phi", "psi", "mu", "pi",
)  # fmt: skip
# What else LaTeX's commands mean; "" is layout, and dropped.
_COMMANDS = {
  "frac": "frac", "dfrac": "frac", "tfrac": "frac", "cfrac": "frac",
  "sqrt": "root", "cdot": "*", "times": "*", "ast": "*", "div": "/",
  "lvert": "|", "rvert": "|", "vert": "|", "cup": "cup", "in": "=", "pm": "pm",
  "emptyset": "empty", "varnothing": "empty", "left": "", "right": "",
  "big": "", "Big": "", "bigl": "", "bigr": "", "quad": "", "displaystyle": "",
}  # fmt: skip
_CHARACTERS = str.maketrans(
  {
    "\u2212": "-", "\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u00b0": "",
    "\u03c0": " pi ", "\u221a": " sqrt ", "\u221e": " infty ", "\u00b2": "^2",
    "\u00b3": "^3", "\u222a": "\\cup ", "\u00b1": "\\pm ", "\u2205": "\\emptyset ",
  }
)  # fmt: skip
_DEGREES = re.compile(r"\^ ?(?:\{ ?\\circ ?\}|\\circ\b)")
_TEXT = re.compile(
  r"\\(?:text|textrm|textbf|mbox|mathrm|mathbf|operatorname) ?\{([^{}]*)\}"
  r"(?: ?\^ ?(?:[23]|\{[23]\}))?"
)
_TOKEN = re.compile(
  r"(?P<grouped>[0-9]{1,3}(?:(?:,|\{,\})[0-9]{3})+(?![0-9])(?:\.[0-9]+)?)"
  r"|(?P<number>(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)"
  r"|\\(?P<command>[a-zA-Z]+)"
  r"|(?P<letters>[a-zA-Z]+)"
  r"|(?P<mark>\\[{}]|[-+*/^_=,|(){}\[\]])"
  r"|(?P<dropped>\\?[%$]|\\[,;: ]|[\s~])"
)
_DIGITS = re.compile("[0-9]+")
_NAME = re.compile(f"(?P<name>{'|'.join((*_FUNCTIONS, *_SYMBOLS))})|.")


class MathSyntaxError(ValueError):
  """A text that is no expression the parser knows."""


@dataclasses.dataclass(frozen=True)
class Token:
  """One word.

  Attributes:
    kind: "number", "symbol", "function" or "mark"; "" at the end.
    text: Its digits, its name, or the mark: an operator, a bracket, "frac",
      "root", "cup", "pm" or "empty".
  """

  kind: str
  text: str


END = Token("", "the end")


def _drop_unit(found: re.Match[str]) -> str:
  r"""What a `\text{...}` stands for: a name, a comma, or a unit."""
  text = found[1].strip()
  if text in ("or", "and", ","):
    return ","
  # The "(C)" of a multiple choice is the letter C.
  name = text.strip("()")
  if len(name) == 1 or name in _FUNCTIONS:
    return f" {name} {found[0].rpartition('}')[2]}"
  return " "


def tokens(text: str) -> list[Token]:
  """Returns the tokens of a text, in linear time.

  "1,234" is one number where no bracket is open, and two within one.

  Raises:
    MathSyntaxError: A character, a command or a word is none of mathematics.
  """
  text = text.translate(_CHARACTERS).replace("\\!", "").strip().rstrip(".")
  text = _TEXT.sub(_drop_unit, _DEGREES.sub("", text))
  words: list[Token] = []
  position = depth = 0
  while position < len(text):
    found = _TOKEN.match(text, position)
    if found is None:
      raise MathSyntaxError(f"unexpected {text[position]!r}")
    kind, piece = found.lastgroup, found[0]
    if kind == "grouped" and depth:
      # "(1,234)" is a pair.
      found = _DIGITS.match(text, position)
      assert found is not None
      kind, piece = "number", found[0]
    position = found.end()
    if kind in ("grouped", "number"):
      digits = piece.replace("{,}", "").replace(",", "")
      words.append(Token("number", digits))
    elif kind == "command":
      words.extend(_command(piece[1:]))
    elif kind == "letters":
      words.extend(_letters(piece))
    elif kind == "mark":
      depth += (piece in ("(", "[", "\\{")) - (piece in (")", "]", "\\}"))
      words.append(Token("mark", piece))
  return words


def _command(name: str) -> list[Token]:
  if name in _COMMANDS:
    mark = _COMMANDS[name]
    return [Token("mark", mark)] if mark else []
  if name in _FUNCTIONS:
    return [Token("function", name)]
  if name in _SYMBOLS:
    return [Token("symbol", name)]
  raise MathSyntaxError(f"unknown command {name!r}")


def _letters(run: str) -> list[Token]:
  if run in ("or", "and"):
    return [Token("mark", ",")]
  words, unknown = [], 0
  for found in _NAME.finditer(run):
    is_function = found[0] in _FUNCTIONS
    words.append(Token("function" if is_function else "symbol", found[0]))
    unknown += found["name"] is None
  if unknown > _MAX_LETTERS:
    raise MathSyntaxError(f"{run!r} is a word")
  return words
