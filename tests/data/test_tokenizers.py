# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.data.tokenizers, both its backends, and train_tokenizer."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from ramjax.data import (
  tokenize_rows,
  tokenizer_backend,
  tokenizers,
  train_tokenizer,
)
from ramjax.data.rows import ChatRow, Message

KINDS = ("llama3_json", "llama2_json", "llama2_model", "ours")
# The kinds that put a space before the first word of a sequence.
PREFIXED = ("llama2_json", "llama2_model")
TEXTS = [
  "Hello there",
  " leading and trailing ",
  "  two  spaces\n\n\tand\r\n  indentation",
  "\n",
  "é 漢字 😀 \u200d \u00a0",
  "null \x00 byte",
  "12345 + 2^10",
  "Hello there</s>, <s>you <|eot_id|><|begin_of_text|> <0x41> <unk>",
  "",
]

every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def loaded(tokenizer_paths):
  return {
    kind: tokenizers.load_tokenizer(path)
    for kind, path in tokenizer_paths.items()
  }


@every_kind
@pytest.mark.parametrize("text", TEXTS)
def test_text_survives_inside_and_after_bos(loaded, kind, text):
  tokenizer = loaded[kind]
  assert tokenizer.decode(tokenizer.encode(text, at_start=False)) == text
  ids = [tokenizer.bos_id, *tokenizer.encode(text, at_start=True)]
  assert tokenizer.decode(ids) == text


@every_kind
def test_only_the_first_word_of_a_sequence_gets_a_space(loaded, kind):
  tokenizer = loaded[kind]
  continued = tokenizer.encode("Hello", at_start=False)
  assert tokenizer.decode(continued) == "Hello"
  first = tokenizer.encode("Hello", at_start=True)
  if kind in PREFIXED:
    assert first == tokenizer.encode(" Hello", at_start=False)
    # A leading space of the text's own comes on top.
    assert tokenizer.encode(" Hello", at_start=True) == tokenizer.encode(
      "  Hello", at_start=False
    )
  else:
    assert first == continued


@every_kind
def test_special_tokens_in_text_stay_text(loaded, kind):
  tokenizer = loaded[kind]
  specials = set(tokenizer._names)
  assert tokenizer.bos_id in specials and tokenizer.eos_id in specials
  for name in tokenizer._special_ids:
    for text in (name, f"a{name}b", f" {name} {name}", f"<{name}>"):
      ids = tokenizer.encode(text, at_start=True)
      assert not specials & set(ids) - {tokenizer._backend.unk_id}
      assert tokenizer.decode([tokenizer.bos_id, *ids]) == text


@every_kind
def test_special_ids(loaded, kind):
  tokenizer = loaded[kind]
  bos, eos = {
    "llama3_json": ("<|begin_of_text|>", "<|end_of_text|>"),
    "llama2_json": ("<s>", "</s>"),
    "llama2_model": ("<s>", "</s>"),
    "ours": ("<s>", "</s>"),
  }[kind]
  assert tokenizer.special_id("bos") == tokenizer.special_id(bos)
  assert tokenizer.special_id("eos") == tokenizer.special_id(eos)
  assert tokenizer.bos_id == tokenizer.special_id("bos")
  assert tokenizer.eos_id == tokenizer.special_id("eos")
  ids = [tokenizer.bos_id, *tokenizer.encode("a", at_start=True)]
  ids.append(tokenizer.eos_id)
  assert tokenizer.decode(ids, keep_special=True) == f"{bos}a{eos}"
  assert tokenizer.decode(np.asarray(ids, np.int32)) == "a"


def test_missing_special_names_the_template_and_what_there_is(loaded):
  with pytest.raises(
    ValueError,
    match=r"no special token '<\|start_header_id\|>', which template='llama3' needs."
    r" Its special tokens: </s>, <pad>, <s>\.",
  ):
    tokenize_rows.tokenize_prompt(
      [Message("user", "Hi")], template="llama3", tokenizer=loaded["ours"]
    )


def test_ordinary_word_is_no_special_token(loaded):
  with pytest.raises(ValueError, match="no special token 'Hello'"):
    loaded["ours"].special_id("Hello")


@every_kind
def test_ids_outside_the_vocabulary_are_refused(loaded, kind):
  tokenizer = loaded[kind]
  tokenizer.decode([tokenizer.vocab_size - 1])
  for id_ in (tokenizer.vocab_size, -1):
    with pytest.raises(ValueError, match="vocab_size="):
      tokenizer.decode([0, id_])


