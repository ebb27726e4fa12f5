# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.data.train_tokenizer."""

import pytest

from ramjax.data import tokenizers, train_tokenizer


def test_training_is_deterministic_and_keeps_text(tmp_path, conftest_module):
  for name in ("a", "b"):
    train_tokenizer.train_sentencepiece(
      iter(conftest_module.CORPUS), path=tmp_path / name, vocab_size=400
    )
  assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
  assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
  tokenizer = tokenizers.load_tokenizer(tmp_path / "a")
  assert tokenizer.vocab_size == 400
  assert (tokenizer.bos_id, tokenizer.eos_id) == (1, 2)
  assert tokenizer.special_id("<pad>") == 3
  # Digits are split: four digits, four tokens.
  assert len(tokenizer.encode("1234", at_start=True)) == 4


def test_indentation_is_one_token(tmp_path):
  path = tmp_path / "tok.model"
  train_tokenizer.train_sentencepiece(
    ["if x:\n    y\n    z\n"] * 9, path=path, vocab_size=272
  )
  tokenizer = tokenizers.load_tokenizer(path)
  assert len(tokenizer.encode("    ", at_start=False)) == 1


def test_unigram_training(tmp_path, conftest_module):
  path = tmp_path / "tok.model"
  train_tokenizer.train_sentencepiece(
    conftest_module.CORPUS, path=path, vocab_size=360, model_type="unigram"
  )
  tokenizer = tokenizers.load_tokenizer(path)
  ids = tokenizer.encode("Hello\n  there é </s>", at_start=True)
  assert tokenizer.decode(ids) == "Hello\n  there é </s>"


def test_very_long_texts_are_learned_from(tmp_path):
  # Far beyond sentencepiece's own limit of 4,192 bytes a sentence.
  text = "x" * 9000 + " " + "zyxw " * 20_000
  assert "".join(train_tokenizer._chunks([text])) == text
  assert max(map(len, train_tokenizer._chunks([text]))) == 4096
  path = tmp_path / "tok.model"
  train_tokenizer.train_sentencepiece([text], path=path, vocab_size=275)
  tokenizer = tokenizers.load_tokenizer(path)
  assert len(tokenizer.encode(" zyxw", at_start=False)) == 1


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"vocab_size": 260}, "vocab_size=260 must be above 260"),
    ({"vocab_size": 262}, "vocab_size=262 cannot hold .* at least 264"),
    ({"vocab_size": 4000}, r"vocab_size=4000 is more than .* at most \d+"),
    ({"model_type": "word"}, "'bpe' or 'unigram'"),
    ({"character_coverage": 0.0}, "character_coverage=0.0"),
    ({"texts": []}, "no text"),
    ({"texts": ["", ""]}, "no text"),
  ],
)
def test_refused_training(tmp_path, changes, message):
  settings = {"texts": ["abcd" * 9], "vocab_size": 266} | changes
  texts = settings.pop("texts")
  with pytest.raises(ValueError, match=message):
    train_tokenizer.train_sentencepiece(
      texts, path=tmp_path / "tok.model", **settings
    )
  assert not list(tmp_path.iterdir())


def test_missing_folder_is_refused_before_training(tmp_path):
  with pytest.raises(FileNotFoundError, match="does not exist"):
    train_tokenizer.train_sentencepiece(
      ["abc"], path=tmp_path / "no" / "tok.model", vocab_size=300
    )
