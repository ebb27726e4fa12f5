# SPDX-License-Identifier: Apache-2.0
"""Writes a sentencepiece BPE model as the `tokenizer.json` that encodes alike.

Most serving tools read `tokenizer.json` and no sentencepiece model, and those
that convert one themselves assume Llama 2's settings, which a tokenizer trained
here does not have: it puts no space before a text.
"""

from typing import Any

from ramjax.data.tokenizer_sentencepiece import Model, Piece


def convert(model: Model, *, bos: str | None) -> dict[str, Any]:
  """The content of `tokenizer.json` for a sentencepiece BPE model.

  Args:
    model: The model.
    bos: The name of the token put before every text, or None for none.

  Returns:
    What is to be written as JSON. Its ids are those of the model for every
    text without the names of special tokens.

  Raises:
    ValueError: A unigram model, one without a piece for each byte, or one that
      has user-defined symbols and puts a space before a text.
  """
  if model.model_type != "bpe":
    raise ValueError(
      f"the sentencepiece model has model_type={model.model_type!r}; only"
      " 'bpe' is converted to tokenizer.json: unigram models break ties by"
      " rounding, so the two would not always agree."
    )
  ids = {piece.text: id_ for id_, piece in enumerate(model.pieces)}
  num_bytes = sum(piece.kind == "byte" for piece in model.pieces)
  if num_bytes != 256 or len(ids) != len(model.pieces):
    raise ValueError(
      f"the sentencepiece model has {num_bytes} byte pieces, and"
      f" {len(ids):,} different ones of {len(model.pieces):,}; it is converted"
      " to tokenizer.json only with 256 bytes, and no piece twice."
    )
  if model.adds_prefix and any(p.kind == "user_defined" for p in model.pieces):
    raise ValueError(
      "the sentencepiece model has user-defined symbols and adds a dummy prefix;"
      " it is not converted to tokenizer.json, which would add the space after"
      " each of those symbols, too."
    )
  unknown = next(p.text for p in model.pieces if p.kind == "unknown")
  replace = {
    "type": "Replace",
    "pattern": {"String": " "},
    "content": "▁",
  }
  prepend = {"type": "Prepend", "prepend": "▁"}
  decoders: list[dict[str, Any]] = [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
  ]
  if model.adds_prefix:
    decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
  return {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [
      _added(id_, piece)
      for id_, piece in enumerate(model.pieces)
      if piece.kind in ("unknown", "control", "user_defined")
      # Matched against text whose spaces are "▁", this one never is.
      and " " not in piece.text
    ],
    "normalizer": {
      "type": "Sequence",
      "normalizers": [prepend, replace] if model.adds_prefix else [replace],
    },
    "pre_tokenizer": None,
    "post_processor": starts_with(bos, ids[bos]) if bos else None,
    "decoder": {"type": "Sequence", "decoders": decoders},
    "model": {
      "type": "BPE",
      "dropout": None,
      "unk_token": unknown,
      "continuing_subword_prefix": None,
      "end_of_word_suffix": None,
      "fuse_unk": True,
      "byte_fallback": True,
      "ignore_merges": False,
      "vocab": ids,
      "merges": _merges(model.pieces),
    },
  }


def starts_with(token: str, id_: int) -> dict[str, Any]:
  """The post-processor that puts a token before every text."""
  special = {"SpecialToken": {"id": token, "type_id": 0}}
  return {
    "type": "TemplateProcessing",
    "single": [special, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [
      special,
      {"Sequence": {"id": "A", "type_id": 0}},
      {"SpecialToken": {"id": token, "type_id": 1}},
      {"Sequence": {"id": "B", "type_id": 1}},
    ],
    "special_tokens": {token: {"id": token, "ids": [id_], "tokens": [token]}},
  }


def _added(id_: int, piece: Piece) -> dict[str, Any]:
  return {
    "id": id_,
    "content": piece.text,
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    # Its spaces are "▁", which text has once it is normalised.
    "normalized": piece.kind == "user_defined",
    "special": piece.kind != "user_defined",
  }


def _merges(pieces: list[Piece]) -> list[list[str]]:
  """Every pair of pieces that makes a piece, the first to merge first.

  Sentencepiece merges the neighbours whose joint piece has the highest score,
  however they divide it; tokenizer.json ranks the pairs themselves.
  """
  ids = {p.text: id_ for id_, p in enumerate(pieces) if p.kind == "normal"}
  merges = []
  for text, id_ in ids.items():
    for cut in range(1, len(text)):
      left, right = text[:cut], text[cut:]
      if left in ids and right in ids:
        order = (-pieces[id_].score, id_, cut)
        merges.append((order, [left, right]))
  return [pair for _, pair in sorted(merges)]
