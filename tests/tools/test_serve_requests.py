# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests: what they mean, and which are refused."""

import numpy as np
import pytest
import tiny_model_folder

from ramjax.data.rows import Message
from ramjax.data.tokenize_rows import tokenize_prompt
from ramjax.tools import loaded_model, serve_requests
from ramjax.tools.serve_errors import ApiError

_TURN = [{"role": "user", "content": "Say a word."}]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  folder = tmp_path_factory.mktemp("asked") / "tiny"
  tiny_model_folder.write(folder)
  return loaded_model.load(folder, template="plain")


def _chat(model, **body):
  body = {"messages": _TURN} | body
  return serve_requests.parse_chat(body, model, name="tiny", max_length=64)


def _completion(model, **body):
  return serve_requests.parse_completion(
    body, model, name="tiny", max_length=64
  )


def test_a_chat_is_rendered_and_has_the_rest_of_the_row(model):
  asked = _chat(model, stop="x", seed=5)
  turns = [Message("user", "Say a word.")]
  prompt = tokenize_prompt(turns, template="plain", tokenizer=model.tokenizer)
  np.testing.assert_array_equal(asked.prompts[0], prompt)
  assert asked.options.max_tokens == 64 - len(prompt)
  assert asked.options.stop_tokens == (model.tokenizer.eos_id,)
  assert (asked.stop, asked.seed, asked.num_choices) == (("x",), 5, 1)
  assert asked.options.temperature == asked.options.top_p == 1


def test_without_a_seed_each_request_has_its_own(model):
  assert len({_chat(model).seed for _ in range(8)}) > 1


def test_a_completion_has_16_tokens_unless_told(model):
  assert _completion(model, prompt="word").options.max_tokens == 16
  asked = _completion(model, prompt="word", max_tokens=0, echo=True)
  assert not asked.generates and asked.echoes == ("word",)


def test_a_text_gets_a_bos_and_ids_are_taken_as_they_are(model):
  text, ids = _completion(model, prompt=["word", [30, 31]]).prompts
  assert text[0] == model.tokenizer.bos_id
  assert ids.tolist() == [30, 31]


@pytest.mark.parametrize(
  "change,param",
  [
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"frequency_penalty": 0.5}, "frequency_penalty"),
    ({"best_of": 2}, "best_of"),
    ({"temprature": 0.5}, "temprature"),
    ({"temperature": -1}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"n": 0}, "n"),
    ({"n": 129}, "n"),
    ({"n": 1.5}, "n"),
    ({"seed": -1}, "seed"),
    ({"seed": 2**32}, "seed"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 9000}, "max_tokens"),
    ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
    ({"stop": ""}, "stop"),
    ({"stop": ["x"] * 17}, "stop"),
    ({"stop": "x" * 1001}, "stop"),
    ({"logit_bias": {"999": 1}}, "logit_bias"),
    ({"logit_bias": {"x": 1}}, "logit_bias"),
    ({"logit_bias": {"5": 1e99}}, "logit_bias"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 2, "stream": True}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"messages": []}, "messages"),
    ({"messages": "Hello"}, "messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
    (
      {"messages": [{"role": "user", "content": "x", "name": "Bo"}]},
      "messages[0].name",
    ),
    (
      {"messages": [{"role": "user", "content": "\ud800"}]},
      "messages[0].content",
    ),
    (
      {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
      "messages[0].content",
    ),
  ],
)
def test_a_chat_that_cannot_be_as_asked_is_refused(model, change, param):
  with pytest.raises(ApiError) as raised:
    _chat(model, **change)
  assert (raised.value.status, raised.value.param) == (400, param)


@pytest.mark.parametrize(
  "change,param",
  [
    ({"prompt": []}, "prompt"),
    ({"prompt": [1, 999]}, "prompt"),
    ({"prompt": ["x"] * 2049}, "prompt"),
    ({"prompt": [1, True]}, "prompt"),
    ({"prompt": [[1], "x"], "suffix": "y"}, "suffix"),
    ({"prompt": {"a": 1}}, "prompt"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"logprobs": True}, "logprobs"),
    ({"echo": True, "logprobs": 0, "stream": True}, "stream"),
    ({"best_of": 3}, "best_of"),
  ],
)
def test_a_completion_that_cannot_be_as_asked_is_refused(model, change, param):
  with pytest.raises(ApiError) as raised:
    _completion(model, **{"prompt": "word"} | change)
  assert (raised.value.status, raised.value.param) == (400, param)
