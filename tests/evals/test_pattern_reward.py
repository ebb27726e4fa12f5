# SPDX-License-Identifier: Apache-2.0
"""Pattern reward: a match anywhere or of the whole, of bounded answers."""

import pytest

from ramjax.evals import pattern_reward as module
from ramjax.evals.answers import Answer


def _score(*responses, **options):
  answers = [Answer((), response, {}, True, 1) for response in responses]
  return module.pattern_reward(answers, **options)


def test_search_finds_a_match_anywhere_and_fullmatch_wants_all():
  responses = ("<a>5</a>", "so <a>5</a>", "5", "\0\ud800")
  pattern = r"<a>[0-9]+</a>"
  assert _score(*responses, pattern=pattern, mode="search") == [1, 1, 0, 0]
  assert _score(*responses, pattern=pattern, mode="fullmatch") == [1, 0, 0, 0]


def test_a_very_long_answer_does_not_match():
  most = "a" * module.MAX_CHARACTERS
  assert _score(most, most + "a", pattern="a", mode="search") == [1.0, 0.0]


def test_an_unknown_mode_is_refused():
  with pytest.raises(ValueError, match=r"mode='match' .*search, fullmatch"):
    _score(pattern="a", mode="match")


def test_no_regular_expression_is_refused():
  with pytest.raises(
    ValueError, match=r"pattern='\(' is no regular expression"
  ):
    _score(pattern="(", mode="search")
