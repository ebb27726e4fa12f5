# SPDX-License-Identifier: Apache-2.0
"""A compiled program's text as computations, and how often each one runs.

XLA's own cost analysis counts the body of a loop once, however often it runs:
12.5 TFLOP are reported for a step of 395. Here a loop's body counts as often as
its condition lets it.
"""

import dataclasses
import re
from collections.abc import Iterator

_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_NAME = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = ")
_CALLED = re.compile(
  r"(?:calls|body|condition|to_apply|true_computation|false_computation)"
  r"=%?([\w.\-]+)"
)
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'known_trip_count[^}]*"n":"(\d+)"')
_OPERAND = re.compile(r"%([\w.\-]+)")
# Their computation adds two numbers up, and moves nothing.
_REDUCERS = ("all-reduce", "reduce-scatter", "reduce", "scatter", "sort")


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One instruction.

  Attributes:
    name: Without the percent sign.
    shape: Its type, as text.
    op: Such as "all-gather".
    rest: What follows the opening parenthesis: operands and attributes.
    is_root: Whether its computation returns it.
  """

  name: str
  shape: str
  op: str
  rest: str
  is_root: bool

  @property
  def operands(self) -> list[str]:
    """Names of the operands."""
    return _OPERAND.findall(self.rest[: _closing(self.rest)])


@dataclasses.dataclass(frozen=True)
class Program:
  """Computations by name.

  Attributes:
    computations: The instructions of each.
    entry: Where it starts.
  """

  computations: dict[str, list[Instruction]]
  entry: str

  def runs(self) -> Iterator[tuple[Instruction, int, bool]]:
    """Every instruction, how often it runs, and whether that is known.

    A loop whose length the data decides counts once, and is not known; neither
    is what it calls.
    """
    yield from self._runs(self.entry, 1, True)

  def _runs(
    self, name: str, times: int, known: bool
  ) -> Iterator[tuple[Instruction, int, bool]]:
    around = {i.name: i for i in self.computations.get(name, [])}
    for instruction in around.values():
      yield instruction, times, known
      if instruction.op in _REDUCERS or instruction.op.startswith("all-reduce"):
        continue
      inner, inner_known = times, known
      if instruction.op == "while":
        trips = self._trips(instruction, around)
        inner = times * (1 if trips is None else trips)
        inner_known = known and trips is not None
      for called in _called(instruction):
        yield from self._runs(called, inner, inner_known)

  def _trips(
    self, loop: Instruction, around: dict[str, Instruction]
  ) -> int | None:
    """How often a loop runs: by its start, its bound and its step."""
    if match := _TRIPS.search(loop.rest):
      return int(match[1])
    condition = _attribute(loop, "condition")
    inside = {i.name: i for i in self.computations.get(condition, [])}
    compare = next((i for i in inside.values() if i.is_root), None)
    compare, inside = self._unfused(compare, inside)
    if compare is None or "direction=LT" not in compare.rest:
      return None
    counter, bound = (inside.get(name) for name in compare.operands)
    if counter is None or bound is None or bound.op != "constant":
      return None
    limit, place = _integer(bound), re.search(r"index=(\d+)", counter.rest)
    if limit is None or place is None:
      return None
    step = self._step(_attribute(loop, "body"), int(place[1]))
    start = _start(loop, int(place[1]), around)
    return max(-(-(limit - start) // step), 0)

  def _step(self, body: str, place: int) -> int:
    """What a loop adds to its counter; 1 where the text does not say."""
    inside = {i.name: i for i in self.computations.get(body, [])}
    root = next((i for i in inside.values() if i.is_root), None)
    if root is None or root.op != "tuple" or place >= len(root.operands):
      return 1
    updated, inside = self._unfused(inside.get(root.operands[place]), inside)
    if updated is None or updated.op != "add":
      return 1
    steps = [
      _integer(inside[name])
      for name in updated.operands
      if name in inside and inside[name].op == "constant"
    ]
    return steps[0] or 1 if steps else 1

  def _unfused(
    self, instruction: Instruction | None, inside: dict[str, Instruction]
  ) -> tuple[Instruction | None, dict[str, Instruction]]:
    """What a fusion computes, and its operands by name, its constants too.

    GPUs' programs fuse a loop's comparison and addition with their constants.
    """
    if instruction is None or instruction.op != "fusion":
      return instruction, inside
    fused = self.computations.get(_attribute(instruction, "calls"), [])
    operands = {i.name: i for i in fused}
    for parameter in (i for i in fused if i.op == "parameter"):
      given = instruction.operands[_integer(parameter) or 0]
      if given in inside:
        operands[parameter.name] = inside[given]
    return next((i for i in fused if i.is_root), None), operands


def parse_program(text: str) -> Program:
  """Reads what `compiled.as_text()` writes.

  Raises:
    ValueError: There is no entry computation in it.
  """
  computations: dict[str, list[Instruction]] = {}
  entry, current = "", None
  for line in text.splitlines():
    if header := _HEADER.match(line):
      current = computations.setdefault(header[2], [])
      entry = header[2] if header[1] else entry
    elif current is not None and (match := _NAME.match(line)):
      parsed = _instruction(match, line)
      if parsed is not None:
        current.append(parsed)
  if not entry:
    raise ValueError("the text of the program has no ENTRY computation.")
  return Program(computations, entry)


def _instruction(match: re.Match[str], line: str) -> Instruction | None:
  rest = line[match.end() :]
  if rest.startswith("("):
    end = 1 + _closing(rest[1:])
    shape, rest = rest[: end + 1], rest[end + 1 :].lstrip()
  else:
    shape, _, rest = rest.partition(" ")
  op, parenthesis, rest = rest.partition("(")
  if not parenthesis:
    return None
  return Instruction(match[2], shape, op, rest, match[1] is not None)


def _closing(text: str) -> int:
  """Where the parenthesis closes that was open before `text`."""
  depth = 1
  for i, character in enumerate(text):
    depth += (character == "(") - (character == ")")
    if depth == 0:
      return i
  return len(text)


def _start(
  loop: Instruction, place: int, around: dict[str, Instruction]
) -> int:
  """Where a loop's counter starts; 0 where the text does not say.

  TPUs' programs do the first turn of some loops before them, and start at 1.
  """
  given = around.get(loop.operands[0])
  if given is None or given.op != "tuple" or place >= len(given.operands):
    return 0
  start = around.get(given.operands[place])
  if start is not None and start.op == "copy":
    start = around.get(start.operands[0])
  if start is None or start.op != "constant":
    return 0
  return _integer(start) or 0


def _called(instruction: Instruction) -> list[str]:
  names = _CALLED.findall(instruction.rest)
  for branches in _BRANCHES.findall(instruction.rest):
    names += [name.strip(" %") for name in branches.split(",")]
  return names


def _attribute(instruction: Instruction, name: str) -> str:
  match = re.search(rf"{name}=%?([\w.\-]+)", instruction.rest)
  return match[1] if match else ""


def _integer(constant: Instruction) -> int | None:
  match = re.match(r"(\d+)\)", constant.rest)
  return int(match[1]) if match else None
