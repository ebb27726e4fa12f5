# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.evals.code_tests_reward."""

import pytest

from ramjax.data.rows import Message
from ramjax.evals import code_sandbox
from ramjax.evals.answers import Answer
from ramjax.evals.code_tests_reward import code_tests_reward, extract_program

_RECORD = {"tests": ["assert double(1) == 2", "assert double(2) == 4"]}
_RIGHT = "Here:\n```python\ndef double(x):\n  return 2 * x\n```\nDone."
_HALF = "```python\ndef double(x):\n  return 2\n```"


@pytest.fixture(scope="module")
def isolation():
  try:
    code_tests_reward([])
  except code_sandbox.SandboxError as error:
    pytest.skip(str(error))


def _answer(response, record=_RECORD):
  prompt = (Message("user", "Write double."),)
  return Answer(prompt, response, record, finished=True, num_tokens=3)


def test_reward_is_for_passing_all_tests(isolation):
  answers = [
    _answer(text)
    for text in (_RIGHT, _HALF, "", "  \n", "no code", "```python")
  ]
  assert code_tests_reward(answers) == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
  shares = code_tests_reward(answers, share=True, num_workers=3)
  assert shares == [1.0, 0.5, 0.0, 0.0, 0.0, 0.0]


def test_whole_response_may_be_the_program(isolation):
  assert code_tests_reward([_answer("double = lambda x: x + x")]) == [1.0]


def test_one_text_is_one_test(isolation):
  record = {"unit": "assert double(1) == 2\nassert double(2) == 4"}
  answers = [_answer(_RIGHT, record), _answer(_HALF, record)]
  assert code_tests_reward(answers, field="unit", share=True) == [1.0, 0.0]


def test_entry_point_is_the_candidate_that_is_checked(isolation):
  record = {
    "tests": "def check(candidate):\n  assert candidate(3) == 6\n",
    "entry_point": "double",
  }
  named = {"tests": ["assert candidate(3) == 6"], "entry_point": "double"}
  other = record | {"entry_point": "triple"}
  answers = [
    _answer(_RIGHT, record),
    _answer(_HALF, record),
    _answer(_RIGHT, named),
    _answer(_RIGHT, other),
  ]
  assert code_tests_reward(answers) == [1.0, 0.0, 1.0, 0.0]


def test_cheap_cheats_are_worth_nothing(isolation):
  programs = (
    "print('passed')",
    "import os; os._exit(0)",
    "raise SystemExit(0)",
    "import sys\ndef double(x): sys.exit(0)",
    "import os\ndef double(x): os._exit(0)",
  )
  answers = [_answer(f"```python\n{program}\n```") for program in programs]
  assert code_tests_reward(answers, share=True) == [0.0] * len(programs)


@pytest.mark.parametrize(
  ("response", "program"),
  [
    ("x = 1", "x = 1"),
    ("```python\na\n```\ntext\n```py\nb\n```", "b"),
    ("```python\na\n```\n```text\nb\n```", "a"),
    ("```Python title=x\na\n\n  b\n```", "a\n\n  b"),
    ("- do\n  ``` python3\n  a\n  ```", "  a"),
    ("```python\na\n```\n```python\nb", "b"),
    ("```text\na\n```", "```text\na\n```"),
    ("```\na\n```", "```\na\n```"),
    ("```python\n```", ""),
    ("a ```python\nb", "a ```python\nb"),
    ("", ""),
  ],
)
def test_program_is_the_last_python_fence(response, program):
  assert extract_program(response) == program


def test_fences_of_a_hostile_response_are_found_in_linear_time():
  assert extract_program("```python\n" * 200_001) == ""
  assert extract_program("`" * 10**6) == "`" * 10**6


@pytest.mark.parametrize(
  ("record", "message"),
  [
    ({}, "'tests', and the row of answer 1 has none"),
    ({"tests": None}, "'tests', and the row of answer 1 has none"),
    ({"tests": 3}, "'tests', and the row of answer 1 has 3"),
    ({"tests": []}, "'tests', and the row of answer 1 has a list"),
    ({"tests": ["pass", ""]}, "'tests', and the row of answer 1 has a list"),
    ({"tests": " "}, "'tests', and the row of answer 1 has ' '"),
    (_RECORD | {"entry_point": "a b"}, "'entry_point', .* 1 has 'a b'"),
    (_RECORD | {"entry_point": 3}, "'entry_point', .* 1 has 3"),
  ],
)
def test_unusable_row_is_named(record, message):
  with pytest.raises(ValueError, match=message):
    code_tests_reward([_answer(_RIGHT), _answer(_RIGHT, record)])


@pytest.mark.parametrize(
  ("option", "value"),
  [
    ("wall_seconds", 0.0),
    ("wall_seconds", float("inf")),
    ("wall_seconds", float("nan")),
    ("cpu_seconds", 0),
    ("memory_mib", 1),
    ("num_workers", 0),
  ],
)
def test_wrong_option_is_refused(option, value):
  with pytest.raises(ValueError, match=f"rewards.code_tests.{option}="):
    code_tests_reward([], **{option: value})


def test_without_isolation_it_must_be_told_to_go_on(monkeypatch):
  def run_tests(program, tests, *, limits, isolated):
    if isolated:
      raise code_sandbox.SandboxError("no namespaces")
    return [True] * len(tests)

  monkeypatch.setattr(code_sandbox, "run_tests", run_tests)
  for answers in ([], [_answer(_RIGHT)]):
    with pytest.raises(code_sandbox.SandboxError):
      code_tests_reward(answers)
  assert code_tests_reward([_answer(_RIGHT)], allow_network=True) == [1.0]
