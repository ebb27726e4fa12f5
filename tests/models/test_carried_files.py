# SPDX-License-Identifier: Apache-2.0
"""Tokenizer, template and licence travel; nothing else does."""

import json
import os

import pytest

from ramjax.models import carried_files

_CARRIED = [
  *("LICENSE", "LICENSE.txt", "NOTICE", "USE_POLICY.md"),
  *("added_tokens.json", "chat_template.jinja", "chat_template.json"),
  *("generation_config.json", "merges.txt", "special_tokens_map.json"),
  *("tokenizer.json", "tokenizer.model", "tokenizer_config.json"),
  "vocab.json",
]
_LEFT = [
  *("config.json", "model.safetensors", "modeling_theirs.py", "README.md"),
  *("pytorch_model.bin", "training_args.bin", "my_tokenizer.json"),
]


@pytest.fixture
def theirs(tmp_path):
  folder = tmp_path / "theirs"
  folder.mkdir()
  for name in (*_CARRIED, *_LEFT):
    (folder / name).write_bytes(f"of {name}\x00\xff".encode("latin-1"))
  return folder


@pytest.fixture
def target(tmp_path):
  folder = tmp_path / "target"
  folder.mkdir()
  return folder


def test_listed_files_are_copied_to_the_byte_and_no_others(theirs, target):
  assert carried_files.carry(theirs, target) == _CARRIED
  assert sorted(path.name for path in target.iterdir()) == _CARRIED
  for name in _CARRIED:
    assert (target / name).read_bytes() == (theirs / name).read_bytes()


def test_folder_of_licenses_stays_behind(theirs, target):
  (theirs / "LICENSES").mkdir()
  assert carried_files.carry(theirs, target) == _CARRIED


def test_link_out_of_the_folder_is_refused(theirs, target, tmp_path):
  (tmp_path / "secret").write_text("secret")
  (theirs / "vocab.json").unlink()
  (theirs / "vocab.json").symlink_to(tmp_path / "secret")
  with pytest.raises(ValueError, match="outside its folder"):
    carried_files.carry(theirs, target)
  assert not (target / "vocab.json").exists()


def test_pipe_is_refused_at_once(theirs, target):
  (theirs / "vocab.json").unlink()
  os.mkfifo(theirs / "vocab.json")
  with pytest.raises(ValueError, match="not a regular file"):
    carried_files.carry(theirs, target)


def test_file_too_large_for_a_tokenizer_is_refused(theirs, target):
  with (theirs / "tokenizer.json").open("r+b") as file:
    file.truncate(2**28 + 1)  # Sparse: takes no space.
  with pytest.raises(ValueError, match=r"over 268,435,456 bytes"):
    carried_files.carry(theirs, target)


def test_files_of_a_run_lie_in_its_folder_hf(tmp_path):
  run = tmp_path / "run"
  (run / "hf").mkdir(parents=True)
  (run / "model.json").write_text("{}")
  assert carried_files.folder_of(run) == run / "hf"
  (run / "hf").rmdir()
  assert carried_files.folder_of(run) == run


def test_folder_hf_of_a_stranger_means_nothing(theirs):
  (theirs / "hf").mkdir()
  assert carried_files.folder_of(theirs) == theirs


def test_config_is_kept_for_the_way_back(tmp_path):
  run = tmp_path / "run"
  (run / "hf").mkdir(parents=True)
  (run / "model.json").write_text("{}")
  # The run's own.
  (run / "config.json").write_text('{"algorithm": "sft"}')
  assert carried_files.load_config(run) is None
  raw = {"model_type": "llama", "eos_token_id": [1, 2]}
  carried_files.save_config(raw, run / "hf")
  assert carried_files.load_config(run) == raw


def test_config_of_a_run_of_our_own_is_not_carried(tmp_path):
  (tmp_path / "model.json").write_text("{}")
  (tmp_path / "config.json").write_text('{"algorithm": "sft"}')
  assert carried_files.load_config(tmp_path) is None


def test_config_of_a_hugging_face_folder_is_its_own(tmp_path):
  assert carried_files.load_config(tmp_path) is None
  (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
  assert carried_files.load_config(tmp_path) == {"model_type": "llama"}
