# SPDX-License-Identifier: Apache-2.0
"""Patterns match as Python's do, and a slow one is stopped."""

import re
import signal

import pytest

from ramjax.models import untrusted_patterns
from ramjax.models.untrusted_patterns import matches

NAMES = ["lm_head", "layers.0.up", "layers.1.up", "layers.11.up"]


def test_names_and_expressions_match_whole_names():
  patterns = ["lm_head", "up", r"layers\.\d\.up", ".*1.*", "", "layers.1.up"]
  found = matches(patterns, NAMES)
  assert found == [
    {name for name in NAMES if re.fullmatch(pattern, name)}
    for pattern in patterns
  ]
  assert found[2] == {"layers.0.up", "layers.1.up"} and not found[1]


def test_pattern_is_wrapped_as_it_stands():
  wrapped = r"(.*\.)?({})$"
  assert matches(["up", "1.up|head"], NAMES, wrapped=wrapped) == [
    set(NAMES[1:]),
    {"layers.1.up"},
  ]
  assert matches(["{}"], ["a.{}"], wrapped=wrapped) == [{"a.{}"}]


def test_plain_names_need_no_process(monkeypatch):
  monkeypatch.setattr(untrusted_patterns, "_in_process", None)
  assert matches(["layers.1.up"], NAMES) == [{"layers.1.up"}]
  assert matches([], NAMES) == []


def test_exponential_pattern_is_stopped():
  message = r"'\(a\*\)\*b' or one of 1 more takes more than 0\.5 s of processor"
  with pytest.raises(ValueError, match=message):
    matches([r"(a*)*b", "a|b"], ["a" * 60], seconds=0.5)


def test_time_that_the_process_does_not_get_is_not_the_pattern_s(monkeypatch):
  late = untrusted_patterns._CHILD.replace(
    "found = []", "import time; time.sleep(0.2)\nfound = []"
  )
  assert late != untrusted_patterns._CHILD
  monkeypatch.setattr(untrusted_patterns, "_CHILD", late)
  assert matches(["l.*"], NAMES, seconds=0.1) == [set(NAMES)]
  monkeypatch.setattr(untrusted_patterns, "_MAX_WAIT_SECONDS", 0.1)
  with pytest.raises(
    ValueError, match=r"'l\.\*' was not matched within 0\.1 s"
  ):
    matches(["l.*"], NAMES)


def test_a_parent_that_ignores_or_blocks_the_signal_changes_nothing():
  before = signal.signal(signal.SIGPROF, signal.SIG_IGN)
  signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPROF])
  try:
    with pytest.raises(ValueError, match=r"takes more than 0\.1 s"):
      matches([r"(a*)*b"], ["a" * 60], seconds=0.1)
  finally:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])
    signal.signal(signal.SIGPROF, before)


def test_a_pattern_that_fills_the_memory_is_refused():
  with pytest.raises(ValueError, match="takes more than 536,870,912 bytes"):
    matches([r"(?:|a){4000000000}"], NAMES, seconds=60.0)


@pytest.mark.parametrize("pattern", ["(", "*", "a{2,1}", "(?P<x>", "\ud800("])
def test_what_is_no_expression_is_refused(pattern):
  with pytest.raises(ValueError, match=r"is not a regular expression|failed"):
    matches([pattern], NAMES)


def test_too_many_and_too_long_ones_are_refused():
  for patterns in (["a"] * (2**11 + 1), ["a" * (2**10 + 1)]):
    with pytest.raises(ValueError, match="at most 2,048, of at most 1,024"):
      matches(patterns, NAMES)
