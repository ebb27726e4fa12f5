# SPDX-License-Identifier: Apache-2.0
"""Makes small tokenizers, and damages or forges their files."""

import json
import pathlib
import random
from collections.abc import Callable, Sequence
from typing import Any

from ramjax.data import train_tokenizer
from ramjax.tools import fuzz_cases
from ramjax.tools.fuzz_cases import Case

_TEXTS = (
  "Hello there, how are you today? I am fine; and you?",
  "User:\nWhat is 2 + 2?\n\nAssistant:\n4.\n",
  "The quick brown fox jumps over the lazy dog, 1234567890 times.",
) * 4
_SPECIALS = ["<unk>", "<s>", "</s>", "<|begin_of_text|>", "<|eot_id|>"]
_REGEXES = ("(a+)+$", "(.*)*x", "(?:a?){50}a{50}", "(", "\\p{L}{1,99999}", "")
_TYPES = (
  *("BertNormalizer", "ByteLevel", "Lowercase", "Metaspace", "NFC", "NFKD"),
  *("Precompiled", "Prepend", "Punctuation", "Replace", "Sequence", "Split"),
  *("Strip", "TemplateProcessing", "UnicodeScripts", "WordPiece", "Nope"),
)

# Fields of a sentencepiece model: pieces, trainer, normaliser, self test,
# denormaliser. https://github.com/google/sentencepiece
_FIELDS = (1, 2, 3, 4, 5, 15)


