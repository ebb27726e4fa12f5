# SPDX-License-Identifier: Apache-2.0
"""Rows survive TFDS unchanged, and TFDS brings no TensorFlow and no stranger."""

import json
import shutil
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from ramjax.data import load, parse_rows, tfds_rows, tfds_source
from ramjax.data.read import DataError, RecordError

SYSTEM = {"role": "system", "content": ""}
ASK = {"role": "user", "content": "What is \U0001f600?\n\x00"}
ANSWER = {"role": "assistant", "content": "A smile"}
WRONG = {"role": "assistant", "content": "A frown"}

SOURCES = {
  "chat": [
    {"messages": [SYSTEM, ASK, ANSWER, ASK, WRONG], "id": 1},
    {"prompt": [ASK, WRONG, ASK], "completion": [ANSWER, ASK, ANSWER]},
    {"instruction": "Add", "input": "1, 1", "output": "2", "task": {"a": [1]}},
  ],
  "text": [
    {"text": "Once", "score": 0.5},
    {"prompt": "a ", "completion": "b\u2028"},
  ],
  "preference": [
    {
      "prompt": [SYSTEM, ASK],
      "chosen": [ANSWER],
      "rejected": [WRONG],
      "margin": 1.5,
      "preference_prob": 0.75,
    },
    {"chosen": [ASK, ANSWER], "rejected": [ASK, WRONG, ASK, WRONG], "n": None},
  ],
  "preference_text": [
    {"prompt": "", "chosen": "a", "rejected": "b"},
    {"chosen": "q\n\nAssistant: a", "rejected": "q\n\nAssistant: b"},
  ],
  "unpaired": [
    {"prompt": [ASK], "completion": [ANSWER], "label": True},
    {"prompt": [ASK], "completion": [WRONG], "label": False, "e": "\u00e9"},
  ],
  "unpaired_text": [{"prompt": "q", "completion": "a", "label": False}],
}


def _write(tmp_path, records):
  path = tmp_path / "rows.jsonl"
  path.write_text("\n".join(map(json.dumps, records)))
  return str(path)


def _extra(record):
  return {
    key: record[key] for key in record if key not in parse_rows.FORMAT_KEYS
  }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
  """A directory with three chat rows; tests copy it before they damage it."""
  root = tmp_path_factory.mktemp("tfds")
  tfds_rows.prepare(
    _write(root, SOURCES["chat"]), config="chat", data_dir=str(root)
  )
  return root


@pytest.mark.parametrize("config", list(tfds_rows.CONFIGS))
def test_prepared_rows_are_those_of_the_file_in_its_order(tmp_path, config):
  path = _write(tmp_path, SOURCES[config])
  tfds_rows.prepare(path, config=config, data_dir=str(tmp_path), split="test")
  parse = tfds_rows.CONFIGS[config].parse
  direct = load.load_rows(path, parse=parse)
  loaded = load.load_rows(
    tfds_rows.source_path(config, "test", str(tmp_path)), parse=parse
  )
  assert loaded.rows == direct.rows
  assert list(map(_extra, loaded.records)) == list(map(_extra, direct.records))
  assert len(loaded.fingerprint) == 64


def test_many_rows_keep_their_order(tmp_path):
  texts = [{"text": str(number)} for number in range(300)]
  tfds_rows.prepare(
    _write(tmp_path, texts), config="text", data_dir=str(tmp_path)
  )
  source = tfds_source.open_source("ramjax_rows/text", "train", str(tmp_path))
  assert len(source) == 300
  expected = [str(number) for number in range(300)]
  assert [record["completion"] for record in source] == expected


def test_parts_of_a_split_can_be_loaded(prepared):
  def load_part(split):
    path = f"tfds:ramjax_rows/chat:{split}?data_dir={prepared}"
    return load.load_rows(path, parse=parse_rows.parse_sft)

  whole = load_part("train")
  assert load_part("train[1:]").rows == whole.rows[1:]
  assert load_part("train[:34%]").rows == whole.rows[:1]
  assert load_part("train[1:]").fingerprint != whole.fingerprint


def test_other_programs_read_conversations_as_role_and_content(prepared):
  source: Any = tfds.data_source(
    "ramjax_rows/chat", split="train", data_dir=prepared, try_gcs=False
  )
  example = source[0]
  assert list(example["prompt"]["role"]) == [b"system", b"user"]
  assert example["completion"]["content"][0] == b"A smile"


def test_a_user_turn_behind_the_last_answer_is_left_out(tmp_path):
  path = _write(tmp_path, [{"messages": [ASK, ANSWER, ASK]}])
  tfds_rows.prepare(path, config="chat", data_dir=str(tmp_path))
  source = tfds_source.open_source("ramjax_rows/chat", "train", str(tmp_path))
  assert source[0] == {"prompt": [ASK], "completion": [ANSWER]}


