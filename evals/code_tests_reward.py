# SPDX-License-Identifier: Apache-2.0
"""A reward for a Python program that passes the tests of its record.

The program is run as `code_sandbox` says: without network, with limits, and with
the warning there of what one written to cheat can do. Records are as in MBPP
(Austin et al. 2021, arXiv 2108.07732): a list of assertions; or as in HumanEval
(Chen et al. 2021, arXiv 2107.03374): a text that defines `check(candidate)`, and
`entry_point`, the name of the function that is the candidate.
"""

import concurrent.futures
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.evals import code_sandbox
from ramjax.evals.answers import Answer

_LANGUAGES = frozenset(("python", "python3", "py"))
_CHECK = re.compile(r"^def check\(", re.MULTILINE)


def code_tests_reward(
  answers: Sequence[Answer],
  *,
  field: str = "tests",
  share: bool = False,
  wall_seconds: float = 10.0,
  cpu_seconds: int = 10,
  memory_mib: int = 512,
  num_workers: int = 2,
  allow_network: bool = False,
) -> list[float]:
  """Scores answers by the tests that their programs pass.

  Called with no answers, it finds out whether the system can run programs.

  Args:
    answers: The program is the last block fenced as Python, or all of the
      response if there is none.
    field: The field of the record with its tests: a list of texts, each a test,
      or one text, which is one test.
    share: Whether to give the share of tests that pass.
    wall_seconds: For one program and all its tests, above 0.
    cpu_seconds: The same in processor time, at least 1.
    memory_mib: Address space of a program, at least 64.
    num_workers: Programs run at a time, at least 1.
    allow_network: Whether to run programs with no isolation: with this
      machine's network and the user's own files in their reach. It is for
      systems that cannot isolate and where nothing is to be lost.

  Returns:
    For each answer 1.0 if all tests pass and 0.0 otherwise; with `share`, the
    share in [0, 1].

  Raises:
    ValueError: A field of a record is missing or wrong, or an option is.
    code_sandbox.SandboxError: The system cannot isolate programs, and
      `allow_network` is False.
  """
  for name, value, least in (
    ("wall_seconds", wall_seconds, 0.1),
    ("cpu_seconds", cpu_seconds, 1),
    ("memory_mib", memory_mib, 64),
    ("num_workers", num_workers, 1),
  ):
    if not least <= value < float("inf"):
      raise ValueError(
        f"rewards.code_tests.{name}={value!r} must be at least {least}, and"
        " finite."
      )
  limits = code_sandbox.Limits(
    wall_seconds=wall_seconds,
    cpu_seconds=cpu_seconds,
    memory_bytes=memory_mib * 2**20,
  )
  isolated = not allow_network
  if not answers:
    code_sandbox.run_tests("", ["pass"], limits=limits, isolated=isolated)
  every_test = [
    _tests(answer.record, field, index) for index, answer in enumerate(answers)
  ]

  def score(answer: Answer, tests: Sequence[str]) -> float:
    program = extract_program(answer.response)
    if not program.strip():
      return 0.0
    passed = code_sandbox.run_tests(
      program, tests, limits=limits, isolated=isolated
    )
    return sum(passed) / len(passed) if share else float(all(passed))

  with concurrent.futures.ThreadPoolExecutor(num_workers) as pool:
    return list(pool.map(score, answers, every_test))


def extract_program(response: str) -> str:
  """Returns the last block fenced as Python, or the whole response.

  A fence is three backticks at the start of a line, white space aside, and is
  Python's if "python", "python3" or "py" follows. One that is not closed ends
  with the response.
  """
  program = response
  block: list[str] | None = None
  is_python = False
  for line in response.split("\n"):
    stripped = line.strip()
    if not stripped.startswith("```"):
      if block is not None:
        block.append(line)
    elif block is None:
      block = []
      language = stripped[3:].split(maxsplit=1)[:1]
      is_python = bool(language) and language[0].lower() in _LANGUAGES
    else:
      program = "\n".join(block) if is_python else program
      block = None
  return "\n".join(block) if block is not None and is_python else program


def _tests(record: Mapping[str, Any], field: str, index: int) -> list[str]:
  """The tests of a record, each a text that runs in the program's module."""
  value = record.get(field)
  tests = [value] if isinstance(value, str) else value
  if (
    not isinstance(tests, list | tuple)
    or not tests
    or not all(isinstance(test, str) and test.strip() for test in tests)
  ):
    raise ValueError(
      f"rewards.code_tests needs a text, or a list of texts, of Python in the"
      f" field {field!r}, and the row of answer {index} has {_shown(value)}. Add"
      " the tests to the row, or set rewards.code_tests.field to another field."
    )
  name = record.get("entry_point")
  if name is None:
    return list(tests)
  if not isinstance(name, str) or not name.isidentifier():
    raise ValueError(
      "rewards.code_tests needs the name of the tested function in the field"
      f" 'entry_point', and the row of answer {index} has {_shown(name)}."
      " Correct the row, or leave the field out."
    )
  return [
    f"candidate = {name}\n{test}\n"
    + ("check(candidate)\n" if _CHECK.search(test) else "")
    for test in tests
  ]


def _shown(value: object) -> str:
  """A value for a message, short; None is what a missing field gives."""
  if value is None:
    return "none"
  text = repr(value) if isinstance(value, str | int | float) else ""
  return text if 0 < len(text) <= 60 else f"a {type(value).__name__}"
