# SPDX-License-Identifier: Apache-2.0
"""Every small change of a module that a good test suite notices."""

import ast
import copy
import dataclasses
from collections.abc import Iterator

_OPERATORS: dict[type, type] = {
  ast.Add: ast.Sub,
  ast.Sub: ast.Add,
  ast.Mult: ast.Div,
  ast.Div: ast.Mult,
  ast.FloorDiv: ast.Mult,
  ast.BitAnd: ast.BitOr,
  ast.BitOr: ast.BitAnd,
  ast.Lt: ast.LtE,
  ast.LtE: ast.Lt,
  ast.Gt: ast.GtE,
  ast.GtE: ast.Gt,
  ast.Eq: ast.NotEq,
  ast.NotEq: ast.Eq,
  ast.Is: ast.IsNot,
  ast.IsNot: ast.Is,
  ast.And: ast.Or,
  ast.Or: ast.And,
}
# Swapping their arguments changes nothing.
_COMMUTATIVE = {"min", "max", "minimum", "maximum"}


@dataclasses.dataclass(frozen=True)
class Edit:
  """One change of a module.

  Attributes:
    line: Of the changed expression in the file.
    function: Enclosing function or class, dotted; "" at module level.
    old: The statement before, as `ast.unparse` writes it.
    new: The statement after.
    source: The whole changed module.
  """

  line: int
  function: str
  old: str
  new: str
  source: str


def edits(source: str) -> list[Edit]:
  """Every single change of `source`; annotations and `raise` are left alone.

  Operators are flipped, unary ones dropped, neighbouring arguments swapped,
  keywords deleted, constants changed, `where` reduced to either branch, and
  `stop_gradient` removed.
  """
  tree = ast.parse(source)
  before = ast.unparse(tree).splitlines()
  found = []
  for parent, field, index, node, function in _places(tree, ""):
    for replacement in _replacements(node):
      _put(parent, field, index, replacement)
      text = ast.unparse(tree)
      _put(parent, field, index, node)
      # `unparse` writes a simple statement on one line, so one line differs.
      lines = zip(before, text.splitlines(), strict=True)
      differing = next(((a, b) for a, b in lines if a != b), None)
      if differing is None:
        continue  # Such as neighbours that are the same.
      old, new = differing
      found.append(
        Edit(node.lineno, function, old.strip(), new.strip(), text + "\n")
      )
  return found


def _places(
  parent: ast.AST, function: str
) -> Iterator[tuple[ast.AST, str, int | None, ast.expr, str]]:
  """(parent, field, index or None, expression, enclosing function) of each."""
  if isinstance(parent, ast.Raise):
    return
  for field, value in ast.iter_fields(parent):
    if field in ("annotation", "returns"):
      continue
    is_list = isinstance(value, list)
    for index, node in enumerate(value if is_list else [value]):
      if not isinstance(node, ast.AST):
        continue
      inside = function
      if isinstance(node, ast.FunctionDef | ast.ClassDef):
        inside = f"{function}.{node.name}".lstrip(".")
      if isinstance(node, ast.expr):
        yield parent, field, index if is_list else None, node, function
      yield from _places(node, inside)


def _put(
  parent: ast.AST, field: str, index: int | None, node: ast.expr
) -> None:
  if index is None:
    setattr(parent, field, node)
  else:
    getattr(parent, field)[index] = node


def _with(node: ast.expr, **fields: object) -> ast.expr:
  changed = copy.copy(node)
  for name, value in fields.items():
    setattr(changed, name, value)
  return changed


def _replacements(node: ast.expr) -> Iterator[ast.expr]:
  """What `node` is changed into, one at a time."""
  match node:
    case ast.BinOp(op=op) | ast.BoolOp(op=op) if type(op) in _OPERATORS:
      yield _with(node, op=_OPERATORS[type(op)]())
    case ast.Compare(ops=ops):
      for i, op in enumerate(ops):
        if type(op) in _OPERATORS:
          flipped = _OPERATORS[type(op)]()
          yield _with(node, ops=[*ops[:i], flipped, *ops[i + 1 :]])
    case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert(), operand=operand):
      yield operand
    case ast.Constant(value=bool(value)):
      yield _with(node, value=not value)
    case ast.Constant(value=int(value) | float(value)):
      yield _with(node, value=value + 1)
    case ast.Call():
      yield from _call_replacements(node)


def _call_replacements(node: ast.Call) -> Iterator[ast.expr]:
  name = ast.unparse(node.func).rpartition(".")[2]
  if name == "stop_gradient":
    yield node.args[0]
  if name == "where" and len(node.args) == 3:
    yield from node.args[1:]
  for i in range(len(node.args) - 1):
    first, second = node.args[i : i + 2]
    starred = isinstance(first, ast.Starred) or isinstance(second, ast.Starred)
    if name in _COMMUTATIVE or starred:
      continue
    if ast.dump(first) != ast.dump(second):
      swapped = [*node.args[:i], second, first, *node.args[i + 2 :]]
      yield _with(node, args=swapped)
  for i, keyword in enumerate(node.keywords):
    if keyword.arg is not None:
      rest = [*node.keywords[:i], *node.keywords[i + 1 :]]
      yield _with(node, keywords=rest)
