# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.evals.code_sandbox and its worker."""

import os
import pathlib
import random
import socket
import sys
import tempfile
import textwrap
import time

import pytest

from ramjax.evals import code_sandbox
from ramjax.evals.code_sandbox import Limits, SandboxError, run_tests


@pytest.fixture(scope="module", params=[True, False], ids=["isolated", "not"])
def isolated(request):
  return _skip_unless_it_runs(request.param)


@pytest.fixture(scope="module")
def isolation():
  _skip_unless_it_runs(True)


def _skip_unless_it_runs(isolated):
  try:
    run_tests("", ["pass"], limits=Limits(), isolated=isolated)
  except SandboxError as error:
    pytest.skip(str(error))
  return isolated


def _run(program, *tests, isolated=True, **limits):
  # Of processor time, so that a busy machine makes no test fail.
  limits = Limits(**{"wall_seconds": 60.0, "cpu_seconds": 5} | limits)
  return run_tests(
    textwrap.dedent(program), tests, limits=limits, isolated=isolated
  )


def test_each_test_passes_or_not(isolated):
  program = "def double(x): return 2 * x"
  tests = ("assert double(1) == 2", "assert double(1) == 3", "double('a')")
  assert _run(program, *tests, isolated=isolated) == [True, False, True]


def test_tests_share_the_program_s_module(isolated):
  program = "import dataclasses\n@dataclasses.dataclass\nclass A: x: 'int'"
  tests = ("a = A(1)", "assert a == A(1)", "assert __name__ == 'program'")
  assert _run(program, *tests, isolated=isolated) == [True] * 3


def test_main_part_of_a_program_is_not_run(isolated):
  program = "x = 1\nif __name__ == '__main__': x = int(input())"
  assert _run(program, "assert x == 1", isolated=isolated) == [True]


@pytest.mark.parametrize(
  "program",
  [
    "def (",
    "1 / 0",
    "import numpy",
    "import os; os._exit(0)",
    "import sys; sys.exit(0)",
    "exit()",
    "print('passed'); print('ready'); raise KeyboardInterrupt",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "x = '\ud800'",
    "x = '\0'",
    "(" * 10_000,
    "input()",
  ],
)
def test_program_that_does_not_end_well_passes_no_test(program, isolated):
  assert _run(program, "pass", "pass", isolated=isolated) == [False, False]


@pytest.mark.parametrize(
  "body", ["os._exit(0)", "os.abort()", "os.kill(os.getpid(), 9)"]
)
def test_program_that_ends_in_a_test_fails_it_and_those_after_it(
  body, isolated
):
  program = f"import os\ndef f(): {body}"
  tests = ("pass", "f()", "pass")
  assert _run(program, *tests, isolated=isolated) == [True, False, False]


def test_exit_in_a_test_fails_it_alone(isolated):
  program = "import sys\ndef f(): sys.exit(0)"
  tests = ("f()", "pass")
  assert _run(program, *tests, isolated=isolated) == [False, True]


def test_output_is_not_read(isolated):
  program = (
    "import sys\nfor i in range(10**5): print('passed')\nprint(sys.argv)"
  )
  assert _run(program, "assert False", "pass", isolated=isolated) == [
    False,
    True,
  ]


def test_every_descriptor_written_to_gains_nothing(isolated):
  program = """
    import os
    for fd in range(2**16):
      try: os.write(fd, b"0" * 32 + bytes([10]))
      except OSError: pass
  """
  assert _run(program, "pass", isolated=isolated) == [False]


def test_functions_put_in_place_of_python_s_gain_nothing(isolated):
  program = """
    import builtins, json, os
    os.write = os._exit = builtins.exec = json.loads = lambda *_: None
  """
  tests = ("assert False", "pass")
  assert _run(program, *tests, isolated=isolated) == [False, True]


def test_tests_are_not_there_yet_when_the_program_runs(isolated):
  program = """
    import gc
    found = [o for o in gc.get_objects() if "_".join(["SECRET", "TEST"]) in str(o)]
  """
  tests = ("assert found == []  # SECRET_TEST",)
  assert _run(program, *tests, isolated=isolated) == [True]


def test_endless_work_is_ended(isolated):
  tests = ("pass", "while True: pass", "pass")
  assert _run("", *tests, isolated=isolated, cpu_seconds=1) == [
    True,
    False,
    False,
  ]


def test_endless_sleep_is_ended(isolated):
  program = "import signal, time\nsignal.alarm(0)\ntime.sleep(1000)"
  assert _run(program, "pass", isolated=isolated, wall_seconds=0.5) == [False]


def test_memory_is_limited(isolated):
  tests = ("x = bytearray(2**20)", "x = bytearray(2**28)", "pass")
  given = _run("", *tests, isolated=isolated, memory_bytes=2**28)
  assert given == [True, False, True]
  assert _run(
    "x = []\nwhile True: x.append(bytes(2**20))", "pass", isolated=isolated
  ) == [False]


