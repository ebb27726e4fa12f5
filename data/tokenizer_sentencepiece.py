# SPDX-License-Identifier: Apache-2.0
"""Reads a sentencepiece model, as Llama 2 has."""

import pathlib
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from ramjax.data.tokenizer_backend import (
  SPECIAL_SHAPE,
  Backend,
  Prefix,
  check_vocab_size,
)


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
  """The (number, value) pairs of a serialized protobuf message.

  The sentencepiece package exposes neither the model type nor the normaliser's
  flags, and its generated protobuf module needs a protobuf as new as itself.
  https://protobuf.dev/programming-guides/encoding/
  """

  def varint(at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
      byte = message[at]
      value |= (byte & 127) << shift
      at, shift = at + 1, shift + 7
      if byte < 128:
        return value, at

  at = 0
  while at < len(message):
    key, at = varint(at)
    if key & 7 == 0:
      value, at = varint(at)
    else:
      length, at = varint(at) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], at)
      value, at = message[at : at + length], at + length
    yield key >> 3, value


# Numbers of fields and values in sentencepiece_model.proto.
_PIECES, _TRAINER_SPEC, _NORMALIZER_SPEC = 1, 2, 3
_PIECE, _SCORE, _PIECE_TYPE = 1, 2, 3
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_MODEL_TYPE, _WHITESPACE_AS_SUFFIX = 3, 24
_CHARSMAP, _ADD_DUMMY_PREFIX, _REMOVE_EXTRA_WHITESPACES = 2, 3, 4
_MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


def load(path: pathlib.Path, data: bytes) -> Backend:
  """Loads the bytes of a sentencepiece model.

  Args:
    path: Where they came from, for messages.
    data: The bytes.

  Returns:
    The tokenizer.

  Raises:
    ValueError: Not such a model, or one of a kind that is not read.
  """
  import sentencepiece

  try:
    # A later occurrence of a sub-message is merged over an earlier one, so
    # these bytes set normalizer_spec.add_dummy_prefix to false.
    off = bytes([_NORMALIZER_SPEC << 3 | 2, 2, _ADD_DUMMY_PREFIX << 3, 0])
    processor = sentencepiece.SentencePieceProcessor(model_proto=data + off)
    trainer, normalizer, user_defined = _parse(data)
  except (RuntimeError, IndexError, KeyError, UnicodeDecodeError) as error:
    raise ValueError(
      f"{path} is not a sentencepiece model. (Llama 3's tokenizer.model is a"
      " tiktoken file: use the tokenizer.json that comes with it.)"
    ) from error
  _check_specs(path, trainer, normalizer)
  vocab_size = processor.vocab_size()
  check_vocab_size(path, vocab_size)
  try:
    pieces = [processor.id_to_piece(id_) for id_ in range(vocab_size)]
  except UnicodeDecodeError as error:
    raise ValueError(f"{path} has a piece that is not UTF-8.") from error
  specials = {
    piece: id_ for id_, piece in enumerate(pieces) if processor.is_control(id_)
  }
  for piece in user_defined:
    if SPECIAL_SHAPE.fullmatch(piece):
      specials[piece] = processor.piece_to_id(piece)

  def name(id_: int) -> str | None:
    return processor.id_to_piece(id_) if id_ >= 0 else None

  return Backend(
    encode=processor.encode,
    decode=processor.decode,
    vocab_size=vocab_size,
    specials=specials,
    bos=name(processor.bos_id()),
    eos=name(processor.eos_id()),
    unk_id=processor.unk_id(),
    prefix=Prefix(" " if normalizer.get(_ADD_DUMMY_PREFIX, 1) else ""),
  )


class Piece(NamedTuple):
  """One entry of a vocabulary, whose id is its place.

  Attributes:
    text: What it stands for, spaces as "▁".
    score: In BPE, minus its rank: the pair of the highest score is merged.
    kind: "normal", "unknown", "control", "user_defined", "unused" or "byte".
  """

  text: str
  score: float
  kind: str


