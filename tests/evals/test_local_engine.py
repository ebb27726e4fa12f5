# SPDX-License-Identifier: Apache-2.0
"""The engine of this process: what ends an answer, and what is its text."""

import dataclasses

import numpy as np
import pytest
import tiny_groups

from ramjax.data.rows import Message
from ramjax.data.tokenize_rows import tokenize_prompt
from ramjax.data.tokenizers import load_tokenizer
from ramjax.data.train_tokenizer import train_sentencepiece
from ramjax.evals.engine import ChatRequest
from ramjax.evals.local_engine import LocalEngine
from ramjax.models.config import LlamaConfig
from ramjax.models.sampler import Sample
from ramjax.models.sampling_options import SamplingOptions

_CONFIG = LlamaConfig(
  vocab_size=320,
  width=16,
  mlp_width=32,
  num_layers=1,
  num_heads=2,
  num_kv_heads=1,
  head_dim=8,
)
_OPTIONS = SamplingOptions(max_tokens=24)
_ASKED = (Message("user", "say these words"),)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  path = tmp_path_factory.mktemp("tokenizer") / "t.model"
  train_sentencepiece(["say these words again " * 9], path=path, vocab_size=290)
  return load_tokenizer(path)


@pytest.fixture(scope="module")
def params():
  return tiny_groups.params(_CONFIG)


@pytest.fixture
def engine(tokenizer, params):
  return LocalEngine(
    params, _CONFIG, tokenizer=tokenizer, template="plain", num_slots=4
  )


def _sample(tokens, finished=True):
  tokens = np.asarray(tokens, np.int32)
  logps = -np.arange(len(tokens), dtype=np.float32)
  return Sample(tokens, logps, 2 * logps, finished)


def _completed(engine, tokens, **fields):
  request = ChatRequest(_ASKED, _OPTIONS, **fields)
  return engine.to_completion(request, _sample(tokens))


def _cut(engine, tokens, *stop):
  cut = engine.to_request(ChatRequest(_ASKED, _OPTIONS, stop=stop)).cut
  return cut(np.asarray(tokens, np.int32))


def test_a_request_ends_at_the_turn_and_at_what_was_asked_for(
  engine, tokenizer
):
  eos = tokenizer.eos_id
  options = SamplingOptions(temperature=0.5, stop_tokens=(7, eos, 9))
  request = engine.to_request(ChatRequest(_ASKED, options, seed=5))
  # Each once, the template's first; the rest is as it was.
  assert request.options == dataclasses.replace(
    options, stop_tokens=(eos, 7, 9)
  )
  assert request.seed == 5 and request.cut is None
  expected = tokenize_prompt(_ASKED, template="plain", tokenizer=tokenizer)
  np.testing.assert_array_equal(request.prompt, expected)


def test_too_many_ends_are_refused_with_the_turns_counted(engine):
  options = SamplingOptions(stop_tokens=tuple(range(10, 18)))
  with pytest.raises(ValueError, match="stop_tokens has 9 ids"):
    engine.to_request(ChatRequest(_ASKED, options))


def test_an_empty_stop_text_is_refused(engine):
  with pytest.raises(ValueError, match="stop has an empty text"):
    engine.to_request(ChatRequest(_ASKED, _OPTIONS, stop=("x", "")))


def test_the_token_that_ends_a_turn_is_counted_and_not_shown(engine, tokenizer):
  ids = tokenizer.encode("these words", at_start=True)
  answer = _completed(engine, [*ids, tokenizer.eos_id])
  assert answer.text == "these words"
  assert answer.finished and answer.num_tokens == len(ids) + 1
  assert answer.tokens is not None and answer.tokens[-1] == tokenizer.eos_id
  np.testing.assert_array_equal(answer.logps, -np.arange(len(ids) + 1))
  np.testing.assert_array_equal(
    answer.drawn_logps,
    -2.0 * answer.tokens.size + 2.0 * np.arange(len(ids) + 1, 0, -1),
  )


def test_a_stop_token_that_has_text_is_not_shown(engine, tokenizer):
  ids = tokenizer.encode("these words", at_start=True)
  options = SamplingOptions(stop_tokens=(ids[-1],))
  request = ChatRequest(_ASKED, options)
  shown = engine.to_completion(request, _sample(ids)).text
  assert shown == tokenizer.decode(ids[:-1]).strip() != "these words"
  # In the middle it is text like any other.
  twice = [*ids, *tokenizer.encode(" again", at_start=False)]
  assert (
    engine.to_completion(request, _sample(twice)).text == "these words again"
  )