def test_neither_preparing_nor_reading_imports_tensorflow(tmp_path):
  program = textwrap.dedent("""
    import socket, sys
    def refuse(*args, **kwargs):
      raise AssertionError(f"network: {args}")
    socket.socket.connect = socket.getaddrinfo = refuse
    from ramjax.data import load, parse_rows, tfds_rows
    assert "tensorflow_datasets" not in sys.modules  # Imports stay cheap.
    path, root = sys.argv[1:]
    tfds_rows.prepare(path, config="chat", data_dir=root)
    source = tfds_rows.source_path("chat", "train", root)
    print(len(load.load_rows(source, parse=parse_rows.parse_sft).rows))
    assert "tensorflow" not in sys.modules
  """)
  path = _write(tmp_path, SOURCES["chat"])
  run = subprocess.run(
    [sys.executable, "-W", "error", "-c", program, path, str(tmp_path)],
    capture_output=True,
    text=True,
    check=False,
  )
  assert run.returncode == 0, run.stderr
  assert run.stdout == "3\n"


def test_rows_already_prepared_are_not_taken_for_the_new_ones(prepared):
  # TFDS itself would reuse them, whatever the file now holds.
  with pytest.raises(FileExistsError, match="already holds prepared rows"):
    tfds_rows.prepare("a.jsonl", config="chat", data_dir=str(prepared))


def test_what_a_killed_run_left_behind_is_no_hindrance(tmp_path):
  (tmp_path / "ramjax_rows" / "text" / "incomplete.ABC_1.0.0").mkdir(
    parents=True
  )
  path = _write(tmp_path, [{"text": "a"}])
  tfds_rows.prepare(path, config="text", data_dir=str(tmp_path))
  source = tfds_source.open_source("ramjax_rows/text", "train", str(tmp_path))
  assert len(source) == 1


@pytest.mark.parametrize(
  ("config", "record", "remedy"),
  [
    ("chat", {"text": "a"}, "raw text, .* prepare with 'text'"),
    ("text", SOURCES["chat"][0], "a conversation, .* prepare with 'chat'"),
    ("preference", SOURCES["preference_text"][0], "with 'preference_text'"),
    ("preference_text", SOURCES["preference"][0], "with 'preference'"),
    ("unpaired", SOURCES["unpaired_text"][0], "with 'unpaired_text'"),
  ],
)
def test_rows_of_another_kind_name_the_config_to_take(
  tmp_path, config, record, remedy
):
  path = _write(tmp_path, [record])
  with pytest.raises(DataError, match=f"row 1 is {remedy}|{remedy}"):
    tfds_rows.prepare(path, config=config, data_dir=str(tmp_path))
  assert not (tmp_path / "ramjax_rows").exists()


def test_configs_and_splits_that_do_not_exist_are_refused(tmp_path):
  with pytest.raises(ValueError, match="Known configs: chat, text, pref"):
    tfds_rows.prepare("a.jsonl", config="dpo", data_dir=str(tmp_path))
  for split in ("", "all", "a/b", "train[:5]", "Train"):
    with pytest.raises(ValueError, match="must be letters"):
      tfds_rows.prepare(
        "a.jsonl", config="chat", data_dir=str(tmp_path), split=split
      )


def test_extra_keys_that_json_cannot_hold_are_named(tmp_path):
  pa = pytest.importorskip("pyarrow")
  pq = pytest.importorskip("pyarrow.parquet")
  path = tmp_path / "rows.parquet"
  pq.write_table(pa.table({"text": ["a"], "score": [float("nan")]}), path)
  with pytest.raises(DataError, match="row 1: the key 'score' cannot be kept"):
    tfds_rows.prepare(str(path), config="text", data_dir=str(tmp_path))


@pytest.mark.parametrize(
  ("name", "split", "error", "reason"),
  [
    ("other", "train", FileNotFoundError, "other/VERSION/dataset_info.json"),
    ("ramjax_rows", "train", FileNotFoundError, "holds no prepared dataset"),
    ("ramjax_rows/chat", "test", DataError, "none of its splits, train"),
    ("ramjax_rows/chat", "train[", DataError, "cannot be opened"),
    ("ramjax_rows/chat/2.0.0", "train", FileNotFoundError, "2.0.0"),
    ("../chat", "train", DataError, "must be NAME"),
    ("/etc", "train", DataError, "must be NAME"),
  ],
)
def test_datasets_and_splits_that_do_not_exist_are_refused(
  prepared, name, split, error, reason
):
  with pytest.raises(error, match=reason):
    tfds_source.open_source(name, split, str(prepared))


def test_the_newest_version_is_read_unless_one_is_named(prepared, tmp_path):
  shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
  root = tmp_path / "ramjax_rows" / "chat"
  shutil.copytree(root / "1.0.0", root / "0.10.0")
  shutil.rmtree(root / "1.0.0")
  shutil.copytree(root / "0.10.0", root / "0.9.0")
  (root / "0.9.0" / "features.json").unlink()
  for name in ("ramjax_rows/chat", "ramjax_rows/chat/0.10.0"):
    source = tfds_source.open_source(name, "train", str(tmp_path))
    assert len(source) == 3
  with pytest.raises(FileNotFoundError, match=r"0\.9\.0/features\.json"):
    tfds_source.open_source("ramjax_rows/chat/0.9.0", "train", str(tmp_path))


