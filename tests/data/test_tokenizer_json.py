# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.data.tokenizer_json: what each kind of file gives."""

import json
import shutil

import pytest

from ramjax.data import tokenizers


def rewritten(path, tmp_path, **changes):
  """The tokenizer.json at `path` with top-level entries changed."""
  spec = json.loads(path.read_text())
  spec["model"].update(changes.pop("model", {}))
  spec.update(changes)
  (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
  return tmp_path / "tokenizer.json"


def test_added_token_that_is_not_marked_special_stays_text(
  tokenizer_paths, tmp_path
):
  path = tokenizer_paths["llama3_json"]
  added = json.loads(path.read_text())["added_tokens"]
  for token in added:
    token["special"] = False
  tokenizer = tokenizers.load_tokenizer(
    rewritten(path, tmp_path, added_tokens=added)
  )
  eot = tokenizer.special_id("<|eot_id|>")
  ids = tokenizer.encode("a<|eot_id|>b", at_start=True)
  assert eot not in ids
  assert tokenizer.decode(ids) == "a<|eot_id|>b"


def unigram_json(tmp_path):
  """Unigram, whose vocabulary has "<s>" among the pieces text is made of."""
  pieces = [["<unk>", 0.0], ["<s>", 0.0], ["</s>", 0.0]]
  pieces += [[piece, -2.0 - i / 8] for i, piece in enumerate("▁abs</>")]
  spec = {
    "version": "1.0",
    "added_tokens": [
      {
        "id": id_,
        "content": pieces[id_][0],
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
      }
      for id_ in range(3)
    ],
    "normalizer": None,
    "pre_tokenizer": {
      "type": "Metaspace",
      "replacement": "▁",
      "prepend_scheme": "always",
      "split": True,
    },
    "decoder": {
      "type": "Metaspace",
      "replacement": "▁",
      "prepend_scheme": "always",
      "split": True,
    },
    "model": {
      "type": "Unigram",
      "unk_id": 0,
      "vocab": pieces,
      "byte_fallback": False,
    },
  }
  path = tmp_path / "tokenizer.json"
  path.write_text(json.dumps(spec))
  return path


def test_unigram_whose_pieces_hold_its_specials_keeps_them_out(tmp_path):
  tokenizer = tokenizers.load_tokenizer(unigram_json(tmp_path))
  for text in ("a<s>b", "<s><s>", "</s", " a </s>", "<<s>s>"):
    ids = tokenizer.encode(text, at_start=False)
    assert not {1, 2} & set(ids)
    assert tokenizer.decode(ids) == text
  # Metaspace gives a first word its space unless it has one.
  assert tokenizer.encode("a", at_start=True) == tokenizer.encode(
    " a", at_start=True
  )
  assert tokenizer.encode("a", at_start=True) != tokenizer.encode(
    "a", at_start=False
  )


def test_specials_that_overlap_in_text_are_all_kept_out(tmp_path):
  path = unigram_json(tmp_path)
  spec = json.loads(path.read_text())
  for id_, name in ((10, "ab"), (11, "bs")):
    spec["added_tokens"].append(
      spec["added_tokens"][0] | {"id": id_, "content": name}
    )
    spec["model"]["vocab"].append([name, -0.5])
  path.write_text(json.dumps(spec))
  tokenizer = tokenizers.load_tokenizer(path)
  assert tokenizer.special_id("bs") == 11
  ids = tokenizer.encode("abs", at_start=False)
  assert not {10, 11} & set(ids)
  assert tokenizer.decode(ids) == "abs"


def test_byte_level_space_before_the_first_word(tokenizer_paths, tmp_path):
  byte_level = {
    "type": "ByteLevel",
    "add_prefix_space": True,
    "trim_offsets": True,
    "use_regex": True,
  }
  tokenizer = tokenizers.load_tokenizer(
    rewritten(
      tokenizer_paths["llama3_json"], tmp_path, pre_tokenizer=byte_level
    )
  )
  continued = tokenizer.encode("Hello", at_start=False)
  assert tokenizer.decode(continued) == "Hello"
  assert tokenizer.encode("Hello", at_start=True) != continued
  assert tokenizer.encode("Hello", at_start=True) == tokenizer.encode(
    " Hello", at_start=True
  )


def test_special_of_one_character_that_text_becomes_is_refused(tmp_path):
  path = unigram_json(tmp_path)
  spec = json.loads(path.read_text())
  spec["added_tokens"].append(
    spec["added_tokens"][0] | {"id": 4, "content": "a"}
  )
  path.write_text(json.dumps(spec))
  with pytest.raises(ValueError, match="text 'a' becomes the special token"):
    tokenizers.load_tokenizer(path)


@pytest.mark.parametrize("file", ["tokenizer_config", "special_tokens_map"])
def test_neighbouring_file_names_bos_and_eos(tokenizer_paths, tmp_path, file):
  shutil.copy(tokenizer_paths["llama3_json"], tmp_path / "tokenizer.json")
  neighbour = tmp_path / f"{file}.json"
  neighbour.write_text(
    json.dumps({"bos_token": None, "eos_token": {"content": "<|eot_id|>"}})
  )
  tokenizer = tokenizers.load_tokenizer(tmp_path)
  assert tokenizer.bos_id is None
  assert tokenizer.eos_id == tokenizer.special_id("<|eot_id|>")
  with pytest.raises(ValueError, match="no special token 'bos'"):
    tokenizer.special_id("bos")
  neighbour.write_text(json.dumps({"bos_token": "<bos>"}))
  with pytest.raises(ValueError, match="bos_token='<bos>'"):
    tokenizers.load_tokenizer(tmp_path)


QWEN2_WORDS = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
  r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def test_words_as_qwen2_splits_them(tokenizer_paths, tmp_path):
  path = tokenizer_paths["llama3_json"]
  llama3 = tokenizers.load_tokenizer(path)
  spec = json.loads(path.read_text())
  spec["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = QWEN2_WORDS
  tokenizer = tokenizers.load_tokenizer(
    rewritten(
      path,
      tmp_path,
      normalizer={"type": "NFC"},
      pre_tokenizer=spec["pre_tokenizer"],
    )
  )
  # "123" was learned as a token; Qwen2 never sees two digits at once.
  assert len(llama3.encode("123", at_start=False)) < 3
  ids = tokenizer.encode("123", at_start=False)
  assert len(ids) == 3 and tokenizer.decode(ids) == "123"
  text = "Hello there, it's\n\n  two  spaces"
  assert tokenizer.encode(text, at_start=True) == llama3.encode(
    text, at_start=True
  )


def mistral_json(path, tmp_path):
  """Llama 2's kind of file, with the space put by a pre-tokenizer."""
  metaspace = {
    "type": "Metaspace",
    "replacement": "▁",
    "prepend_scheme": "first",
    "split": False,
  }
  return rewritten(path, tmp_path, normalizer=None, pre_tokenizer=metaspace)


def test_space_before_the_first_word_as_mistral_puts_it(
  tokenizer_paths, tmp_path
):
  path = tokenizer_paths["llama2_json"]
  shutil.copy(path.with_name("special_tokens_map.json"), tmp_path)
  older = tokenizers.load_tokenizer(path)  # v0.1: a Prepend normaliser.
  tokenizer = tokenizers.load_tokenizer(mistral_json(path, tmp_path))
  for text in ("Hello there", "a\n b", "é 12", "[INST] x [/INST]"):
    for at_start in (True, False):
      ids = older.encode(text, at_start=at_start)
      assert tokenizer.encode(text, at_start=at_start) == ids
  # One that starts with a space has its own.
  assert tokenizer.encode(" Hello", at_start=True) == tokenizer.encode(
    "Hello", at_start=True
  )


@pytest.mark.peers
def test_ids_of_mistrals_kind_equal_those_of_transformers(
  tokenizer_paths, tmp_path
):
  transformers = pytest.importorskip("transformers")
  path = tokenizer_paths["llama2_json"]
  shutil.copy(path.with_name("special_tokens_map.json"), tmp_path)
  path = mistral_json(path, tmp_path)
  tokenizer = tokenizers.load_tokenizer(path)
  theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path))
  for text in ("Hello there", " leading", "  two\n\tx", "é 漢字 😀", "12345"):
    expected = theirs.encode(text, add_special_tokens=False)
    assert tokenizer.encode(text, at_start=True) == expected
