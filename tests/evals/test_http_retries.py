# SPDX-License-Identifier: Apache-2.0
"""Waits: doubled, jittered, bounded, and what a server asks for."""

import datetime

import pytest

from ramjax.evals.http_retries import RetryPolicy, asked_wait_s, wait_s

_POLICY = RetryPolicy(
  first_wait_s=2.0, longest_wait_s=10.0, longest_asked_wait_s=30.0
)
_NOW = datetime.datetime(2024, 1, 1, 12, 0, 0, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
  "attempt,longest", [(0, 2.0), (1, 4.0), (2, 8.0), (3, 10.0), (10**6, 10.0)]
)
def test_waits_double_up_to_the_longest_and_jitter_takes_up_to_half(
  attempt, longest
):
  def wait(uniform):
    return wait_s(_POLICY, attempt, asked_s=None, uniform=uniform)

  assert wait(0.0) == longest / 2
  assert wait(0.5) == 0.75 * longest
  assert wait(1.0) == longest


@pytest.mark.parametrize(
  "asked,waited", [(7.0, 7.0), (1e9, 30.0), (0.0, 0.0), (-5.0, 0.0)]
)
def test_what_the_server_asks_for_is_waited_within_bounds(asked, waited):
  assert wait_s(_POLICY, 3, asked_s=asked, uniform=0.0) == waited
  # Those who were told the same do not come back at once.
  assert wait_s(_POLICY, 3, asked_s=asked, uniform=0.5) == waited + 1.0


@pytest.mark.parametrize(
  "header,seconds",
  [
    (None, None),
    ("3", 3.0),
    (" 1.5 ", 1.5),
    ("Mon, 01 Jan 2024 12:00:20 GMT", 20.0),
    ("Mon, 01 Jan 2024 11:00:00 GMT", 0.0),
    ("Mon, 01 Jan 2024 12:00:20 -0000", 20.0),
    ("-3", None),
    ("nan", None),
    ("1e9", None),
    ("٣", None),
    ("soon", None),
    ("", None),
    ("Mon, 99 Jan 99999999999999999999 12:00:20 GMT", None),
  ],
)
def test_the_header_is_seconds_or_a_date(header, seconds):
  assert asked_wait_s(header, _NOW) == seconds


@pytest.mark.parametrize(
  "wrong",
  [{"most": -1}, {"first_wait_s": -1.0}, {"longest_wait_s": float("nan")}],
)
def test_bounds_that_are_none_are_refused(wrong):
  with pytest.raises(ValueError, match="must be 0 or more"):
    RetryPolicy(**wrong)
