# SPDX-License-Identifier: Apache-2.0
"""New special tokens in a tokenizer.json; all others stay."""

import json
import shutil

import pytest

from ramjax.data import add_tokens, tokenizers

_NEW = ["<|tool|>", "<|result|>"]


@pytest.fixture(params=["llama3_json", "llama2_json"])
def folder(request, tokenizer_paths, tmp_path):
  shutil.copytree(tokenizer_paths[request.param].parent, tmp_path / "tok")
  return tmp_path / "tok"


def test_new_tokens_get_the_ids_after_the_last(folder):
  before = tokenizers.load_tokenizer(folder)
  text = "Hello there, how are you?\n\n 12345 <|tool|> <s>"
  after = add_tokens.add_special_tokens(folder, _NEW)
  first = before.vocab_size
  assert after.vocab_size == first + 2
  assert [after.special_id(name) for name in _NEW] == [first, first + 1]
  assert (after.bos_id, after.eos_id) == (before.bos_id, before.eos_id)
  assert after.decode([first], keep_special=True) == "<|tool|>"
  assert after.decode([first]) == ""
  # Typed by a user it stays text, and other text has the ids it had.
  ids = after.encode(text, at_start=True)
  assert first not in ids
  assert ids == before.encode(text, at_start=True)
  assert after.decode(ids) == before.decode(ids)


def test_nothing_else_in_the_file_changes(folder):
  path = folder / "tokenizer.json"
  before = json.loads(path.read_text("utf-8"))
  add_tokens.add_special_tokens(folder, _NEW)
  after = json.loads(path.read_text("utf-8"))
  assert after["added_tokens"][: -len(_NEW)] == before.pop("added_tokens")
  del after["added_tokens"]
  assert after == before


def test_the_library_itself_would_choose_the_same_ids(folder):
  import tokenizers as library

  reference = library.Tokenizer.from_file(str(folder / "tokenizer.json"))
  reference.add_special_tokens(list(_NEW))
  add_tokens.add_special_tokens(folder, _NEW)
  ours = library.Tokenizer.from_file(str(folder / "tokenizer.json"))
  assert ours.get_vocab() == reference.get_vocab()
  text = "Hello<|tool|> there<|result|>"
  assert ours.encode(text).ids == reference.encode(text).ids


def test_neighbouring_files_that_list_the_tokens_are_extended(folder):
  config = {"added_tokens_decoder": {}, "model_max_length": 5}
  (folder / "tokenizer_config.json").write_text(json.dumps(config))
  (folder / "added_tokens.json").write_text('{"<old>": 3}')
  first = tokenizers.load_tokenizer(folder).vocab_size
  add_tokens.add_special_tokens(folder, _NEW)
  config = json.loads((folder / "tokenizer_config.json").read_text())
  assert config["model_max_length"] == 5
  assert list(config["added_tokens_decoder"]) == [str(first), str(first + 1)]
  entry = config["added_tokens_decoder"][str(first)]
  assert entry["content"] == "<|tool|>" and entry["special"] is True
  names = json.loads((folder / "added_tokens.json").read_text())
  assert names == {"<old>": 3, "<|tool|>": first, "<|result|>": first + 1}


@pytest.mark.parametrize(
  "names,message",
  [
    (["<|eot_id|>"], r"has the token '<\|eot_id\|>' already"),
    (["er"], "has the token 'er' already"),
    (["<new>", "<new>"], "given twice"),
    ([""], "must have from 2"),
    (["x"], "must have from 2"),
    (["<a b>"], "no space"),
    (["<a\n>"], "no space"),
    (["<a\ud800>"], "printable"),
    (["<" + "a" * 100 + ">"], "from 2 to 100"),
  ],
)
def test_unfit_names_are_refused_and_nothing_is_written(folder, names, message):
  before = (folder / "tokenizer.json").read_bytes()
  with pytest.raises(ValueError, match=message):
    add_tokens.add_special_tokens(folder, names)
  assert (folder / "tokenizer.json").read_bytes() == before


def test_a_sentencepiece_model_is_refused_with_what_to_do(tokenizer_paths):
  folder = tokenizer_paths["llama2_model"].parent
  with pytest.raises(ValueError, match="save_pretrained"):
    add_tokens.add_special_tokens(folder, _NEW)
  with pytest.raises(FileNotFoundError):
    add_tokens.add_special_tokens(folder / "none", _NEW)


def test_a_vocabulary_with_gaps_is_refused(folder):
  path = folder / "tokenizer.json"
  spec = json.loads(path.read_text("utf-8"))
  vocab = spec["model"]["vocab"]
  word = max(vocab, key=vocab.get)
  vocab[word] += 50
  path.write_text(json.dumps(spec))
  with pytest.raises(ValueError, match="its ids have gaps"):
    add_tokens.add_special_tokens(folder, _NEW)


def test_neighbours_that_are_no_objects_are_refused(folder):
  (folder / "added_tokens.json").write_text("[1]")
  with pytest.raises(ValueError, match="holds a JSON list, no object"):
    add_tokens.add_special_tokens(folder, _NEW)