class Maker:
  """Trains the tokenizers once and makes inputs of them.

  Attributes:
    specs: Each `tokenizer.json`.
    models: The bytes of each sentencepiece model.
  """

  def __init__(self, folder: pathlib.Path):
    folder.mkdir()
    self.specs = [_byte_level(), _spaced()]
    self.models = []
    for model_type in ("bpe", "unigram"):
      path = folder / f"{model_type}.model"
      train_tokenizer.train_sentencepiece(
        _TEXTS, path=path, vocab_size=320, model_type=model_type
      )
      self.models.append(path.read_bytes())

  def make_case(self, rng: random.Random, folder: pathlib.Path) -> Case:
    """Writes a folder whose tokenizer is damaged in one way."""
    if rng.random() < 0.3:
      mutate = rng.choice(_MODEL_MUTATIONS)
      data = mutate(rng, rng.choice(self.models))
      (folder / "tokenizer.model").write_bytes(data)
      return Case(folder, f"model {mutate.__name__[1:]}")
    spec = json.loads(rng.choice(self.specs))
    mutate, refuse = rng.choice(_MUTATIONS)
    text = mutate(rng, spec)
    text = json.dumps(spec).encode() if text is None else text
    (folder / "tokenizer.json").write_bytes(text)
    if rng.random() < 0.3:
      names: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>"}
      if rng.random() < 0.5:
        fuzz_cases.damage_json(rng, names)
      (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return Case(folder, f"json {mutate.__name__[1:]}", refuse)


def _byte_level() -> str:
  """Byte-level BPE, as Llama 3 has."""
  import tokenizers
  from tokenizers import decoders, models, pre_tokenizers, trainers

  tokenizer = tokenizers.Tokenizer(models.BPE())
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.decoder = decoders.ByteLevel()
  trainer = trainers.BpeTrainer(
    vocab_size=300,
    special_tokens=_SPECIALS,
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
  )
  tokenizer.train_from_iterator(_TEXTS, trainer)
  return tokenizer.to_str()


def _spaced() -> str:
  """Unigram pieces with a mark for spaces, as converted Llama 2 has."""
  import tokenizers
  from tokenizers import decoders, models, normalizers, trainers

  tokenizer = tokenizers.Tokenizer(models.Unigram())
  tokenizer.normalizer = normalizers.Sequence(
    [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
  )
  tokenizer.decoder = decoders.Sequence(
    [
      decoders.Replace("▁", " "),
      decoders.ByteFallback(),
      decoders.Fuse(),
      decoders.Strip(" ", 1, 0),
    ]
  )
  trainer = trainers.UnigramTrainer(
    vocab_size=100,
    special_tokens=_SPECIALS,
    unk_token="<unk>",
    show_progress=False,
  )
  tokenizer.train_from_iterator(_TEXTS, trainer)
  return tokenizer.to_str()


def _replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
  return {"type": "Replace", "pattern": pattern, "content": content}


def _chained_replaces(rng: random.Random, spec: dict[str, Any]) -> None:
  """Three of them turn a letter into gigabytes."""
  grow = [
    _replace({rng.choice(("String", "String", "Regex")): "l"}, "l" * 2000)
    for _ in range(rng.randint(3, 5))
  ]
  node: Any = {"type": "Sequence", "normalizers": grow}
  if rng.random() < 0.3:
    node = {"type": "Sequence", "normalizers": [node]}
  spec["normalizer"] = node


def _hostile_regex(rng: random.Random, spec: dict[str, Any]) -> None:
  pattern = {"Regex": rng.choice(_REGEXES)}
  split = {"type": "Split", "pattern": pattern, "behavior": "Isolated"}
  if rng.random() < 0.5:
    spec["pre_tokenizer"] = split | {"invert": rng.random() < 0.5}
  else:
    spec["normalizer"] = _replace(pattern, "")


def _huge_ids(rng: random.Random, spec: dict[str, Any]) -> None:
  id_ = rng.choice((2**20, 2**31, 2**32 - 1, 2**32, 2**63, 2**64, 10**400, -1))
  vocab = spec["model"]["vocab"]
  if isinstance(vocab, dict) and rng.random() < 0.5:
    vocab[rng.choice(list(vocab))] = id_
  else:
    rng.choice(spec["added_tokens"])["id"] = id_


def _deep(rng: random.Random, spec: dict[str, Any]) -> bytes:
  depth = rng.choice((20, 120, 500, 900, 990, 5000, 100_000))
  key = rng.choice(("normalizer", "pre_tokenizer", "decoder", "post_processor"))
  children = {"pre_tokenizer": "pretokenizers"}.get(key, f"{key}s")
  opening = f'{{"type":"Sequence","{children}":['
  if rng.random() < 0.3:
    opening, closing = "[", "]"
  else:
    closing = "]}"
  spec[key] = "HERE"
  deep = opening * depth + closing * depth
  return json.dumps(spec).replace('"HERE"', deep).encode()


def _other_component(rng: random.Random, spec: dict[str, Any]) -> None:
  key = rng.choice(("normalizer", "pre_tokenizer", "decoder", "post_processor"))
  node: dict[str, Any] = {"type": rng.choice(_TYPES)}
  if rng.random() < 0.5:
    node |= {"pattern": {"String": rng.choice(("", "l", "▁"))}, "content": "l"}
  if rng.random() < 0.5:
    node |= {"prepend": "▁", "behavior": "Isolated", "invert": False}
    node |= {"replacement": "▁", "prepend_scheme": "always", "split": True}
    node |= {"precompiled_charsmap": "AAAA", "add_prefix_space": True}
  spec[key] = node


def _odd_tokens(rng: random.Random, spec: dict[str, Any]) -> None:
  odd = ["", " ", "l", "\0", "\ud800", "é", "x" * 100_000, "<s>", "▁", "<a>"]
  for token in spec["added_tokens"]:
    if rng.random() < 0.5:
      token["content"] = rng.choice(odd)
      for flag in ("lstrip", "rstrip", "normalized", "single_word", "special"):
        token[flag] = rng.random() < 0.5


def _wrong_types(rng: random.Random, spec: dict[str, Any]) -> None:
  fuzz_cases.damage_json(rng, spec)


def _wrong_model(rng: random.Random, spec: dict[str, Any]) -> None:
  fuzz_cases.damage_json(rng, spec["model"])


def _flip_bytes(rng: random.Random, spec: dict[str, Any]) -> bytes:
  return fuzz_cases.flip_bytes(rng, json.dumps(spec).encode())


def _none(rng: random.Random, spec: dict[str, Any]) -> None:
  """For the files beside it, which may be damaged as well."""
  del rng, spec


# Each with whether to load what it makes would be wrong.
_MUTATIONS: Sequence[
  tuple[Callable[[random.Random, dict[str, Any]], bytes | None], bool]
] = (
  (_chained_replaces, True),
  (_hostile_regex, True),
  (_huge_ids, True),
  (_deep, False),
  (_other_component, False),
  (_odd_tokens, False),
  (_wrong_types, False),
  (_wrong_types, False),
  (_wrong_model, False),
  (_flip_bytes, False),
  (_none, False),
)


def _flip_model(rng: random.Random, data: bytes) -> bytes:
  return fuzz_cases.flip_bytes(rng, data)


def _flip_ends(rng: random.Random, data: bytes) -> bytes:
  """Damages the settings, which come last, or the first pieces."""
  cut = rng.randint(60, 200)
  if rng.random() < 0.3:
    return fuzz_cases.flip_bytes(rng, data[:cut]) + data[cut:]
  return data[:-cut] + fuzz_cases.flip_bytes(rng, data[-cut:])


def _truncated(rng: random.Random, data: bytes) -> bytes:
  return data[: rng.randrange(len(data))]


def _added_field(rng: random.Random, data: bytes) -> bytes:
  """A message may come again: its fields are merged over the first."""
  value = rng.randbytes(rng.randint(0, 40))
  if rng.random() < 0.7:  # A field of its own, with a small number.
    inner = rng.randint(1, 60) << 3
    value = bytes([inner & 127 | 128, inner >> 7, rng.randrange(256) & 127])
  field = rng.choice(_FIELDS) << 3 | 2
  return data + bytes([field, len(value)]) + value


def _long_varint(rng: random.Random, data: bytes) -> bytes:
  return data + b"\x80" * rng.choice((9, 10, 1000, 10**6)) + b"\x01"


def _noise(rng: random.Random, data: bytes) -> bytes:
  return rng.randbytes(rng.randint(0, min(len(data), 500)))


_MODEL_MUTATIONS = (
  *(_flip_model, _flip_ends, _flip_ends, _truncated),
  *(_added_field, _added_field, _long_varint, _noise),
)