def test_white_space_around_an_answer_is_not_shown(engine, tokenizer):
  ids = tokenizer.encode(" \n these  words \n\n", at_start=False)
  assert _completed(engine, ids).text == "these  words"


def test_nothing_but_the_end_is_an_empty_answer(engine, tokenizer):
  answer = _completed(engine, [tokenizer.eos_id])
  assert answer.text == "" and answer.num_tokens == 1


def test_a_stop_text_may_begin_and_end_inside_a_token(engine, tokenizer):
  ids = tokenizer.encode("say these words again", at_start=True)
  # No token of its own.
  stop = "ese wo"
  pieces = [tokenizer.decode([id_]) for id_ in ids]
  assert stop not in pieces
  kept = _cut(engine, ids, stop)
  assert stop in tokenizer.decode(ids[:kept])
  assert stop not in tokenizer.decode(ids[: kept - 1])
  answer = _completed(engine, ids[:kept], stop=(stop,))
  assert answer.text == "say th" and answer.num_tokens == kept


def test_of_several_stop_texts_the_first_in_the_answer_counts(
  engine, tokenizer
):
  ids = tokenizer.encode("say these words again", at_start=True)
  stops = ("again", "words", "wor", "nowhere")
  kept = _cut(engine, ids, *stops)
  # The fewest tokens that hold any of them, however many were seen.
  for seen in range(kept, len(ids) + 1):
    assert _cut(engine, ids[:seen], *stops) == kept
  for seen in range(1, kept):
    assert _cut(engine, ids[:seen], *stops) is None
  assert "wor" in tokenizer.decode(ids[:kept])
  assert "wor" not in tokenizer.decode(ids[: kept - 1])
  assert _completed(engine, ids[:kept], stop=stops).text == "say these"


def test_a_stop_text_of_bytes_waits_for_the_last_of_them(engine, tokenizer):
  # Characters that the tokenizer has not: several tokens each.
  ids = tokenizer.encode("say \u2603 again", at_start=True)
  assert tokenizer.decode(ids) == "say \u2603 again"
  kept = _cut(engine, ids, "\u2603")
  assert tokenizer.decode(ids[:kept]).endswith("\u2603")
  assert "\ufffd" in tokenizer.decode(ids[: kept - 1])
  assert _completed(engine, ids[:kept], stop=("\u2603",)).text == "say"


def test_a_stop_text_at_the_start_leaves_nothing(engine, tokenizer):
  ids = tokenizer.encode("words again", at_start=True)
  kept = _cut(engine, ids, "w")
  answer = _completed(engine, ids[:kept], stop=("w",))
  assert answer.text == "" and answer.finished


def test_a_special_token_is_no_stop_text(engine, tokenizer):
  ids = tokenizer.encode("say", at_start=True)
  assert _cut(engine, [*ids, tokenizer.eos_id], "</s>") is None


def _requests(**fields):
  return [
    ChatRequest(
      (Message("user", "words " * (i + 1)),), _OPTIONS, seed=i, **fields
    )
    for i in range(6)
  ]


def test_answers_come_in_order_with_what_they_took(engine, tokenizer):
  told = []
  answers = engine.complete(_requests(), progress=told.append)
  assert sorted(told) == sorted(answer.num_tokens for answer in answers)
  for request, answer in zip(_requests(), answers, strict=True):
    (alone,) = engine.complete([request])
    assert alone.text == answer.text
    np.testing.assert_array_equal(alone.tokens, answer.tokens)
    # The model's vocabulary is padded: what it draws can be decoded.
    assert answer.tokens is not None and answer.logps is not None
    assert answer.tokens.max() < tokenizer.vocab_size
    assert len(answer.logps) == answer.num_tokens
    assert answer.finished == (
      answer.num_tokens < 24 or answer.tokens[-1] == tokenizer.eos_id
    )


def test_a_stop_text_ends_what_the_model_says(engine):
  whole = engine.complete(_requests())
  # A character in the middle of an answer.
  stop = whole[0].text[len(whole[0].text) // 2]
  answers = engine.complete(_requests(stop=(stop,)))
  for before, after in zip(whole, answers, strict=True):
    assert after.text == before.text.split(stop)[0].strip()
    assert after.num_tokens <= before.num_tokens
    if stop in before.text:
      assert after.finished
  assert answers[0].num_tokens < whole[0].num_tokens