def test_large_file_and_many_open_files_are_refused(isolated):
  tests = (
    "with open('a', 'wb') as file: file.write(bytes(2**20))",
    "with open('b', 'wb') as file: file.write(bytes(2**20 + 1))",
    "files = [open('a') for _ in range(32)]",
    "files = [open('a') for _ in range(65)]",
  )
  given = _run("", *tests, isolated=isolated)
  assert given == [True, False, True, False]


def test_folder_is_empty_and_gone_afterwards(isolated, tmp_path, monkeypatch):
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
  test = "import os; assert os.listdir() == []; open('left', 'w').write('x')"
  assert _run("", test, isolated=isolated) == [True]
  assert list(tmp_path.iterdir()) == []


def test_environment_and_input_are_empty(isolated, monkeypatch):
  monkeypatch.setenv("SOME_KEY", "secret")
  tests = (
    "import os; assert 'SOME_KEY' not in os.environ",
    "import sys; assert sys.stdin.read() == ''",
    "import resource; assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)",
  )
  assert _run("", *tests, isolated=isolated) == [True] * 3


def test_all_files_together_are_limited(isolation):
  test = "for i in range(9):\n  with open(str(i), 'wb') as file: file.write(bytes(2**20))"
  assert _run("", test, work_bytes=2**23) == [False]
  assert _run("", test, work_bytes=2**24) == [True]


def test_fork_bomb_is_bounded(isolation):
  program = """
    import os, time
    num_children = 0
    try:
      while num_children < 100:
        if os.fork() == 0:
          time.sleep(1000)
        num_children += 1
    except BlockingIOError:
      pass
  """
  assert _run(program, "assert 5 < num_children < 16") == [True]
  bomb = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"
  assert _run(bomb, "pass", wall_seconds=0.5) == [False]


def test_child_that_leaves_the_session_is_ended(isolation):
  program = """
    import os, time
    if os.fork() == 0:
      os.setsid()
      open("child", "w").close()
      time.sleep(1000)
    while not os.path.exists("child"): time.sleep(0.01)
  """
  # Each process of the run has the limits in its command line.
  seconds = 60 + random.SystemRandom().random()
  assert _run(program, "pass", wall_seconds=seconds) == [True]
  deadline = time.monotonic() + 30
  while _is_in_a_command_line(str(seconds)) and time.monotonic() < deadline:
    time.sleep(0.01)
  assert not _is_in_a_command_line(str(seconds))


def _is_in_a_command_line(text):
  for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    try:
      if text.encode() in path.read_bytes():
        return True
    except (FileNotFoundError, ProcessLookupError):
      continue
  return False


def test_no_network_not_even_of_this_machine(isolation):
  with socket.create_server(("127.0.0.1", 0)) as server:
    port = server.getsockname()[1]
    socket.create_connection(("127.0.0.1", port)).close()
    test = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
    assert _run("", "import socket; socket.socket()", test) == [True, False]
    name = "\0ramjax-" + os.urandom(8).hex()
    if sys.platform == "linux":
      with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        test = (
          "import socket; s = socket.socket(socket.AF_UNIX);"
          f" s.connect({name!r})"
        )
        assert _run("", test) == [False]


def test_files_cannot_be_changed(isolation):
  with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder, "file")
    file.write_text("kept")
    # Such that any user might, if they could be written to at all.
    os.chmod(folder, 0o777)
    file.chmod(0o666)
    tests = (
      f"assert open({str(file)!r}).read() == 'kept'",
      f"open({str(file)!r}, 'a')",
      f"import os; os.remove({str(file)!r})",
      f"import os; os.mkdir({str(file) + '.new'!r})",
      "open('own', 'w').close()",
    )
    assert _run("", *tests) == [True, False, False, False, True]
    assert file.read_text() == "kept"


def test_other_processes_cannot_be_signalled(isolation):
  program = """
    import os
    def is_there(pid):
      try: os.kill(pid, 0)
      except ProcessLookupError: return False
      except PermissionError: return True
      return True
  """
  test = "assert not any(map(is_there, range(10, 2**15)))"
  assert _run(program, "assert is_there(os.getpid())", test) == [True, True]


def test_standard_library_is_there(isolation):
  test = "import asyncio, decimal, heapq, re, sqlite3, typing, encodings.idna"
  assert _run(
    "", test, "import threading as t; t.Thread(target=print).start()"
  ) == [True, True]


def test_program_has_no_right_of_an_administrator(isolation):
  test = """
import os
status = dict(line.split(":\\t") for line in open("/proc/self/status"))
assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
assert int(status["NoNewPrivs"]) == 1
assert os.getuid() != 0
"""
  assert _run("", test) == [True]


@pytest.mark.parametrize("said", ["refused: unshare: EPERM", ""])
def test_system_that_cannot_isolate_is_refused(said, tmp_path, monkeypatch):
  worker = tmp_path / "worker.py"
  worker.write_text(f"print({said!r}, end='')")
  monkeypatch.setattr(code_sandbox, "_WORKER", worker)
  with pytest.raises(SandboxError, match="allow_network=True"):
    run_tests("", ["pass"], limits=Limits(), isolated=True)
