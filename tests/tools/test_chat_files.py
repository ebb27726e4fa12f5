# SPDX-License-Identifier: Apache-2.0
"""A run's tokenizer, chat template and stop tokens go wherever its weights go."""

import json
import shutil

import pytest
import tiny_model_folder

from ramjax.data import train_tokenizer
from ramjax.data.tokenizers import load_tokenizer
from ramjax.models import weights
from ramjax.tools import chat_files, convert

_TEXT = "word 3 and then more"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
  """A Hugging Face folder with a tokenizer and another chat template."""
  folder = tmp_path_factory.mktemp("models") / "hf"
  tiny_model_folder.write(folder)
  (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
  (folder / "LICENSE").write_text("free")
  return folder


def _make_run(folder, base, template="plain"):
  """A run's folder as training leaves it, on the base and with its tokenizer."""
  tiny_model_folder.write(folder, as_run=True)
  kept = folder / "hf"
  kept.mkdir()
  for name in ("tokenizer.model", "chat_template.jinja", "LICENSE"):
    shutil.copyfile(base / name, kept / name)
  manifest = {"template": {"name": template}}
  (folder / "manifest.json").write_text(json.dumps(manifest))
  config = {"algorithm": "sft"}
  (folder / "config.json").write_text(json.dumps(config))
  return folder


@pytest.fixture
def run(base, tmp_path):
  return _make_run(tmp_path / "run", base)


def _stage(run, target):
  target.mkdir()
  return chat_files.stage(run, target, max_positions=64)


def _template(folder):
  return json.loads((folder / "tokenizer_config.json").read_text())[
    "chat_template"
  ]


def test_the_template_of_the_training_replaces_the_one_of_the_base(
  run, tmp_path
):
  fields = _stage(run, tmp_path / "out")
  assert "Assistant:" in _template(tmp_path / "out")
  assert not (tmp_path / "out/chat_template.jinja").exists()
  tokenizer = load_tokenizer(run)
  assert fields["bos_token_id"] == tokenizer.bos_id
  generation = json.loads((tmp_path / "out/generation_config.json").read_text())
  assert generation["eos_token_id"] == [tokenizer.eos_id]
  assert (tmp_path / "out/LICENSE").read_text() == "free"


def test_the_padding_token_is_named_for_classifiers_of_padded_batches(
  run, tmp_path
):
  fields = _stage(run, tmp_path / "out")
  exported = json.loads((tmp_path / "out/tokenizer.json").read_text())
  ids = {token["content"]: token["id"] for token in exported["added_tokens"]}
  assert fields["pad_token_id"] == ids["<pad>"]


def test_the_tokenizer_of_the_training_replaces_the_one_of_the_base(
  run, tmp_path
):
  texts = [f"quite other {i} words here" for i in range(300)]
  (run / "tokenizer.model").unlink()
  train_tokenizer.train_sentencepiece(
    texts, path=run / "tokenizer.model", vocab_size=290
  )
  _stage(run, tmp_path / "out")
  trained, exported = load_tokenizer(run), load_tokenizer(tmp_path / "out")
  base_ids = load_tokenizer(run / "hf").encode(_TEXT, at_start=True)
  ids = trained.encode(_TEXT, at_start=True)
  assert exported.encode(_TEXT, at_start=True) == ids != base_ids


def test_a_model_that_was_only_converted_keeps_what_it_came_with(
  base, tmp_path
):
  assert _stage(base, tmp_path / "out")["model_type"] == "llama"
  text = (tmp_path / "out/chat_template.jinja").read_text()
  assert text == "{{ messages[0]['content'] }}"
  assert not (tmp_path / "out/generation_config.json").exists()


@pytest.mark.parametrize("to", ["hf", "ramjax"])
@pytest.mark.parametrize(
  "command",
  [
    ["vocab", "RUN", "OUT", "--pad-to-multiple=64", "--size=330"],
    ["merge", "linear", "OUT", "--model=RUN", "--model=RUN"],
  ],
  ids=["vocab", "merge"],
)
def test_what_is_made_from_a_run_speaks_as_the_run_does(
  run, tmp_path, command, to
):
  out = tmp_path / "out"
  names = {"RUN": str(run), "OUT": str(out)}
  arguments = [
    part.replace("RUN", names["RUN"]).replace("OUT", names["OUT"])
    for part in command
  ]
  assert convert.main([*arguments, f"--to={to}"]) == 0
  if to == "ramjax":
    assert convert.main(["to-hf", str(out), str(tmp_path / "hf")]) == 0
    out = tmp_path / "hf"
  assert "Assistant:" in _template(out)


def test_a_manifest_in_a_strangers_folder_is_not_obeyed(base, tmp_path):
  shutil.copytree(base, tmp_path / "theirs")
  manifest = {"template": {"name": "alpaca"}}
  (tmp_path / "theirs/manifest.json").write_text(json.dumps(manifest))
  assert chat_files.trained_template(tmp_path / "theirs") is None


@pytest.mark.parametrize("text", ["{}", '{"template": 3}', "["])
def test_a_damaged_manifest_is_refused(run, text):
  (run / "manifest.json").write_text(text)
  with pytest.raises(ValueError, match=r"manifest\.json"):
    chat_files.trained_template(run)


def test_a_hostile_chat_template_is_told(base, tmp_path):
  shutil.copytree(base, tmp_path / "theirs")
  hostile = "{% for i in range(10**5) %}{% for j in range(10**5) %}{% endfor %}{% endfor %}"
  (tmp_path / "theirs/chat_template.jinja").write_text(hostile)
  assert "refused here" in chat_files.describe(tmp_path / "theirs")


def test_a_template_of_ours_is_recognised(run, tmp_path):
  _stage(run, tmp_path / "out")
  (tmp_path / "out" / weights.MODEL_FILE).unlink(missing_ok=True)
  line = chat_files.describe(tmp_path / "out")
  assert line.endswith("chat template: data.template=plain")