_KINDS = {
  _NORMAL: "normal",
  _UNKNOWN: "unknown",
  _CONTROL: "control",
  _USER_DEFINED: "user_defined",
  _UNUSED: "unused",
  _BYTE: "byte",
}


class Model(NamedTuple):
  """What another library needs to encode as a sentencepiece model does.

  Attributes:
    model_type: "bpe" or "unigram".
    pieces: The vocabulary, in the order of ids.
    adds_prefix: Whether a space is put before every text.
  """

  model_type: str
  pieces: list[Piece]
  adds_prefix: bool


def read_model(path: pathlib.Path, data: bytes) -> Model:
  """Reads the bytes of a model that `load` accepts.

  Args:
    path: Where they came from, for messages.
    data: The bytes.

  Returns:
    Its content.

  Raises:
    ValueError: As for `load`.
  """
  load(path, data)
  trainer, normalizer, _ = _parse(data)
  pieces = []
  for number, value in _fields(data):
    if number != _PIECES:
      continue
    try:
      piece = dict(_fields(value))
      (score,) = struct.unpack("<f", piece.get(_SCORE, bytes(4)))
      kind = _KINDS[piece.get(_PIECE_TYPE, _NORMAL)]
      pieces.append(Piece(piece[_PIECE].decode(), score, kind))
    except (
      AttributeError,
      LookupError,
      TypeError,
      UnicodeDecodeError,
      struct.error,
    ) as error:
      raise ValueError(
        f"{path}: piece {len(pieces)} has no text in UTF-8, or a score or a"
        " kind of another sort than sentencepiece writes. Use the tokenizer of"
        " the model's original publisher."
      ) from error
  return Model(
    model_type=_MODEL_TYPES[trainer.get(_MODEL_TYPE, 1)],
    pieces=pieces,
    adds_prefix=bool(normalizer.get(_ADD_DUMMY_PREFIX, 1)),
  )


def _parse(
  data: bytes,
) -> tuple[dict[int, Any], dict[int, Any], list[str]]:
  """The trainer's fields, the normaliser's, and the user-defined symbols."""
  specs: dict[int, dict[int, Any]] = {_TRAINER_SPEC: {}, _NORMALIZER_SPEC: {}}
  user_defined = []
  marked = bytes([_PIECE_TYPE << 3, _USER_DEFINED])
  for number, value in _fields(data):
    if not isinstance(value, bytes):
      continue
    if number in specs:
      specs[number].update(_fields(value))
    elif number == _PIECES and marked in value:
      piece = dict(_fields(value))
      if piece.get(_PIECE_TYPE) == _USER_DEFINED:
        user_defined.append(piece[_PIECE].decode())
  return specs[_TRAINER_SPEC], specs[_NORMALIZER_SPEC], user_defined


def _check_specs(
  path: pathlib.Path, trainer: dict[int, Any], normalizer: dict[int, Any]
) -> None:
  """Refuses models that lose text, or that no Llama model uses."""
  model_type = _MODEL_TYPES.get(trainer.get(_MODEL_TYPE, 1), "unknown")
  if model_type not in ("unigram", "bpe"):
    raise ValueError(
      f"{path} is a sentencepiece model of model_type={model_type!r}; only"
      " 'bpe' and 'unigram' are read."
    )
  if normalizer.get(_REMOVE_EXTRA_WHITESPACES, 1):
    raise ValueError(
      f"{path} was trained with remove_extra_whitespaces=True, so it cannot"
      " tell ' answer' from 'answer', nor keep indentation. Train one with"
      " `ramjax tokenizer`, which sets it False."
    )
  if normalizer.get(_CHARSMAP):
    raise ValueError(
      f"{path} rewrites text before encoding it (a normalization rule other"
      " than 'identity'), so text would not survive. Train one with `ramjax"
      " tokenizer`, which keeps text as it is."
    )
  if trainer.get(_WHITESPACE_AS_SUFFIX, 0):
    raise ValueError(
      f"{path} was trained with treat_whitespace_as_suffix=True; only models"
      " that mark the space before a word are read, as Llama's do."
    )
