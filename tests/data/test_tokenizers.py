# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.data.tokenizers: what holds for every kind of file."""

import hashlib

import numpy as np
import pytest

from ramjax.data import tokenize_rows, tokenizer_backend, tokenizers
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
