# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.data.tokenizer_export."""

import json
import shutil

import pytest

from ramjax.data import (
  jinja_templates,
  tokenize_rows,
  tokenizer_export,
  tokenizers,
)
from ramjax.data.rows import Message

TEXTS = [
  "Hello there",
  " leading and trailing ",
  "   three",
  "  two  spaces\n\n\tand\r\n  indentation",
  "\n",
  "\n\n a",
  "é 漢字 😀 \u200d \u00a0",
  "null \x00 byte",
  "12345 + 2^10 = 6",
  "def f(x):\n    return x  # two  spaces\n",
  "a      b          c  ",
  "The quick brown fox; isn't it? <0x41>",
]
CHAT = [
  Message("system", " Be brief. "),
  Message("user", "What is 2 + 2?\n"),
  Message("assistant", " 4."),
  Message("user", "é 漢字 😀 and  two spaces"),
]


@pytest.fixture
def sources(tokenizer_paths, tmp_path):
  """Kind: a folder holding the tokenizer under its usual name, no more."""
  folders = {}
  for kind, path in tokenizer_paths.items():
    folders[kind] = tmp_path / "sources" / kind
    folders[kind].mkdir(parents=True)
    name = "tokenizer" + {"json": ".json"}.get(kind.split("_")[-1], ".model")
    shutil.copyfile(path, folders[kind] / name)
  return folders


def export(source, tmp_path, *, template=None, max_length=None):
  target = tmp_path / "target"
  target.mkdir(exist_ok=True)
  tokenizer_export.export_tokenizer(
    source, target, template=template, max_length=max_length
  )
  config = json.loads((target / "tokenizer_config.json").read_text())
  return target, config


def test_sentencepiece_becomes_a_tokenizer_json(sources, tmp_path):
  target, config = export(
    sources["ours"], tmp_path, template="plain", max_length=2048
  )
  assert sorted(path.name for path in target.iterdir()) == [
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
  ]
  assert config == {
    "add_bos_token": True,
    "add_eos_token": False,
    "bos_token": "<s>",
    "chat_template": jinja_templates.JINJA["plain"],
    "clean_up_tokenization_spaces": False,
    "eos_token": "</s>",
    "model_max_length": 2048,
    "pad_token": "<pad>",
    "tokenizer_class": "PreTrainedTokenizerFast",
    "unk_token": "<unk>",
  }
  ours = tokenizers.load_tokenizer(sources["ours"])
  again = tokenizers.load_tokenizer(target)
  assert again.path.name == "tokenizer.json"
  assert (again.bos_id, again.eos_id) == (ours.bos_id, ours.eos_id)
  for text in TEXTS:
    for at_start in (True, False):
      ids = ours.encode(text, at_start=at_start)
      assert again.encode(text, at_start=at_start) == ids


def test_json_without_config_gets_bos_before_a_text(sources, tmp_path):
  import tokenizers as library

  target, config = export(sources["llama3_json"], tmp_path, template="llama3")
  assert config["bos_token"] == "<|begin_of_text|>"
  assert config["eos_token"] == "<|end_of_text|>"
  assert "model_max_length" not in config
  theirs = library.Tokenizer.from_file(str(target / "tokenizer.json"))  # pyright: ignore
  bos = theirs.token_to_id("<|begin_of_text|>")
  ids = theirs.encode("Hello", add_special_tokens=False).ids
  assert theirs.encode("Hello").ids == [bos, *ids]


def test_json_that_adds_tokens_already_is_left_as_it_is(sources, tmp_path):
  path = sources["llama3_json"] / "tokenizer.json"
  spec = json.loads(path.read_text())
  spec["post_processor"] = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [],
    "special_tokens": {},
  }
  path.write_text(json.dumps(spec))
  target, _ = export(sources["llama3_json"], tmp_path)
  assert json.loads((target / "tokenizer.json").read_text()) == spec