def test_features_json_cannot_import_a_module(prepared, tmp_path, monkeypatch):
  shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
  (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
  monkeypatch.syspath_prepend(str(tmp_path))
  path = tmp_path / "ramjax_rows" / "chat" / "1.0.0" / "features.json"
  whole = path.read_text()
  text_class = "tensorflow_datasets.core.features.text_feature.Text"
  for bad, reason in (
    (whole.replace(text_class, "evil.Text"), "'evil.Text' has no place"),
    (json.dumps({"type": "evil.Text", "content": {}}), "'evil.Text' has no"),
    ("{", "not valid"),
    (whole + "x", "extra data"),
    ("[" * 100_000, "not valid"),
    ('{"a": NaN}', "NaN is not JSON"),
    ("[]", "cannot be opened"),
    ('{"pythonClassName": 3}', "cannot be opened"),
  ):
    path.write_text(bad)
    with pytest.raises(DataError, match=reason):
      tfds_source.open_source("ramjax_rows/chat", "train", str(tmp_path))


def test_damaged_info_is_an_error_that_names_the_directory(prepared, tmp_path):
  shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
  path = tmp_path / "ramjax_rows" / "chat" / "1.0.0" / "dataset_info.json"
  for bad in ("", "{", "[]", '{"name": 3}', '{"version": "x"}', "\udcff"):
    path.write_bytes(bad.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"chat/1\.0\.0"):
      tfds_source.open_source("ramjax_rows/chat", "train", str(tmp_path))


def test_damaged_records_are_bad_rows_not_crashes(prepared, tmp_path):
  shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
  directory = tmp_path / "ramjax_rows" / "chat" / "1.0.0"
  [path] = directory.glob("*.array_record*")
  whole = path.read_bytes()
  for damaged in (whole[: len(whole) // 2], b"", b"x" * len(whole)):
    path.write_bytes(damaged)
    source = tfds_source.open_source("ramjax_rows/chat", "train", str(tmp_path))
    with pytest.raises(RecordError, match="cannot be decoded"):
      source[0]
    with pytest.raises(DataError, match="row 1: cannot be decoded"):
      load.load_rows(
        tfds_rows.source_path("chat", "train", str(tmp_path)),
        parse=parse_rows.parse_sft,
      )


def test_formats_without_random_access_name_the_one_to_take(prepared, tmp_path):
  shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
  path = tmp_path / "ramjax_rows" / "chat" / "1.0.0" / "dataset_info.json"
  info = json.loads(path.read_text())
  path.write_text(json.dumps({**info, "fileFormat": "tfrecord"}))
  with pytest.raises(DataError, match="again with file_format='array_record'"):
    tfds_source.open_source("ramjax_rows/chat", "train", str(tmp_path))


class Mixed(tfds.core.GeneratorBasedBuilder):
  """A dataset of another project, in the shapes that features can take."""

  VERSION = tfds.core.Version("2.3.4")
  code_path = None

  def _info(self):
    text = tfds.features.Text()
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {
          "messages": tfds.features.Sequence({"role": text, "content": text}),
          "tags": tfds.features.Sequence(text),
          "nested": {"scores": tfds.features.Sequence(np.float32)},
          "vector": tfds.features.Tensor(shape=(2,), dtype=np.int32),
          "kind": tfds.features.ClassLabel(names=["a", "b"]),
          "raw": tfds.features.Tensor(shape=(), dtype=np.str_),
          "extra_json": text,
        }
      ),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    return {"validation-1": self._generate_examples()}

  def _generate_examples(self):
    plain = {
      "messages": [ASK, ANSWER],
      "tags": ["x", "y"],
      "nested": {"scores": [0.5]},
      "vector": [1, 2],
      "kind": "b",
      "raw": b"\xc3\xa9",
      "extra_json": '{"id": 7}',
    }
    yield 0, plain
    yield 1, {**plain, "messages": [], "tags": [], "extra_json": "{"}
    yield 2, {**plain, "raw": b"\xff"}


def test_datasets_of_others_give_plain_records(tmp_path):
  builder = Mixed(data_dir=str(tmp_path), file_format="array_record")
  builder.download_and_prepare(download_dir=str(tmp_path / "downloads"))
  source = tfds_source.open_source("mixed", "validation-1", str(tmp_path))
  assert source[0] == {
    "messages": [ASK, ANSWER],
    "tags": ["x", "y"],
    "nested": {"scores": [0.5]},
    "vector": [1, 2],
    "kind": 1,
    "raw": "é",
    "id": 7,
  }
  with pytest.raises(RecordError, match="extra_json is no JSON object"):
    source[1]
  with pytest.raises(RecordError, match="'utf-8' codec can't decode"):
    source[2]
  with pytest.raises(IndexError):
    source[3]
