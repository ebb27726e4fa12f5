# SPDX-License-Identifier: Apache-2.0
"""Preferences from a judge's next token: by hand, and as they were recorded."""

import gzip
import json
import math
import pathlib

import pytest

from ramjax.evals import logprob_verdict, shown_order

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/alpaca_eval"


def _top(**probabilities):
  return [(token, math.log(p)) for token, p in probabilities.items()]


def test_the_share_of_the_first_identifier_by_hand():
  top = _top(m=0.6, The=0.2, M=0.2)
  # m has 3/4 of what both have: the output shown first is better by that.
  shown = logprob_verdict.preference(top, swapped=False)
  assert shown == pytest.approx(1.25)
  swapped = logprob_verdict.preference(top, swapped=True)
  assert swapped == pytest.approx(1.75)


@pytest.mark.parametrize(
  "top,expected", [(_top(m=1e-9, x=0.9), 1.0), (_top(M=1e-9, x=0.9), 2.0)]
)
def test_a_missing_identifier_is_impossible(top, expected):
  assert logprob_verdict.preference(top, swapped=False) == expected
  assert logprob_verdict.preference(top, swapped=True) == 3 - expected


@pytest.mark.parametrize(
  "top", [[], _top(The=0.9), [("m", -math.inf), ("M", -math.inf)]]
)
def test_without_an_identifier_there_is_no_verdict(top):
  assert logprob_verdict.preference(top, swapped=False) is None


def test_probabilities_too_small_for_a_float_still_compare():
  top = [("m", -9000.0), ("M", -9000.0 + math.log(3))]
  assert logprob_verdict.preference(top, swapped=False) == pytest.approx(1.75)
  far = [("m", -9000.0), ("M", 0.0)]
  assert logprob_verdict.preference(far, swapped=False) == 2.0


def test_other_identifiers_can_be_named():
  top = _top(A=0.75, B=0.25, m=0.9)
  found = logprob_verdict.preference(top, swapped=False, identifiers=("A", "B"))
  assert found == pytest.approx(1.25)


@pytest.mark.parametrize(
  "top,words",
  [
    ([("m", -1.0), ("M", -2.0), ("m", -3.0)], "'m' stands 2 times"),
    ([("m", math.nan)], "nan for 'm'"),
    ([("m", 0.5), ("M", 0.5)], "must have the natural logarithm"),
  ],
)
def test_what_is_no_list_of_logprobs_is_refused(top, words):
  with pytest.raises(ValueError, match=words):
    logprob_verdict.preference(top, swapped=False)


def _lines(name):
  path = _DATA / name
  if not path.is_file():
    pytest.skip(f"no {path.name} of AlpacaEval on this machine")
  with gzip.open(path, "rt") as file:
    return [json.loads(line) for line in file]


def test_recorded_verdicts_follow_from_their_logprobs_and_the_order():
  instructions = {
    row["index"]: row["instruction"]
    for row in _lines("baseline_gpt4_1106_preview.jsonl.gz")
  }
  rows = _lines("logprob_parser_fixture.jsonl.gz")
  assert len(rows) > 500
  swaps = set()
  for row in rows:
    swapped = shown_order.is_swapped(instructions[row["instruction_index"]])
    swaps.add(swapped)
    found = logprob_verdict.preference(
      [(token, logprob) for token, logprob in row["top_logprobs"]],
      swapped=swapped,
    )
    # As many digits as the logprobs were recorded with.
    assert found == pytest.approx(row["preference"], abs=2e-6)
  assert swaps == {False, True}
