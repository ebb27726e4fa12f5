# SPDX-License-Identifier: Apache-2.0
"""Failures of a judge: no words each, and an error past the limit."""

import pytest

from ramjax.tools import judge_failures


def test_as_many_as_may_fail_are_no_words_and_one_more_is_an_error():
  failures = judge_failures.Failures(2)
  for number in (1, 2):
    stands = failures(OSError("busy"))
    assert (stands.text, stands.finished) == ("", False)
    assert (failures.num, failures.exceeded) == (number, False)
  with pytest.raises(ValueError, match=r"no answer to 3 requests.*: gone The"):
    failures(OSError("gone"))
  assert failures.exceeded


def test_a_share_is_of_whole_requests():
  # 0.29 * 100 is 28.999999999999996.
  assert judge_failures.most_of(0.29, 100) == 29
  assert judge_failures.most_of(0.1, 9) == 0
  for share in (-0.1, 1.0, float("nan")):
    with pytest.raises(ValueError, match="must be a share"):
      judge_failures.most_of(share, 10)