@every_kind
def test_digest_is_that_of_the_file(loaded, tokenizer_paths, kind):
  data = tokenizer_paths[kind].read_bytes()
  assert loaded[kind].digest == hashlib.sha256(data).hexdigest()


def test_directory_is_searched(tokenizer_paths, tmp_path):
  for kind in ("llama3_json", "llama2_model"):
    path = tokenizer_paths[kind]
    assert tokenizers.load_tokenizer(path.parent).path == path
  with pytest.raises(FileNotFoundError, match=r"neither tokenizer\.json"):
    tokenizers.load_tokenizer(tmp_path)
  with pytest.raises(FileNotFoundError, match="does not exist"):
    tokenizers.load_tokenizer(tmp_path / "tokenizer.model")


def test_size_cap(tokenizer_paths, monkeypatch):
  monkeypatch.setattr(tokenizer_backend, "MAX_FILE_BYTES", 1000)
  for path in tokenizer_paths.values():
    with pytest.raises(ValueError, match="at most 1,000"):
      tokenizers.load_tokenizer(path)


# --- tokenizer.json ----------------------------------------------------------


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
    ({"pre_tokenizer": split({"Regex": "(a|a)+b"})}, "Llama 3 is known"),
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


# --- sentencepiece -----------------------------------------------------------


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


# --- training ----------------------------------------------------------------


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


# --- against transformers ----------------------------------------------------

CHATS = [
  [("user", "Hello there!"), ("assistant", "How are you today?")],
  [
    ("system", "You are brief.\nVery."),
    ("user", "What is 2 + 2?\n\n  And 3?"),
    ("assistant", "4.\n\n5!"),
    ("user", "é 漢字 😀 and  two spaces"),
    ("assistant", "The quick brown fox; isn't it?"),
  ],
]


def chat(turns):
  row = ChatRow(tuple(Message(r, c, r == "assistant") for r, c in turns))
  return row, [{"role": r, "content": c} for r, c in turns]


@pytest.mark.peers
@pytest.mark.parametrize("turns", CHATS)
@pytest.mark.parametrize("template", ["llama3", "llama3_1"])
def test_llama3_chat_ids_equal_those_of_transformers(
  tokenizer_paths, loaded, golden_maker, turns, template
):
  transformers = pytest.importorskip("transformers")
  row, messages = chat(turns)
  theirs = transformers.PreTrainedTokenizerFast(
    tokenizer_file=str(tokenizer_paths["llama3_json"]),
    bos_token="<|begin_of_text|>",
    eos_token="<|eot_id|>",
  )
  expected = theirs.apply_chat_template(
    messages,
    chat_template=golden_maker._sources()[template][1],
    tokenize=True,
    return_dict=False,
  )
  ours = tokenize_rows.tokenize_row(
    row, template=template, tokenizer=loaded["llama3_json"], max_length=4096
  )
  assert ours.tokens.tolist() == expected


@pytest.mark.peers
@pytest.mark.parametrize("turns", CHATS)
def test_llama2_chat_ids_equal_those_of_transformers(
  tokenizer_paths, loaded, golden_maker, turns, tmp_path
):
  transformers = pytest.importorskip("transformers")
  row, messages = chat(turns)
  # legacy: a space before every BOS's first word, as Meta's code has it.
  theirs = transformers.LlamaTokenizer.from_pretrained(
    tokenizer_paths["llama2_model"].parent, legacy=True
  )
  expected = theirs.apply_chat_template(
    messages,
    chat_template=golden_maker._sources()["llama2"][1],
    tokenize=True,
    return_dict=False,
  )
  theirs.save_pretrained(tmp_path)
  for tokenizer in (
    loaded["llama2_model"],
    tokenizers.load_tokenizer(tmp_path / "tokenizer.json"),
  ):
    ours = tokenize_rows.tokenize_row(
      row, template="llama2", tokenizer=tokenizer, max_length=4096
    )
    assert ours.tokens.tolist() == expected


@pytest.mark.peers
@pytest.mark.parametrize("text", TEXTS[:7])
def test_plain_text_ids_equal_those_of_transformers(
  tokenizer_paths, loaded, text
):
  transformers = pytest.importorskip("transformers")
  for kind in ("llama3_json", "llama2_json"):
    theirs = transformers.PreTrainedTokenizerFast(
      tokenizer_file=str(tokenizer_paths[kind])
    )
    expected = theirs.encode(text, add_special_tokens=False)
    assert loaded[kind].encode(text, at_start=True) == expected
