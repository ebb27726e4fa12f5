# SPDX-License-Identifier: Apache-2.0
"""Regular expressions from a stranger's file, matched within a time limit.

Python's engine can take exponential time, and cannot be interrupted from
another thread. Names alone are matched here; any other pattern in a process of
its own, which the system ends once it has used its processor time. The clock on
the wall is no measure: on a busy machine a process takes seconds to start.
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence

SECONDS = 1.5
# Of the clock on the wall, for a process that does not get that much.
_MAX_WAIT_SECONDS = 120
# Of address space: the names of a model of 126 layers take a thousandth of it.
_MAX_MEMORY_BYTES = 512 * 2**20
# Twice the linear layers of a model of 126 layers.
_MAX_PATTERNS = 2**11
_MAX_LENGTH = 2**10
# Letters and dots: one way to match at most, so it takes a microsecond.
_NAME = re.compile(r"[A-Za-z0-9_.]+")

# The timer's signal has no handler in Python, so it ends even a match. Whether it
# is ignored or held back would be inherited. The limit is for want of the timer.
_CHILD = """\
import json, math, re, resource, signal, sys
patterns, names, seconds, memory = json.load(sys.stdin)
signal.signal(signal.SIGPROF, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])
def limit(kind, most):
  soft, hard = resource.getrlimit(kind)
  least = min(x for x in (most, soft, hard) if x != resource.RLIM_INFINITY)
  resource.setrlimit(kind, (least, least))
limit(resource.RLIMIT_AS, memory)
limit(resource.RLIMIT_CPU, math.ceil(seconds) + 2)
signal.setitimer(signal.ITIMER_PROF, seconds)
found = []
for pattern in patterns:
  try:
    compiled = re.compile(pattern)
    found.append([i for i, n in enumerate(names) if compiled.fullmatch(n)])
  except MemoryError:
    found.append(None)
  except (re.error, RecursionError, OverflowError) as error:
    found.append(str(error))
json.dump(found, sys.stdout)
"""


def matches(
  patterns: Sequence[str],
  names: Sequence[str],
  *,
  wrapped: str = "{}",
  seconds: float = SECONDS,
) -> list[set[str]]:
  """The names that each pattern matches as a whole.

  Args:
    patterns: Regular expressions in Python's syntax.
    names: What they are matched against.
    wrapped: A regular expression around each pattern, which stands at "{}".
    seconds: Of processor time, for all of them together.

  Returns:
    For each pattern the names that match.

  Raises:
    ValueError: A pattern that is none, too many of them, or too slow ones.
  """
  if len(patterns) > _MAX_PATTERNS or any(
    len(pattern) > _MAX_LENGTH for pattern in patterns
  ):
    raise ValueError(
      f"{len(patterns)} patterns are given; at most {_MAX_PATTERNS:,}, of at"
      f" most {_MAX_LENGTH:,} characters each, are matched."
    )
  found: list[set[str]] = [set() for _ in patterns]
  others: list[int] = []
  for index, pattern in enumerate(patterns):
    if _NAME.fullmatch(pattern):
      compiled = re.compile(wrapped.replace("{}", pattern))
      found[index] = {name for name in names if compiled.fullmatch(name)}
    else:
      others.append(index)
  if others:
    given = [patterns[index] for index in others]
    for index, hits in zip(
      others, _in_process(given, names, wrapped, seconds), strict=True
    ):
      found[index] = hits
  return found


def _in_process(
  patterns: Sequence[str], names: Sequence[str], wrapped: str, seconds: float
) -> list[set[str]]:
  full = [wrapped.replace("{}", pattern) for pattern in patterns]
  which = f"{patterns[0][:200]!a}" + (
    f" or one of {len(patterns) - 1} more" if len(patterns) > 1 else ""
  )
  try:
    done = subprocess.run(
      [sys.executable, "-I", "-W", "ignore", "-c", _CHILD],
      input=json.dumps([full, list(names), seconds, _MAX_MEMORY_BYTES]),
      capture_output=True,
      encoding="utf-8",
      timeout=_MAX_WAIT_SECONDS,
      check=False,
    )
  except subprocess.TimeoutExpired as error:
    raise ValueError(
      f"the pattern {which} was not matched within {_MAX_WAIT_SECONDS} s, in"
      " which it did not get its processor time: write it as plain names, or try"
      " again when this machine does less."
    ) from error
  if done.returncode == -signal.SIGPROF:
    raise ValueError(
      f"the pattern {which} takes more than {seconds:g} s of processor time to"
      " match: write it as plain names."
    )
  if done.returncode != 0:
    raise ValueError(
      f"matching the pattern {which} failed: {done.stderr[-300:]}"
    )
  answers: list[list[int] | str | None] = json.loads(done.stdout)
  found = []
  for pattern, answer in zip(patterns, answers, strict=True):
    if answer is None:
      raise ValueError(
        f"the pattern {pattern[:200]!a} takes more than {_MAX_MEMORY_BYTES:,}"
        " bytes of memory to match: write it as plain names."
      )
    if isinstance(answer, str):
      raise ValueError(
        f"{pattern[:200]!a} is not a regular expression: {answer}."
      )
    found.append({names[index] for index in answer})
  return found
