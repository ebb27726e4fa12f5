# SPDX-License-Identifier: Apache-2.0
"""Judging pairs, by a server on this machine that prefers longer answers."""

import pytest
import tiny_endpoint
import tiny_judge
from tiny_endpoint import TinyEndpoint

from ramjax.evals import shown_order
from ramjax.evals.engine import Completion
from ramjax.evals.http_engine import HttpEngine
from ramjax.evals.http_retries import RetryPolicy
from ramjax.evals.pair_readers import LogprobReader, PatternReader
from ramjax.evals.pairwise_judge import Pair, PairJudge, PairVerdict, side
from ramjax.models.sampling_options import SamplingOptions

_QUICK = RetryPolicy(most=1, first_wait_s=0.0)
_PAIRS = [
  Pair(f"task {i}", "a" * (3 + i % 3), "b" * (2 + i % 5)) for i in range(8)
]


def _engine(server):
  return HttpEngine(server.url, "j", retries=_QUICK, logprobs=False)


def _pattern_reader(engine, samples=1):
  return PatternReader(
    engine,
    pattern=tiny_judge.PATTERN,
    options=SamplingOptions(temperature=0.0 if samples == 1 else 1.0),
    num_samples=samples,
  )


def _judge(server, **options):
  return PairJudge(LogprobReader(_engine(server)), tiny_judge.PROMPT, **options)


def _expected(pair):
  return 1 + tiny_judge.share_of_first(pair.output_2, pair.output_1)


def test_each_pair_is_shown_once_in_the_order_of_its_instruction():
  with TinyEndpoint(tiny_judge.act) as server:
    got = _judge(server).judge(_PAIRS)
  for pair, verdict in zip(_PAIRS, got, strict=True):
    assert verdict.preference == pytest.approx(_expected(pair), abs=1e-6)
    assert verdict.num_requests == 1 and verdict.num_prompt_tokens == 3
    assert verdict.num_tokens == 1 and verdict.orders_agree is None
  swapped = {
    text: first[0] == "b"
    for text, first, _ in map(tiny_judge.shown, server.asked)
  }
  assert swapped == {
    p.instruction: shown_order.is_swapped(p.instruction) for p in _PAIRS
  }
  assert len(set(swapped.values())) == 2


def test_both_orders_are_asked_and_their_mean_counts():
  with TinyEndpoint(tiny_judge.act) as server:
    got = _judge(server, both_orders=True).judge(_PAIRS)
  assert len(server.asked) == 16
  for pair, verdict in zip(_PAIRS, got, strict=True):
    assert verdict.preference == pytest.approx(_expected(pair), abs=1e-6)
    assert [look.swapped for look in verdict.looks] == [False, True]
    assert verdict.orders_agree is True


def test_a_judge_of_places_is_a_tie_whose_orders_disagree():
  def first_always(number, asked):
    return tiny_endpoint.reply(tiny_judge.top([("m", -0.01), ("M", -9.0)]))

  with TinyEndpoint(first_always) as server:
    (got,) = _judge(server, both_orders=True).judge(_PAIRS[:1])
  assert got.preference == pytest.approx(1.5)
  assert got.orders_agree is False


def test_equal_texts_are_a_tie_and_nobody_is_asked():
  with TinyEndpoint(tiny_judge.act) as server:
    got = _judge(server).judge([Pair("i", "same", "same")])
  assert got == [PairVerdict(1.5)] and server.asked == []


def test_words_are_read_by_a_pattern_with_the_order_undone():
  with TinyEndpoint(tiny_judge.act) as server:
    judge = PairJudge(_pattern_reader(_engine(server)), tiny_judge.PROMPT)
    got = judge.judge(_PAIRS)
  for pair, verdict in zip(_PAIRS, got, strict=True):
    more = len(pair.output_2) - len(pair.output_1)
    assert verdict.preference == 1.5 + 0.5 * ((more > 0) - (more < 0))


