# SPDX-License-Identifier: Apache-2.0
"""Small tokenizers of each kind, trained once a session."""

import importlib.util
import io
import json
import pathlib
import sys

import pytest

from ramjax.data import train_tokenizer

CORPUS = [
  "Hello there, how are you today? I'm fine, thanks; and you?",
  "The quick brown fox jumps over the lazy dog, 1234567890 times.",
  "User:\nWhat is 2 + 2?\n\nAssistant:\n4.\n",
  "Below is an instruction that describes a task.\n\n### Instruction:\n"
  "### Input:\n### Response:[INST] [/INST] <<SYS>> <</SYS>>",
  "def f(x):\n    return x  # two  spaces\n\tand a tab",
  "system user assistant Cutting Knowledge Date: December 2023",
] * 4
LLAMA3_SPECIALS = [
  "<|begin_of_text|>",
  "<|end_of_text|>",
  "<|start_header_id|>",
  "<|end_header_id|>",
  "<|eot_id|>",
]
CHATML_SPECIALS = ["<|im_start|>", "<|im_end|>"]
LLAMA3_WORDS = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
  r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _llama3_json(path: pathlib.Path) -> None:
  """Byte-level BPE with the specials as added tokens, as Llama 3 has."""
  import tokenizers
  from tokenizers import decoders, models, pre_tokenizers, trainers

  tokenizer = tokenizers.Tokenizer(models.BPE(ignore_merges=True))
  tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.Split(tokenizers.Regex(LLAMA3_WORDS), "isolated"),
      pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
  )
  tokenizer.decoder = decoders.ByteLevel()
  alphabet = pre_tokenizers.ByteLevel.alphabet()
  trainer = trainers.BpeTrainer(
    vocab_size=400, initial_alphabet=alphabet, show_progress=False
  )
  tokenizer.train_from_iterator(CORPUS, trainer)
  tokenizer.add_special_tokens(
    [*LLAMA3_SPECIALS, *CHATML_SPECIALS, "<s>", "</s>"]
  )
  tokenizer.save(str(path))


def _llama2_json(path: pathlib.Path) -> None:
  """BPE behind a Prepend normaliser, as the hub's Llama 2 has."""
  import tokenizers
  from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

  tokenizer = tokenizers.Tokenizer(
    models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True)
  )
  tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
  trainer = trainers.BpeTrainer(
    vocab_size=600,
    special_tokens=["<unk>", "<s>", "</s>", *LLAMA3_SPECIALS, *CHATML_SPECIALS]
    + [f"<0x{byte:02X}>" for byte in range(256)],
    show_progress=False,
  )
  tokenizer.train_from_iterator(CORPUS, trainer)
  tokenizer.pre_tokenizer = None
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
  spec = json.loads(tokenizer.to_str())
  spec["added_tokens"] = [
    token
    for token in spec["added_tokens"]
    if not token["content"].startswith("<0x")
  ]
  # The defaults would take Llama 3's names, which this file has as well.
  path.write_text(json.dumps(spec))
  path.with_name("special_tokens_map.json").write_text(
    json.dumps({"bos_token": {"content": "<s>"}, "eos_token": "</s>"})
  )


def train_llama2_model(path: pathlib.Path, **settings) -> None:
  """Sentencepiece BPE with byte fallback and a dummy prefix, as Llama 2 has."""
  import sentencepiece

  model = io.BytesIO()
  defaults = {
    "vocab_size": 420,
    "model_type": "bpe",
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "allow_whitespace_only_pieces": True,
    "split_digits": True,
    "control_symbols": [*LLAMA3_SPECIALS, *CHATML_SPECIALS],
    "num_threads": 1,
    "minloglevel": 2,
  }
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(CORPUS),
    model_writer=model,
    **(defaults | settings),
  )
  path.write_bytes(model.getvalue())


@pytest.fixture(scope="session")
def tokenizer_paths(tmp_path_factory) -> dict[str, pathlib.Path]:
  """Kind: the file. Every kind has the special tokens of every template.

  Except "ours", the one that `ramjax tokenizer` writes: BOS and EOS alone.
  """
  root = tmp_path_factory.mktemp("tokenizers")
  paths = {
    "llama3_json": root / "llama3" / "tokenizer.json",
    "llama2_json": root / "llama2" / "tokenizer.json",
    "llama2_model": root / "llama2_sp" / "tokenizer.model",
    "ours": root / "ours" / "tok.model",
  }
  for path in paths.values():
    path.parent.mkdir()
  _llama3_json(paths["llama3_json"])
  _llama2_json(paths["llama2_json"])
  train_llama2_model(paths["llama2_model"])
  train_tokenizer.train_sentencepiece(
    CORPUS, path=paths["ours"], vocab_size=400
  )
  return paths


@pytest.fixture(scope="session")
def conftest_module():
  """This module, for tests that train tokenizers of their own."""
  return sys.modules[__name__]


@pytest.fixture(scope="session")
def golden_maker():
  """tests/golden/make_template_goldens.py, which is no test module."""
  path = pathlib.Path(__file__).parents[1] / "golden/make_template_goldens.py"
  spec = importlib.util.spec_from_file_location(path.stem, path)
  assert spec is not None and spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module
