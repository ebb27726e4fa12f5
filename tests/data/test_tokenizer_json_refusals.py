# SPDX-License-Identifier: Apache-2.0
"""Refusals of ramjax.data.tokenizer_json: what a stranger's file may not do."""

import json

import pytest

from ramjax.data import tokenizers


def rewritten(path, tmp_path, **changes):
  """The tokenizer.json at `path` with top-level entries changed."""
  spec = json.loads(path.read_text())
  spec["model"].update(changes.pop("model", {}))
  spec.update(changes)
  (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
  return tmp_path / "tokenizer.json"


def replace(pattern, content):
  return {"type": "Replace", "pattern": pattern, "content": content}


def split(pattern):
  return {
    "type": "Split",
    "pattern": pattern,
    "behavior": "Isolated",
    "invert": False,
  }


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"normalizer": {"type": "Precompiled", "precompiled_charsmap": ""}},
      "normalizer has a component of type 'Precompiled'",
    ),
    (
      {"normalizer": {"type": "Sequence", "normalizers": ["NFC"]}},
      "component of type None",
    ),
    (
      {"normalizer": replace({"String": "a"}, "aaaaaaaa")},
      "must be no longer",
    ),
    ({"normalizer": replace({"String": ""}, "a")}, "must be no longer"),
    ({"normalizer": replace({"Regex": "(a+)+"}, "")}, "plain text"),
    ({"normalizer": {"type": "Prepend", "prepend": "<s>"}}, "only one '▁'"),
    (
      {
        "normalizer": {
          "type": "Sequence",
          "normalizers": [{"type": "Prepend", "prepend": "▁"}] * 2,
        }
      },
      "only one '▁'",
    ),
    (
      {"pre_tokenizer": {"type": "BertPreTokenizer"}},
      "pre_tokenizer has a component of type 'BertPreTokenizer'",
    ),
    ({"pre_tokenizer": split({"Regex": "(a|a)+b"})}, "Llama 3 and Qwen2"),
    (
      {
        "pre_tokenizer": {
          "type": "Sequence",
          "pretokenizers": [
            split({"String": "x"}),
            {"type": "ByteLevel"},
          ],
        }
      },
      "may only come first",
    ),
    ({"decoder": {"type": "WordPiece"}}, "component of type 'WordPiece'"),
    ({"decoder": None}, "has no decoder"),
    (
      {
        "decoder": {
          "type": "Strip",
          "content": "x",
          "start": 1,
          "stop": 0,
        }
      },
      "decoder strips 'x'",
    ),
    (
      {
        "decoder": {
          "type": "Sequence",
          "decoders": [{"type": "Fuse"}] * 17,
        }
      },
      "at most 16",
    ),
    ({"model": {"type": "WordPiece"}}, "type='WordPiece'; only 'BPE'"),
    ({"model": {"dropout": 0.1}}, "dropout=0.1"),
    ({"model": {"vocab": []}}, "no vocabulary"),
    ({"model": {"vocab": {"a": 2**20}}}, "vocab_size=1,048,577"),
    ({"model": {"vocab": {"a": -1}}}, "whole number"),
    ({"added_tokens": [{"id": 2**40, "content": "x"}]}, "vocab_size="),
    ({"added_tokens": "x"}, "not a list of objects"),
    ({"version": "7.0"}, r"not a valid tokenizer\.json"),
  ],
)
def test_refused_json(tokenizer_paths, tmp_path, changes, message):
  path = rewritten(tokenizer_paths["llama3_json"], tmp_path, **changes)
  with pytest.raises(ValueError, match=message):
    tokenizers.load_tokenizer(path)


@pytest.mark.parametrize(
  "text", ["", "{", "[1]", "3", '{"model": 1}', "\x00\xff", "[" * 100_000]
)
def test_damaged_json_is_refused(tmp_path, text):
  path = tmp_path / "tokenizer.json"
  path.write_text(text, encoding="latin-1")
  with pytest.raises(ValueError, match=r"tokenizer\.json"):
    tokenizers.load_tokenizer(path)


def test_deeply_nested_components_are_refused(tokenizer_paths, tmp_path):
  path = rewritten(tokenizer_paths["llama3_json"], tmp_path, decoder="DEEP")
  deep = '{"type": "Sequence", "decoders": [' * 900 + "]}" * 900
  path.write_text(path.read_text().replace('"DEEP"', deep))
  with pytest.raises(ValueError, match=r"tokenizer\.json"):
    tokenizers.load_tokenizer(path)


@pytest.mark.parametrize("name", [["<s>"], 1, {"content": []}])
def test_names_of_special_tokens_must_be_strings(
  tokenizer_paths, tmp_path, name
):
  path = rewritten(tokenizer_paths["llama3_json"], tmp_path)
  config = path.with_name("tokenizer_config.json")
  config.write_text(json.dumps({"bos_token": name}))
  with pytest.raises(ValueError, match=r"bos_token=.*not among the added"):
    tokenizers.load_tokenizer(path)


@pytest.mark.parametrize(
  "model",
  [
    {"type": "Unigram", "unk_id": None, "vocab": [["a", -1.0]]},
    {"type": "BPE", "unk_token": "<x>", "vocab": {"a": 0}, "merges": []},
  ],
)
def test_text_without_an_unknown_token_is_refused_by_name(tmp_path, model):
  path = tmp_path / "tokenizer.json"
  path.write_text(json.dumps({"model": model, "decoder": {"type": "Fuse"}}))
  tokenizer = tokenizers.load_tokenizer(path)
  assert tokenizer.encode("a", at_start=True) == [0]
  with pytest.raises(ValueError, match=r"tokenizer\.json cannot encode 'b'"):
    tokenizer.encode("b", at_start=True)
