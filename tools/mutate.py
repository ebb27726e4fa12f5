# SPDX-License-Identifier: Apache-2.0
"""The mutation check: would the tests notice a wrong sign, bound or mask?

    python -m ramjax.tools.mutate losses/sft.py --tests tests/losses

Each module is changed in one place at a time, in a temporary copy, and the
tests are run on it. A change that no test notices is a survivor: a test is
missing, or the change makes no difference and belongs into the allow-list.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from ramjax.tools import mutate_worker, mutations
from ramjax.tools.mutations import Edit


def read_equivalent(path: pathlib.Path) -> set[str]:
  """The edits that an allow-list names, as `file:function: new statement`.

  Raises:
    ValueError: An entry without a reason.
  """
  entries = set()
  for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
    if not line.strip() or line.startswith("#"):
      continue
    entry, mark, reason = line.partition("  # ")
    if not mark or not reason.strip():
      raise ValueError(
        f"{path}:{number}: no reason: write `file:function: statement  #"
        " why no test can notice`."
      )
    entries.add(entry.strip())
  return entries


class _Worker:
  """The process that runs the tests on one mutant after another."""

  def __init__(self, folder: pathlib.Path, tests: Sequence[str]):
    self._tests = list(tests)
    self.log = folder / "pytest.log"
    self._process = subprocess.Popen(
      [sys.executable, "-m", mutate_worker.__name__, folder, self.log],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      env={"JAX_PLATFORMS": "cpu", **os.environ},
    )

  def run(self, module: str, mirror: str, cpu_s: float) -> int:
    """Status of the tests; those of the module itself go first."""
    tests = [[mirror]] if pathlib.Path(mirror).is_file() else []
    request = dict(module=module, tests=[*tests, self._tests], cpu_s=cpu_s)
    assert self._process.stdin is not None and self._process.stdout is not None
    self._process.stdin.write(json.dumps(request) + "\n")
    self._process.stdin.flush()
    reply = self._process.stdout.readline()
    if not reply:
      raise RuntimeError("the process that runs the tests ended; see above.")
    return json.loads(reply)["status"]

  def close(self) -> None:
    assert self._process.stdin is not None and self._process.stdout is not None
    self._process.stdin.close()
    self._process.wait()
    self._process.stdout.close()


def survivors(
  target: pathlib.Path, tests: Sequence[str], *, allowed: set[str]
) -> tuple[list[Edit], int]:
  """Runs the tests on every edit of `target` that is not allowed.

  Args:
    target: A module in a package folder; imported as
      `ramjax.<folder>.<module>`.
    tests: Files and folders for pytest.
    allowed: See `read_equivalent`; these edits are not run.

  Returns:
    The edits that no test noticed, and how many were run.

  Raises:
    ValueError: The tests fail on the unchanged module, do not import it, or
      an allowed edit of this module does not exist.
  """
  source = target.read_text("utf-8")
  package = target.resolve().parent.name
  all_edits = mutations.edits(source)
  prefix = f"{package}/{target.name}:"
  keys = {prefix + f"{e.function}: {e.new}" for e in all_edits}
  stale = {a for a in allowed if a.startswith(prefix)} - keys
  if stale:
    raise ValueError(
      "allowed edits that no longer exist; remove or renew them:\n  "
      + "\n  ".join(sorted(stale))
    )
  wanted = [
    e for e in all_edits if prefix + f"{e.function}: {e.new}" not in allowed
  ]
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    # A portion of the namespace package `ramjax`, found before the real one.
    copied = folder / "ramjax" / package
    shutil.copytree(
      target.resolve().parent,
      copied,
      ignore=shutil.ignore_patterns("__pycache__"),
    )
    worker = _Worker(folder, tests)
    module = f"ramjax.{package}.{target.stem}"
    mirror = f"{tests[0]}/test_{target.stem}.py"
    try:
      started = time.monotonic()
      status = worker.run(module, mirror, cpu_s=3600)
      if status == mutate_worker.NOT_IMPORTED:
        raise ValueError(f"the tests {' '.join(tests)} never import {module}.")
      if status:
        raise ValueError(
          f"the tests fail on the unchanged {target} (pytest status {status}):"
          f"\n{worker.log.read_text('utf-8')}"
        )
      cpu_s = 30 + 10 * (time.monotonic() - started)
      survived = []
      for edit in wanted:
        (copied / target.name).write_text(edit.source, "utf-8")
        if worker.run(module, mirror, cpu_s) == 0:
          survived.append(edit)
      return survived, len(wanted)
    finally:
      worker.close()


def main(argv: Sequence[str] | None = None) -> int:
  """Prints the survivors of each module; 1 if there are any, 2 if not run."""
  parser = argparse.ArgumentParser(
    prog="python -m ramjax.tools.mutate",
    description="Changes modules in one place at a time and lists the changes"
    " that no test notices. Exit status 1 if there are any.",
  )
  parser.add_argument(
    "modules", nargs="+", type=pathlib.Path, help="such as losses/sft.py"
  )
  parser.add_argument(
    "--tests",
    nargs="+",
    default=["tests/losses"],
    help="files and folders for pytest (default: tests/losses)",
  )
  parser.add_argument(
    "--equivalent",
    type=pathlib.Path,
    help="changes that make no difference, one a line:"
    " `file:function: statement  # reason`",
  )
  args = parser.parse_args(argv)
  num_survivors = 0
  try:
    allowed = read_equivalent(args.equivalent) if args.equivalent else set()
    for target in args.modules:
      started = time.monotonic()
      survived, num_run = survivors(target, args.tests, allowed=allowed)
      for edit in survived:
        where = f"{target}:{edit.line} {edit.function}"
        print(f"{where}\n- {edit.old}\n+ {edit.new}")
      print(
        f"{target}: {len(survived)} of {num_run} changes survived"
        f" ({time.monotonic() - started:.0f} s)",
        flush=True,
      )
      num_survivors += len(survived)
  except (ValueError, OSError, SyntaxError) as error:
    print(f"mutate: {error}", file=sys.stderr)
    return 2
  return 1 if num_survivors else 0


if __name__ == "__main__":
  sys.exit(main())
