# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.data.sentencepiece_json: the same ids for any text."""

import json
import random

import pytest
import tokenizers as library

from ramjax.data import (
  sentencepiece_json,
  tokenizer_sentencepiece,
  tokenizers,
  train_tokenizer,
)

PIECES = (
  *("the", "quick", " fox", "é", "漢", "😀", "12", "  ", " ", "    ", "▁"),
  *("a", "aa", "b", "ab", "x=", "/>", "<0x41>", "ing", "\n", "\t", "\x00"),
  "\u00a0",
)


def both(path, *, bos):
  """Our tokenizer of a model, and the library's of its conversion."""
  data = path.read_bytes()
  model = tokenizer_sentencepiece.read_model(path, data)
  spec = sentencepiece_json.convert(model, bos=bos)
  theirs = library.Tokenizer.from_str(json.dumps(spec))  # pyright: ignore
  return tokenizers.load_tokenizer(path), theirs


@pytest.mark.parametrize("kind", ["ours", "llama2_model"])
def test_random_texts_get_the_same_ids(tokenizer_paths, kind):
  ours, theirs = both(tokenizer_paths[kind], bos="<s>")
  rng = random.Random(0)
  for _ in range(3000):
    text = "".join(rng.choices(PIECES, k=rng.randint(1, 20)))
    ids = [ours.bos_id, *ours.encode(text, at_start=True)]
    assert theirs.encode(text).ids == ids
    assert theirs.decode(ids) == text.replace("▁", " ")


def test_runs_of_one_letter_are_divided_alike(tmp_path):
  # Pieces that many different pairs make: what ties there could be.
  rng = random.Random(0)
  runs = [letter * n for letter in "a " for n in range(1, 30)]
  texts = ["".join(rng.choices("ab ", k=rng.randint(3, 60))) for _ in range(99)]
  path = tmp_path / "tok.model"
  train_tokenizer.train_sentencepiece(runs + texts, path=path, vocab_size=400)
  ours, theirs = both(path, bos=None)
  for _ in range(3000):
    weights = [rng.randint(1, 9) for _ in range(3)]
    text = "".join(rng.choices("ab ", weights, k=rng.randint(1, 60)))
    assert theirs.encode(text).ids == ours.encode(text, at_start=True)


def test_every_id_and_kind_is_kept(tmp_path, conftest_module):
  path = tmp_path / "tokenizer.model"
  conftest_module.train_llama2_model(
    path, user_defined_symbols=["==>", "b x", "c▁x"], add_dummy_prefix=False
  )
  model = tokenizer_sentencepiece.read_model(path, path.read_bytes())
  assert model.model_type == "bpe" and not model.adds_prefix
  assert [piece.kind for piece in model.pieces[:3]] == [
    "unknown",
    "control",
    "control",
  ]
  spec = sentencepiece_json.convert(model, bos=None)
  assert spec["post_processor"] is None
  assert list(spec["model"]["vocab"]) == [piece.text for piece in model.pieces]
  added = {token["content"]: token for token in spec["added_tokens"]}
  assert added["<s>"]["special"] and not added["==>"]["special"]
  ours, theirs = both(path, bos=None)
  for text in ("==>", "a==>b", " ==> b x c x"):
    ids = ours.encode(text, at_start=False)
    assert theirs.encode(text).ids == ids
    assert {theirs.token_to_id("==>")} <= set(ids)


def test_refused_models(tmp_path, conftest_module):
  path = tmp_path / "tok.model"
  train_tokenizer.train_sentencepiece(
    conftest_module.CORPUS, path=path, vocab_size=360, model_type="unigram"
  )
  with pytest.raises(ValueError, match="model_type='unigram'; only 'bpe'"):
    both(path, bos=None)
  conftest_module.train_llama2_model(path, byte_fallback=False, vocab_size=120)
  with pytest.raises(ValueError, match="has 0 byte pieces"):
    both(path, bos=None)
  conftest_module.train_llama2_model(path, user_defined_symbols=["==>"])
  with pytest.raises(ValueError, match="user-defined symbols and adds"):
    both(path, bos=None)
