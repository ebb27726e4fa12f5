# SPDX-License-Identifier: Apache-2.0
"""Answers as text: the same alone or in a batch, cut at the end of turn."""

import numpy as np
import pytest
import tiny_groups

from ramjax.data.rows import Message
from ramjax.data.tokenize_rows import tokenize_prompt
from ramjax.data.tokenizers import load_tokenizer
from ramjax.data.train_tokenizer import train_sentencepiece
from ramjax.evals.responses import make_responder
from ramjax.models import sampler
from ramjax.models.config import LlamaConfig

# Of the shapes of test_local_engine.py, whose programs these are.
_CONFIG = LlamaConfig(
  vocab_size=320,
  width=16,
  mlp_width=32,
  num_layers=1,
  num_heads=2,
  num_kv_heads=1,
  head_dim=8,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  path = tmp_path_factory.mktemp("tokenizer") / "t.model"
  train_sentencepiece(["say these words again " * 9], path=path, vocab_size=290)
  return load_tokenizer(path)


def _prompts(num):
  return [[Message("user", "words " * (i + 1))] for i in range(num)]


def _respond(tokenizer, params, prompts, batch_size):
  respond = make_responder(
    _CONFIG,
    tokenizer=tokenizer,
    template="plain",
    max_new_tokens=24,
    batch_size=batch_size,
  )
  return respond(params, prompts)


def test_one_answer_a_prompt_whatever_the_batch(tokenizer):
  params = tiny_groups.params(_CONFIG)
  alone = _respond(tokenizer, params, _prompts(5), batch_size=1)
  together = _respond(tokenizer, params, _prompts(5), batch_size=4)
  assert alone == together and len(alone) == 5
  assert any(alone)


def test_an_answer_is_asked_for_greedily_and_cut_at_the_end_of_turn(
  tokenizer, monkeypatch
):
  ids = tokenizer.encode("say these words again", at_start=True)
  asked = []

  def sample(params, config, requests, **_):
    asked.extend(requests)
    tokens = np.array([*ids, tokenizer.eos_id], np.int32)
    zeros = np.zeros(len(tokens), np.float32)
    return [sampler.Sample(tokens, zeros, zeros, True) for _ in requests]

  monkeypatch.setattr(sampler, "sample", sample)
  answers = _respond(tokenizer, None, _prompts(1), batch_size=2)
  assert answers == [tokenizer.decode(ids)]
  (request,) = asked
  assert request.options.stop_tokens == (tokenizer.eos_id,)
  assert request.options.temperature == 0
  assert request.options.max_tokens == 24
  expected = tokenize_prompt(
    _prompts(1)[0], template="plain", tokenizer=tokenizer
  )
  np.testing.assert_array_equal(request.prompt, expected)