def test_config_of_the_source_is_kept(sources, tmp_path):
  source = sources["llama2_model"]
  given = {
    "tokenizer_class": "LlamaTokenizer",
    "bos_token": {"content": "<s>"},
    "eos_token": "</s>",
    "legacy": False,
    "model_max_length": 4096,
    "chat_template": "theirs",
    "auto_map": {"AutoTokenizer": ["code.py", None]},
  }
  (source / "tokenizer_config.json").write_text(json.dumps(given))
  (source / "special_tokens_map.json").write_text("{}")
  (source / "chat_template.jinja").write_text("theirs, too")
  (source / "code.py").write_text("raise SystemExit")
  target, config = export(source, tmp_path)
  del given["auto_map"]
  assert config == given
  assert sorted(path.name for path in target.iterdir()) == [
    "chat_template.jinja",
    "special_tokens_map.json",
    "tokenizer.model",
    "tokenizer_config.json",
  ]
  # Ours takes the place of both of theirs.
  target, config = export(source, tmp_path, template="llama2", max_length=99)
  assert config == given | {
    "chat_template": jinja_templates.JINJA["llama2"],
    "model_max_length": 99,
  }
  assert not (target / "chat_template.jinja").exists()


def test_config_without_a_class_is_completed(sources, tmp_path):
  config = {"eos_token": "<pad>", "extra": [1]}
  (sources["ours"] / "tokenizer_config.json").write_text(json.dumps(config))
  _, written = export(sources["ours"], tmp_path)
  assert written["tokenizer_class"] == "PreTrainedTokenizerFast"
  assert written["extra"] == [1]
  assert written["bos_token"] == "<s>" and written["eos_token"] == "<pad>"


@pytest.mark.parametrize(
  ("kind", "given", "message"),
  [
    ("ours", {"template": "none"}, "known chat templates"),
    ("ours", {"template": "llama3"}, r"no special token '<\|start_header_id"),
    ("ours", {"max_length": 0}, "max_length=0 must be at least 1"),
  ],
)
def test_refused_arguments(sources, tmp_path, kind, given, message):
  with pytest.raises(ValueError, match=message):
    export(sources[kind], tmp_path, **given)
  assert not list((tmp_path / "target").iterdir())


def test_refused_folders(sources, tmp_path):
  given = {"template": None, "max_length": None}
  with pytest.raises(FileNotFoundError, match="Create it first"):
    tokenizer_export.export_tokenizer(
      sources["ours"], tmp_path / "none", **given
    )
  with pytest.raises(FileNotFoundError, match="source_dir="):
    tokenizer_export.export_tokenizer(tmp_path / "none", tmp_path, **given)
  with pytest.raises(FileNotFoundError, match=r"neither tokenizer\.json"):
    export(tmp_path, tmp_path)
  with pytest.raises(ValueError, match="the same folder"):
    tokenizer_export.export_tokenizer(
      sources["ours"], sources["ours"] / ".", **given
    )


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_damaged_config_is_refused(sources, tmp_path, text):
  (sources["ours"] / "tokenizer_config.json").write_text(text)
  with pytest.raises(ValueError, match=r"tokenizer_config\.json"):
    export(sources["ours"], tmp_path)


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["ours", "llama2_model", "llama3_json"])
def test_transformers_gives_the_same_ids(sources, tmp_path, kind):
  transformers = pytest.importorskip("transformers")
  target, _ = export(sources[kind], tmp_path)
  theirs = transformers.AutoTokenizer.from_pretrained(target)
  ours = tokenizers.load_tokenizer(sources[kind])
  for text in TEXTS:
    ids = [ours.bos_id, *ours.encode(text, at_start=True)]
    assert theirs.encode(text) == ids
    assert theirs.decode(ids, skip_special_tokens=True) == text


@pytest.mark.peers
@pytest.mark.parametrize(
  ("kind", "template"),
  [
    ("ours", "plain"),
    ("ours", "alpaca"),
    ("ours", "mistral"),
    ("llama3_json", "plain"),
    ("llama3_json", "llama3"),
    ("llama3_json", "llama3_1"),
    ("llama3_json", "chatml"),
  ],
)
def test_transformers_gives_the_same_prompt(sources, tmp_path, kind, template):
  transformers = pytest.importorskip("transformers")
  target, _ = export(sources[kind], tmp_path, template=template)
  theirs = transformers.AutoTokenizer.from_pretrained(target)
  messages = [{"role": m.role, "content": m.content} for m in CHAT]
  expected = theirs.apply_chat_template(
    messages, add_generation_prompt=True, tokenize=True, return_dict=False
  )
  ours = tokenize_rows.tokenize_prompt(
    CHAT,
    template=template,
    tokenizer=tokenizers.load_tokenizer(sources[kind]),
  )
  assert ours.tolist() == expected
