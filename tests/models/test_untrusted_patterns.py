# SPDX-License-Identifier: Apache-2.0
"""Patterns match as Python's do, and a slow one is stopped."""

import re

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
  with pytest.raises(ValueError, match=r"takes more than 0\.5 s to match"):
    matches([r"(a*)*b"], ["a" * 60], seconds=0.5)


@pytest.mark.parametrize("pattern", ["(", "*", "a{2,1}", "(?P<x>", "\ud800("])
def test_what_is_no_expression_is_refused(pattern):
  with pytest.raises(ValueError, match=r"is not a regular expression|failed"):
    matches([pattern], NAMES)


def test_too_many_and_too_long_ones_are_refused():
  for patterns in (["a"] * (2**11 + 1), ["a" * (2**10 + 1)]):
    with pytest.raises(ValueError, match="at most 2,048, of at most 1,024"):
      matches(patterns, NAMES)
