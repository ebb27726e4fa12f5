# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.data.tokenizer_sentencepiece."""

import pytest

from ramjax.data import tokenizer_sentencepiece, tokenizers
from ramjax.data.tokenizer_sentencepiece import Piece


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"remove_extra_whitespaces": True}, "remove_extra_whitespaces=True"),
    ({"normalization_rule_name": "nmt_nfkc"}, "rewrites text"),
    ({"treat_whitespace_as_suffix": True}, "whitespace_as_suffix=True"),
    (
      {"model_type": "char", "byte_fallback": False, "vocab_size": 60},
      "model_type='char'",
    ),
  ],
)
def test_refused_models(tmp_path, conftest_module, settings, message):
  path = tmp_path / "tokenizer.model"
  conftest_module.train_llama2_model(path, **settings)
  with pytest.raises(ValueError, match=message):
    tokenizers.load_tokenizer(path)


@pytest.mark.parametrize(
  "data", [b"", b"\x00", b"IQ== 0\nIg== 1\n", b"\xff" * 9]
)
def test_damaged_model_is_refused(tmp_path, data):
  path = tmp_path / "tokenizer.model"
  path.write_bytes(data)
  with pytest.raises(ValueError, match=r"not a sentencepiece model.*tiktoken"):
    tokenizers.load_tokenizer(path)


def test_user_defined_symbols_of_special_shape_stay_text(
  tmp_path, conftest_module
):
  path = tmp_path / "tokenizer.model"
  conftest_module.train_llama2_model(
    path, user_defined_symbols=["<tool>", "==>"]
  )
  tokenizer = tokenizers.load_tokenizer(path)
  tool = tokenizer.special_id("<tool>")
  ids = tokenizer.encode("a<tool>==>b", at_start=False)
  assert tool not in ids
  assert tokenizer.decode(ids) == "a<tool>==>b"
  # An arrow is ordinary text, and stays the one token it was made.
  assert len(tokenizer.encode("==>", at_start=False)) == 1


def test_a_piece_that_is_not_utf8_is_refused(tokenizer_paths, tmp_path):
  data = tokenizer_paths["llama2_model"].read_bytes()
  # The piece "e": a field of one byte, and then its score.
  damaged = data.replace(b"\n\x01e\x15", b"\n\x01\xff\x15")
  assert damaged != data
  path = tmp_path / "tok.model"
  path.write_bytes(damaged)
  with pytest.raises(ValueError, match=r"tok\.model"):
    tokenizers.load_tokenizer(path)


def test_model_is_read_piece_by_piece(tokenizer_paths):
  path = tokenizer_paths["ours"]
  model = tokenizer_sentencepiece.read_model(path, path.read_bytes())
  assert (model.model_type, model.adds_prefix) == ("bpe", False)
  assert len(model.pieces) == 400
  assert model.pieces[0] == Piece("<unk>", 0.0, "unknown")
  assert model.pieces[3] == Piece("<pad>", 0.0, "control")
  assert model.pieces[4 + 0x41] == Piece("<0x41>", 0.0, "byte")
  # A rank for every other, the next one lower.
  scores = [piece.score for piece in model.pieces[260:]]
  assert scores == [-float(rank) for rank in range(140)]


@pytest.mark.parametrize(
  "piece",
  [
    b"\x0a\x01a\x10\x07",  # Its score a whole number.
    b"\x0a\x01a\x18\x63",  # Its kind 99.
    b"\x08\x01",  # Its text a whole number.
    b"\x10\x01",  # No text.
    b"\x0a\x01\xff",  # Text that is not UTF-8.
    b"\x0a",  # Cut off.
  ],
)
def test_damaged_piece_is_refused(tokenizer_paths, piece):
  path = tokenizer_paths["ours"]
  data = path.read_bytes() + bytes([0x0A, len(piece)]) + piece
  with pytest.raises(ValueError, match=r"tok\.model"):
    tokenizer_sentencepiece.read_model(path, data)