def test_samples_have_seeds_of_their_own_and_the_majority_counts():
  seeds = []

  def vote(number, asked):
    seeds.append(asked.body["seed"])
    letter = "A" if len(seeds) % 3 else "B"
    return tiny_endpoint.reply(tiny_endpoint.answer(f"[[{letter}]]"))

  with TinyEndpoint(vote) as server:
    judge = PairJudge(_pattern_reader(_engine(server), 3), tiny_judge.PROMPT)
    (got,) = judge.judge(_PAIRS[:1])
    swapped = shown_order.is_swapped(_PAIRS[0].instruction)
    assert got.preference == (2.0 if swapped else 1.0)
    first, seeds[:] = set(seeds), []
    judge.judge(_PAIRS[:1])
  assert len(first) == 3 and set(seeds) == first


def test_a_pair_that_the_server_fails_on_does_not_stop_the_others():
  def act(number, asked):
    if "task 3" in asked.body["messages"][-1]["content"]:
      return tiny_endpoint.reply({"error": "boom"}, 500)
    return tiny_judge.act(number, asked)

  with TinyEndpoint(act) as server:
    by_logprobs = _judge(server, both_orders=True).judge(_PAIRS)
    reader = _pattern_reader(_engine(server))
    by_words = PairJudge(reader, tiny_judge.PROMPT).judge(_PAIRS)
  for got in (by_logprobs, by_words):
    assert [v.failed for v in got] == [i == 3 for i in range(8)]
    assert got[3].preference is None and "500: boom" in got[3].problem


def test_a_verdict_that_cannot_be_read_is_none_with_the_reason():
  def act(number, asked):
    return tiny_endpoint.reply(tiny_judge.top([("Neither", -0.1)]))

  with TinyEndpoint(act) as server:
    (got,) = _judge(server).judge(_PAIRS[:1])
  assert got.preference is None and not got.failed
  assert got.problem == "no verdict could be read"
  assert got.looks[0].said == [["Neither", -0.1]]


def test_one_order_without_a_verdict_is_no_verdict_on_the_pair():
  def act(number, asked):
    token = "m" if tiny_judge.shown(asked)[1][0] == "a" else "?"
    return tiny_endpoint.reply(tiny_judge.top([(token, -0.1)]))

  with TinyEndpoint(act) as server:
    (got,) = _judge(server, both_orders=True).judge(_PAIRS[:1])
  assert got.preference is None and got.orders_agree is None
  assert [look.preference for look in got.looks] == [1.0, None]


def test_what_is_too_long_is_not_asked():
  with TinyEndpoint(tiny_judge.act) as server:
    judge = _judge(
      server, fits=lambda r: "task 1" not in r.messages[-1].content
    )
    got = judge.judge(_PAIRS[:3])
  assert len(server.asked) == 2
  assert got[1] == PairVerdict(None, "too long for the judge")


def test_an_engine_that_answers_all_at_once_serves_too():
  class Plain:
    def complete(self, requests, *, progress=None):
      return [Completion("[[C]]", True, 4) for _ in requests]

  judge = PairJudge(_pattern_reader(Plain()), tiny_judge.PROMPT)
  told = []
  got = judge.judge(_PAIRS, arrived=lambda i, verdict: told.append(i))
  assert [v.preference for v in got] == [1.5] * 8
  assert told == list(range(8))


def test_what_decides_a_verdict_is_in_the_identity():
  with TinyEndpoint(tiny_judge.act) as server:
    made = [
      _judge(server),
      _judge(server, both_orders=True),
      _judge(server, seed=1),
      PairJudge(_pattern_reader(_engine(server)), tiny_judge.PROMPT),
      PairJudge(_pattern_reader(_engine(server), 3), tiny_judge.PROMPT),
      PairJudge(LogprobReader(_engine(server), num_top=6), tiny_judge.PROMPT),
    ]
  assert len({repr(judge.identity()) for judge in made}) == 6


@pytest.mark.parametrize(
  "preference,expected", [(1.0, -1), (1.49, -1), (1.5, 0), (2, 1), (None, None)]
)
def test_sides(preference, expected):
  assert side(preference) == expected
