# SPDX-License-Identifier: Apache-2.0
"""A trace holds the steps that were asked for, and bad ranges are refused."""

import jax
import jax.numpy as jnp
import pytest

from ramjax.trainers.profile_steps import Profile, parse_steps


@pytest.mark.parametrize(
  "text,steps",
  [("", []), ("10-12", [10, 11, 12]), ("7", [7]), ("1-20", list(range(1, 21)))],
)
def test_a_range_is_read(text, steps):
  assert list(parse_steps(text, 20)) == steps


@pytest.mark.parametrize(
  "text",
  ["0-3", "12-10", "18-21", "21", "a-b", "3-", "-3", "1-2-3", "1,2", " 3"],
)
def test_what_is_no_range_of_the_run_is_refused(text):
  with pytest.raises(ValueError, match=r"run\.profile_steps=.* 20 counted"):
    parse_steps(text, 20)


@pytest.fixture(name="calls")
def _calls(monkeypatch):
  calls = []
  for name in ("start_trace", "stop_trace"):
    monkeypatch.setattr(
      jax.profiler, name, lambda *a, name=name: calls.append((name, *a))
    )
  return calls


def _steps(profile, first, last):
  for step in range(first, last + 1):
    profile.before(step)
    profile.after(step, jnp.ones(1))


def test_it_begins_before_the_first_and_ends_after_the_last(tmp_path, calls):
  with Profile(range(3, 5), tmp_path) as profile:
    _steps(profile, 1, 2)
    assert calls == []
    profile.before(3)
    assert calls == [("start_trace", str(tmp_path / "profile"))]
    profile.after(3, None)
    profile.before(4)
    assert len(calls) == 1
    profile.after(4, None)
    assert calls[1:] == [("stop_trace",)]
    _steps(profile, 5, 9)
  assert len(calls) == 2


def test_a_run_that_ends_within_them_closes_the_trace(tmp_path, calls):
  with pytest.raises(OSError):
    with Profile(range(2, 9), tmp_path) as profile:
      _steps(profile, 1, 3)
      raise OSError
  assert [name for name, *_ in calls] == ["start_trace", "stop_trace"]


def test_a_run_that_goes_on_within_them_traces_nothing(tmp_path, calls):
  with Profile(range(2, 9), tmp_path) as profile:
    _steps(profile, 4, 12)
  assert calls == []


def test_a_trace_lies_where_xprof_looks(tmp_path):
  with Profile(range(1, 2), tmp_path) as profile:
    profile.before(1)
    profile.after(1, jnp.ones(3) + 1)
  assert list(tmp_path.glob("profile/plugins/profile/*/*.xplane.pb"))
