# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.data.limited_process."""

import textwrap

import pytest

from ramjax.data import limited_process


@pytest.fixture
def run(tmp_path):
  """Runs code in a limited process: its output and its exit status."""

  def run(code, *arguments, memory_bytes=2**29, cpu_seconds=5):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code))
    process = limited_process.start(
      script, *arguments, memory_bytes=memory_bytes, cpu_seconds=cpu_seconds
    )
    output, _ = process.communicate(timeout=60)
    return output.decode(), limited_process.stop(process)

  return run


def test_script_is_the_main_program_and_gets_its_arguments(run):
  code = "import sys; print(__name__, *sys.argv[1:])"
  assert run(code, "a b", "--c") == ("__main__ a b --c\n", 0)


def test_limits_are_set(run):
  code = """
  import resource
  for name in ("AS", "CPU", "CORE", "FSIZE", "NOFILE"):
    print(resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0])
  """
  output, status = run(code, memory_bytes=2**28, cpu_seconds=7)
  assert status == 0
  assert output.split() == [str(2**28), "7", "0", "0", "64"]


@pytest.mark.parametrize(
  ("code", "status"),
  [
    ("bytearray(2**29)", 1),
    ("open(__file__, 'ab', buffering=0).write(b'#')", 1),
    ("[open(__file__) for _ in range(99)]", 1),
    ("raise SystemExit(7)", 7),
  ],
)
def test_excess_fails(run, code, status):
  assert run(code) == ("", status)


def test_endless_work_is_killed(run):
  assert run("while True: pass", cpu_seconds=1) == ("", -24)


def test_nothing_of_the_users_is_seen(run, monkeypatch, tmp_path):
  monkeypatch.setenv("SOME_KEY", "secret")
  monkeypatch.setenv("PYTHONPATH", str(tmp_path))
  (tmp_path / "json.py").write_text("print('not json')")
  monkeypatch.chdir(tmp_path)
  code = "import json, os; print('SOME_KEY' in os.environ)"
  assert run(code) == ("False\n", 0)


def test_stopping_ends_a_process_with_text_still_to_be_sent(tmp_path):
  script = tmp_path / "script.py"
  script.write_text("import time; time.sleep(60)")
  process = limited_process.start(script, memory_bytes=2**29, cpu_seconds=5)
  assert process.stdin is not None and process.stdout is not None
  process.stdin.write(b"x")
  assert limited_process.stop(process) == -9
  assert process.stdin.closed and process.stdout.closed
  # Once more does no harm.
  assert limited_process.stop(process) == -9
