# SPDX-License-Identifier: Apache-2.0
"""What is asked of an endpoint, and which answers are taken."""

import json
import math

import numpy as np
import pytest
import tiny_endpoint
import tiny_judge

from ramjax.data.rows import Message
from ramjax.evals import chat_completions
from ramjax.evals.chat_completions import AnswerError, parse_answer
from ramjax.evals.engine import ChatRequest
from ramjax.models.sampling_options import SamplingOptions


def _body(*, logprobs=True, stop=(), **options):
  request = ChatRequest(
    (Message("system", "Be brief."), Message("user", "Hé?", supervised=True)),
    SamplingOptions(**options),
    stop=stop,
    seed=5,
  )
  return chat_completions.request_body(request, model="m", logprobs=logprobs)


def test_defaults_send_only_what_every_server_knows():
  assert _body() == {
    "model": "m",
    "messages": [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": "Hé?"},
    ],
    "temperature": 1.0,
    "top_p": 1.0,
    "max_tokens": 256,
    "seed": 5,
    "logprobs": True,
  }
  assert "logprobs" not in _body(logprobs=False)


@pytest.mark.parametrize(
  "option,sent",
  [
    ({"top_k": 4}, {"top_k": 4}),
    ({"min_p": 0.1}, {"min_p": 0.1}),
    ({"repetition_penalty": 1.5}, {"repetition_penalty": 1.5}),
    ({"stop_tokens": (7, 8)}, {"stop_token_ids": [7, 8]}),
    ({"stop": ("a", "b")}, {"stop": ["a", "b"]}),
    (
      {"logit_bias": {3: -math.inf, 4: 1.5}},
      {"logit_bias": {"3": -100, "4": 1.5}},
    ),
  ],
)
def test_an_option_that_is_set_is_sent(option, sent):
  assert _body(**option) == _body() | sent


def test_a_bias_beyond_the_protocol_is_refused():
  with pytest.raises(ValueError, match=r"logit_bias\[3\]=200.*-100 to 100"):
    _body(logit_bias={3: 200.0})


def _parse(value):
  return parse_answer(json.dumps(value).encode())


def test_a_good_answer_is_read():
  got = _parse(tiny_endpoint.answer(" yes \n", logprobs=(-0.5, 0.0, -9999.0)))
  assert (got.text, got.finished, got.num_tokens) == ("yes", True, 3)
  assert got.tokens is None and got.drawn_logps is None
  assert got.logps is not None and got.logps.dtype == np.float32
  np.testing.assert_array_equal(got.logps, np.float32([-0.5, 0.0, -9999.0]))


@pytest.mark.parametrize("reason", ["length", "content_filter", "tool_calls"])
def test_only_stop_is_finished(reason):
  assert not _parse(tiny_endpoint.answer(reason=reason)).finished


def test_an_answer_without_log_probabilities_or_text_is_one():
  value = tiny_endpoint.answer()
  value["choices"][0]["logprobs"] = None
  value["choices"][0]["message"]["content"] = None
  value["usage"]["completion_tokens"] = 9
  got = _parse(value)
  assert (got.text, got.num_tokens, got.logps) == ("", 9, None)
  value["choices"][0]["logprobs"] = {"content": None}
  assert _parse(value).logps is None


def test_tokens_are_counted_by_their_log_probabilities_where_usage_is_missing():
  value = tiny_endpoint.answer()
  del value["usage"]
  assert _parse(value).num_tokens == 2


def _with(path, wrong):
  value = tiny_endpoint.answer()
  at = value
  for step in path[:-1]:
    at = at[step]
  at[path[-1]] = wrong
  return value


_CHOICE = ("choices", 0)
_LOGPROB = (*_CHOICE, "logprobs", "content", 1, "logprob")


@pytest.mark.parametrize(
  "value,problem",
  [
    (None, "the answer is not an object"),
    ([], "the answer is not an object"),
    ({}, "choices is not a list"),
    (_with(("choices",), []), "choices is not a list"),
    (_with(("choices",), {"0": 1}), "choices is not a list"),
    (_with(_CHOICE, "yes"), r"choices\[0\] is not an object"),
    (_with((*_CHOICE, "message"), None), "message is not an object"),
    (_with((*_CHOICE, "message", "content"), 3), "content is not a string"),
    (_with((*_CHOICE, "message", "content"), "\ud800"), "half a character"),
    (_with((*_CHOICE, "finish_reason"), None), "finish_reason is not"),
    (_with((*_CHOICE, "logprobs"), 3), "logprobs is not an object"),
    (_with((*_CHOICE, "logprobs", "content"), "x"), "content is not a list"),
    (_with((*_CHOICE, "logprobs", "content", 0), 1), r"content\[0\] is not"),
    (_with(_LOGPROB, None), r"content\[1\].logprob is not a log-prob"),
    (_with(_LOGPROB, 0.5), "is not a log-prob"),
    (_with(_LOGPROB, -1e300), "is not a log-prob"),
    (_with(_LOGPROB, True), "is not a log-prob"),
    (_with(_LOGPROB, "-1"), "is not a log-prob"),
    (_with(("usage",), []), "usage is not an object"),
    (_with(("usage", "completion_tokens"), -1), "not a number of tokens"),
    (_with(("usage", "completion_tokens"), 2.0), "not a number of tokens"),
    (_with(("usage", "completion_tokens"), True), "not a number of tokens"),
    (_with(("usage", "completion_tokens"), 2**40), "not a number of tokens"),
  ],
)
def test_another_shape_is_refused(value, problem):
  with pytest.raises(AnswerError, match=problem):
    _parse(value)


