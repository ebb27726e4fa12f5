# SPDX-License-Identifier: Apache-2.0
"""Edits of a module: every kind is made, one at a time, and each compiles."""

import ast

import pytest

from ramjax.tools import mutations


def _new(source: str) -> list[str]:
  return [edit.new for edit in mutations.edits(source)]


@pytest.mark.parametrize(
  "source,expected",
  [
    ("x = a + b", ["x = a - b"]),
    ("x = a - b", ["x = a + b"]),
    ("x = a * b", ["x = a / b"]),
    ("x = a / b", ["x = a * b"]),
    ("x = a < b", ["x = a <= b"]),
    ("x = a >= b", ["x = a > b"]),
    ("x = a < b < c", ["x = a <= b < c", "x = a < b <= c"]),
    ("x = a is None", ["x = a is not None"]),
    ("x = a and b", ["x = a or b"]),
    ("x = a or b", ["x = a and b"]),
    ("x = -a", ["x = a"]),
    ("x = not a", ["x = a"]),
    ("x = ~a", ["x = a"]),
    ("x = True", ["x = False"]),
    ("x = 3", ["x = 4"]),
    ("x = 0.5", ["x = 1.5"]),
    ("f(a, b)", ["f(b, a)"]),
    ("f(a, b, c)", ["f(b, a, c)", "f(a, c, b)"]),
    ("f(k=a)", ["f()"]),
    ("f(k=a, l=b)", ["f(l=b)", "f(k=a)"]),
    ("jax.lax.stop_gradient(a)", ["a"]),
    (
      "jnp.where(m, a, b)",
      ["a", "b", "jnp.where(a, m, b)", "jnp.where(m, b, a)"],
    ),
    ("def f(x=1):\n  return x", ["def f(x=2):"]),
    # Nothing to notice, or not for a test of values.
    ("x = max(a, b)", []),
    ("f(a, a)", []),
    ("f(*a, *b)", []),
    ("f(**a)", []),
    ('"""One 1."""', []),
    ("x: int | None = a", []),
    ("def f(x: A + B) -> A + B:\n  pass", []),
    ("raise ValueError(a + 1)", []),
  ],
)
def test_each_kind_of_edit_is_made(source, expected):
  assert _new(source) == expected


def test_every_edit_is_a_module_that_differs_in_one_line():
  source = (
    "def f(x, *, scale=2.0):\n"
    "  if x < 0 and not scale:\n"
    "    return -x * scale\n"
    "  return max(x, 1) + g(x, scale, by=x - 1)\n"
  )
  before = ast.unparse(ast.parse(source)).splitlines()
  edits = mutations.edits(source)
  for edit in edits:
    after = edit.source.splitlines()
    changed = [
      i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b
    ]
    assert len(changed) == 1
    assert before[changed[0]].strip() == edit.old
    assert after[changed[0]].strip() == edit.new
  assert len({edit.source for edit in edits}) == len(edits)


def test_neighbours_that_are_the_same_are_not_swapped():
  assert mutations.edits("x = f(a, a)") == []


def test_an_edit_says_where_it_is():
  source = "class A:\n\n  def f(self):\n    return 1\n\n\nx = 2\n"
  places = [(e.line, e.function) for e in mutations.edits(source)]
  assert places == [(4, "A.f"), (7, "")]
