# SPDX-License-Identifier: Apache-2.0
"""Rolling windows predict each token once, from what the harness predicts it."""

import json
import pathlib

import pytest

from ramjax.evals.rolling_windows import rolling_windows

_FIXTURE = (
  pathlib.Path(__file__).parents[2].parent
  / "shared/data/lm_eval/rolling_windows_fixture.json"
)


def test_windows_are_those_of_the_harness():
  if not _FIXTURE.exists():
    pytest.skip(f"{_FIXTURE.name}, made with the harness, is not here")
  cases = json.loads(_FIXTURE.read_text())
  assert len(cases) == 9
  for case in cases:
    found = rolling_windows(
      range(case["n_tokens"]),
      prefix=case["prefix"],
      max_length=case["max_seq_len"],
      context_length=case["context_len"],
    )
    assert [[list(a), list(b)] for a, b in found] == case["disjoint"]
    # What the model reads, and is asked for.
    read = [[[*a, *b][:-1], list(b)] for a, b in found]
    assert read == case["windows"]


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 23, 24, 25])
@pytest.mark.parametrize("context_length", [1, 3, 6])
def test_each_token_is_predicted_once_from_enough(count, context_length):
  found = rolling_windows(
    range(count), prefix=-1, max_length=6, context_length=context_length
  )
  assert [token for _, part in found for token in part] == list(range(count))
  assert found[0].context == [-1]
  for context, continuation in found[1:]:
    assert len(context) + len(continuation) == 7  # 6 are read.
    assert len(context) >= context_length
    assert context[-1] == continuation[0] - 1


def test_an_empty_text_has_no_windows():
  assert rolling_windows([], prefix=0, max_length=4) == []


@pytest.mark.parametrize("context_length", [0, 5])
def test_lengths_out_of_range_are_refused(context_length):
  with pytest.raises(ValueError, match="must lie in 1 to max_length=4"):
    rolling_windows([1], prefix=0, max_length=4, context_length=context_length)
