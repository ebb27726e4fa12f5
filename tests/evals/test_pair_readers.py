# SPDX-License-Identifier: Apache-2.0
"""How preferences are read from a judge's answers."""

import math

import pytest

from ramjax.evals.engine import Completion
from ramjax.evals.pair_readers import LogprobReader, PatternReader
from ramjax.evals.top_tokens import NextTokens
from ramjax.models.sampling_options import SamplingOptions

_PATTERN = r"\[\[(?:(?P<A>A)|(?P<B>B)|(?P<tie>C))\]\]"


def _pattern(pattern=_PATTERN, samples=1, temperature=1.0):
  return PatternReader(
    None,  # type: ignore[arg-type]
    pattern=pattern,
    options=SamplingOptions(temperature=temperature),
    num_samples=samples,
  )


def _read(*words):
  answers = [Completion(text, True, 1) for text in words]
  return _pattern(samples=len(words)).read(answers)[0]


def _logprobs(*pairs, **options):
  reader = LogprobReader(None, **options)  # type: ignore[arg-type]
  return reader.read([NextTokens(tuple(pairs), 3, 1)])


@pytest.mark.parametrize(
  "words,preference",
  [
    (("[[A]]",), 1.0),
    (("[[B]]",), 2.0),
    (("[[C]]",), 1.5),
    (("It says [[B]], but: [[A]]",), 1.0),
    (("[A] [[D]] A",), None),
    (("",), None),
    (("[[A]]", "[[B]]", "[[A]]"), 1.0),
    (("[[A]]", "[[B]]", "?"), 1.5),
    (("?", "?", "[[B]]"), 2.0),
    (("[[C]]", "[[C]]", "[[A]]"), 1.5),
    (("?", "?"), None),
  ],
)
def test_the_last_match_of_each_and_the_majority_of_all(words, preference):
  assert _read(*words) == preference


def test_a_match_of_two_groups_is_no_verdict():
  assert _pattern(r"(?P<A>x)(?P<B>y)").vote("xy") is None


_RANKS = """[
    {{'model': 'model_{0}', 'rank': {1}}},
    {{'model': 'model_{2}', 'rank': {3}}}
]"""


@pytest.mark.parametrize(
  ("words", "preference"),
  [
    (_RANKS.format(1, 1, 2, 2), 1.0),
    (_RANKS.format(2, 1, 1, 2), 2.0),
    (_RANKS.format(1, 2, 2, 1), 2.0),
    (_RANKS.format(1, 2, 2, 1).replace("'", '"').replace("\n", ""), 2.0),
    (_RANKS.format(1, 2, 2, 2), None),
    (_RANKS.format(1, 10, 2, 11), None),
    ("model_1 is the best", None),
  ],
)
def test_the_ranked_list_of_alpaca_eval_1_is_read_by_name(words, preference):
  reader = _pattern("ranks")
  assert reader.read([Completion(words, True, 1)])[0] == preference
  # What a file keeps is the expression, whatever it is called.
  assert "model_1" in reader.identity()["pattern"]


def test_double_brackets_are_read_by_name():
  reader = _pattern("brackets")
  assert reader.read([Completion("so [[B]]", True, 1)])[0] == 2.0


def test_only_the_end_of_many_words_is_kept():
  _, said = _pattern().read([Completion("x" * 5000 + "[[A]]", True, 1)])
  assert len(said[0]) == 2000 and said[0].endswith("[[A]]")


@pytest.mark.parametrize(
  "pattern,match",
  [
    ("(", "no regular expression"),
    ("A|B", "or have the groups"),
    ("(?P<A>A)", "or have the groups"),
    ("(?P<A>A)|(?P<B>B)|(?P<c>C)", "or have the groups"),
  ],
)
def test_patterns_without_verdicts_are_refused(pattern, match):
  with pytest.raises(ValueError, match=match):
    _pattern(pattern)


@pytest.mark.parametrize("samples,temperature", [(0, 1.0), (3, 0.0)])
def test_samples_that_cannot_work_are_refused(samples, temperature):
  with pytest.raises(ValueError, match="num_samples"):
    _pattern(samples=samples, temperature=temperature)


def test_probabilities_of_the_two_tokens_are_compared():
  preference, said = _logprobs(
    ("m", math.log(0.3)), ("x", -1.0), ("M", math.log(0.1))
  )
  # The first output has 3 of 4: 2 - 0.75.
  assert preference == pytest.approx(1.25)
  assert said[1] == ["x", -1.0]


def test_a_token_that_is_missing_is_impossible_and_two_are_no_verdict():
  assert _logprobs(("M", -3.0), ("x", -0.1))[0] == 2.0
  assert _logprobs(("x", -0.1), ("m ", -0.2))[0] is None
  assert _logprobs()[0] is None
  preference, said = _logprobs(("x", 0.0), ("m", -math.inf))
  assert preference is None and said == [["x", 0.0]]


def test_other_tokens_may_stand_for_the_outputs():
  got, _ = _logprobs(("2", 0.0), ("1", -50.0), identifiers=("1", "2"))
  assert got == pytest.approx(2.0)


@pytest.mark.parametrize("identifiers", [("m", "m"), ("", "M")])
def test_identifiers_that_tell_nothing_apart_are_refused(identifiers):
  with pytest.raises(ValueError, match="two different tokens"):
    _logprobs(identifiers=identifiers)
