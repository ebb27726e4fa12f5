# SPDX-License-Identifier: Apache-2.0
"""The mutation check on a toy: it sees what a suite misses, and only that."""

import pytest

from ramjax.tools import mutate

_TOY = '''\
"""A toy."""


def clamp(x, low):
  return low if x < low else x + 0
'''
_IMPORT = "from ramjax.toys import clamp as toy\n\n"
_THOROUGH = (
  _IMPORT + "def test_values():\n"
  "  assert [toy.clamp(x, 2.0) for x in (1.0, 3.0)] == [2.0, 3.0]\n"
)
# Runs the function and checks nothing.
_VACUOUS = _IMPORT + "def test_it_runs():\n  toy.clamp(1.0, 2.0)\n"
_BOUND = "toys/clamp.py:clamp: return low if x <= low else x + 0"
_SIGN = "toys/clamp.py:clamp: return low if x < low else x - 0"


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
  """`check(tests, *options) -> (exit status, output, errors)`."""
  monkeypatch.chdir(tmp_path)
  (tmp_path / "toys").mkdir()
  target = tmp_path / "toys" / "clamp.py"
  target.write_text(_TOY)
  (tmp_path / "tests").mkdir()

  def run(tests: str, *options: str) -> tuple[int, str, str]:
    (tmp_path / "tests" / "test_clamp.py").write_text(tests)
    status = mutate.main(["toys/clamp.py", "--tests", "tests", *options])
    assert target.read_text() == _TOY, "the checkout was changed"
    assert not list(target.parent.glob("__pycache__"))
    captured = capsys.readouterr()
    return status, captured.out, captured.err

  return run


def test_a_vacuous_suite_lets_every_change_survive(check):
  status, out, _ = check(_VACUOUS)
  assert status == 1
  assert (
    "toys/clamp.py:5 clamp\n"
    "- return low if x < low else x + 0\n"
    "+ return low if x <= low else x + 0\n"
  ) in out
  assert "toys/clamp.py: 3 of 3 changes survived" in out


def test_changes_that_make_no_difference_can_be_listed(check, tmp_path):
  listed = tmp_path / "equivalent.txt"
  listed.write_text(
    "# Comments and empty lines are free.\n\n"
    f"{_BOUND}  # both branches are equal there\n"
    f"{_SIGN}  # 0 either way\n"
  )
  status, out, _ = check(_THOROUGH, "--equivalent", str(listed))
  assert status == 0
  assert "0 of 1 changes survived" in out


def test_a_listed_change_that_is_gone_is_refused(check, tmp_path):
  listed = tmp_path / "equivalent.txt"
  listed.write_text("toys/clamp.py:clamp: return high  # was so once\n")
  status, _, err = check(_THOROUGH, "--equivalent", str(listed))
  assert status == 2
  assert "no longer exist" in err and "return high" in err


def test_a_listed_change_needs_a_reason(tmp_path):
  listed = tmp_path / "equivalent.txt"
  listed.write_text(f"{_BOUND}\n")
  with pytest.raises(ValueError, match=r"equivalent\.txt:1: no reason"):
    mutate.read_equivalent(listed)


def test_a_suite_that_fails_anyway_is_refused(check):
  status, _, err = check(_IMPORT + "def test_wrong():\n  assert False\n")
  assert status == 2
  assert "fail on the unchanged toys/clamp.py" in err


def test_a_suite_that_never_imports_the_module_is_refused(check):
  status, _, err = check("def test_other():\n  pass\n")
  assert status == 2
  assert "never import ramjax.toys.clamp" in err


def test_a_module_that_does_not_exist_is_refused(capsys):
  assert mutate.main(["losses/no_such_file.py"]) == 2
  assert "no_such_file.py" in capsys.readouterr().err