@pytest.mark.parametrize(
  "data,problem",
  [
    (b"", "not valid JSON"),
    (b"<html>", "not valid JSON"),
    (b"\xff\xfe", "not UTF-8"),
    (b'{"choices": NaN}', "NaN is not JSON"),
    (b'{"choices": [], "choices": []}', "stands twice"),
    (b"{} {}", "more than one value"),
    (b"[" * 200 + b"]" * 200, "levels deep"),
    (b"[" * 200_000, "not valid JSON"),
  ],
)
def test_json_is_strict(data, problem):
  with pytest.raises(AnswerError, match=problem):
    parse_answer(data)


def test_white_space_around_the_json_is_fine():
  data = b" \n" + json.dumps(tiny_endpoint.answer()).encode() + b"\n"
  assert parse_answer(data).text == "yes"


def _tops(*tops, **usage):
  value = tiny_judge.top(list(tops))
  return json.dumps(value | usage).encode()


def test_likeliest_tokens_are_read_with_what_they_cost():
  got = chat_completions.parse_top_tokens(
    _tops(("M", -2.0), ("m", -0.5), ("M", -3.0)), num=2
  )
  assert [token for token, _ in got.top] == ["m", "M"]
  assert math.exp(got.top[1][1]) == pytest.approx(math.exp(-2) + math.exp(-3))
  assert (got.num_prompt_tokens, got.num_tokens) == (3, 1)


def test_an_answer_of_no_token_has_no_likeliest_ones():
  value = tiny_endpoint.answer("", logprobs=())
  got = chat_completions.parse_top_tokens(json.dumps(value).encode(), num=5)
  assert got.top == () and got.num_tokens == 0


@pytest.mark.parametrize("count", [-1, True, "3", None])
def test_prompt_tokens_that_are_no_count_are_not_told(count):
  usage = {"completion_tokens": 1, "prompt_tokens": count}
  got = chat_completions.parse_top_tokens(_tops(("m", 0.0), usage=usage), num=1)
  assert got.num_prompt_tokens is None


@pytest.mark.parametrize(
  "place,value,match",
  [
    ("logprobs", None, "logprobs is not an object"),
    ("content", "m", "content is not a list"),
    ("content", [3], r"content\[0\] is not an object"),
    ("content", [{}], "top_logprobs is not a list of 2 tokens"),
    ("top", [], "top_logprobs is not a list of 2 tokens"),
    ("top", [{"token": "m", "logprob": -1.0}] * 4, "not a list of 2 tokens"),
    ("top", [{"token": 3, "logprob": -1.0}], "token is not a string"),
    ("top", [{"token": "m", "logprob": 0.5}], "not a log-probability"),
    ("top", [{"token": "m", "logprob": None}], "not a log-probability"),
    ("top", [{"token": "m", "logprob": True}], "not a log-probability"),
  ],
)
def test_likeliest_tokens_of_another_shape_are_refused(place, value, match):
  body = tiny_judge.top([("m", -0.5)])
  choice = body["choices"][0]
  if place == "logprobs":
    choice["logprobs"] = value
  elif place == "content":
    choice["logprobs"]["content"] = value
  else:
    choice["logprobs"]["content"][0]["top_logprobs"] = value
  with pytest.raises(AnswerError, match=match):
    chat_completions.parse_top_tokens(json.dumps(body).encode(), num=2)


def test_likeliest_tokens_are_asked_for_under_the_model_as_it_is():
  options = SamplingOptions(temperature=0.0, top_p=0.5, max_tokens=99)
  request = ChatRequest((Message("user", "x"),), options, stop=("y",), seed=4)
  got = chat_completions.top_tokens_body(request, model="m", num=7)
  assert got == {
    "model": "m",
    "messages": [{"role": "user", "content": "x"}],
    "temperature": 1.0,
    "top_p": 1.0,
    "max_tokens": 1,
    "seed": 4,
    "logprobs": True,
    "top_logprobs": 7,
  }
