# SPDX-License-Identifier: Apache-2.0
"""Overlong reward: DAPO's three pieces, by tokens."""

import math

import pytest

from ramjax.evals.answers import Answer
from ramjax.evals.overlong_reward import overlong_reward


def _score(*lengths, **options):
  answers = [Answer((), "", {}, True, length) for length in lengths]
  return overlong_reward(answers, **options)


def test_nothing_then_a_line_then_all():
  # Eq. 13 with L_max 100 and L_cache 20: (80 - |y|) / 20 within (80, 100].
  scores = _score(0, 80, 81, 90, 100, 101, 10**9, max_tokens=100, cache=20)
  assert scores == [0.0, 0.0, -0.05, -0.5, -1.0, -1.0, -1.0]


def test_no_penalty_is_not_minus_zero():
  assert math.copysign(1, _score(1, max_tokens=5, cache=2)[0]) == 1


@pytest.mark.parametrize("max_tokens,cache", [(10, 0), (10, 11), (0, 0)])
def test_a_cache_outside_the_answer_is_refused(max_tokens, cache):
  with pytest.raises(ValueError, match=f"cache={cache}"):
    _score(max_tokens=max_tokens, cache=cache)
