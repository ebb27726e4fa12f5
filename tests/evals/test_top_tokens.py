# SPDX-License-Identifier: Apache-2.0
"""Likeliest tokens: spellings, and the same from here and from a server."""

import math

import pytest
import tiny_server

from ramjax.data.rows import Message
from ramjax.evals import top_tokens
from ramjax.evals.engine import ChatRequest
from ramjax.evals.http_engine import HttpEngine
from ramjax.evals.local_engine import LocalEngine
from ramjax.models.sampling_options import SamplingOptions


def test_equal_spellings_have_the_probability_of_both():
  got = top_tokens.merged(
    [("a", math.log(0.2)), ("b", math.log(0.25)), ("a", math.log(0.1))]
  )
  assert [text for text, _ in got] == ["a", "b"]
  assert math.exp(got[0][1]) == pytest.approx(0.3)
  assert got[1][1] == math.log(0.25)


def test_impossible_spellings_stay_impossible_and_none_exceeds_1():
  never = -math.inf
  assert top_tokens.merged([("a", never), ("a", never)]) == (("a", never),)
  assert top_tokens.merged([("a", 0.0), ("a", -20.0)])[0][1] == 0.0


@pytest.mark.parametrize("num", [0, 21])
def test_a_number_that_no_server_offers_is_refused(num):
  with pytest.raises(ValueError, match=f"num={num} .* from 1 to 20"):
    top_tokens.check_num(num)


def test_the_local_engine_and_our_server_tell_the_same(tmp_path):
  model = tiny_server.write_model(tmp_path / "model")
  local = LocalEngine(
    model.params,
    model.config,
    tokenizer=model.tokenizer,
    template="plain",
    num_slots=2,
  )
  requests = [
    ChatRequest((Message("user", text),), SamplingOptions(temperature=0.0))
    for text in ("a word", "more of it", "then <s> it")
  ]
  here = local.top_tokens(requests, num=5)
  with tiny_server.running(model) as server:
    engine = HttpEngine(f"http://127.0.0.1:{server.port}", "tiny")
    there = engine.top_tokens(requests, num=5)
  assert len(here) == len(there) == 3
  for ours, theirs in zip(here, there, strict=True):
    assert isinstance(ours, top_tokens.NextTokens)
    assert isinstance(theirs, top_tokens.NextTokens)
    assert [t for t, _ in ours.top] == [t for t, _ in theirs.top]
    assert [x for _, x in ours.top] == pytest.approx(
      [x for _, x in theirs.top], abs=1e-5
    )
    assert ours.num_prompt_tokens == theirs.num_prompt_tokens
    assert ours.num_tokens == theirs.num_tokens == 1
  assert isinstance(local, top_tokens.TopTokens)
  assert isinstance(engine, top_tokens.TopTokens)
