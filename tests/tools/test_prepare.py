# SPDX-License-Identifier: Apache-2.0
"""`ramjax prepare` prints a path that loads, or one line that says why not."""

import json

import pytest

from ramjax.data import load, parse_rows
from ramjax.data.rows import TextRow
from ramjax.tools import prepare


def test_the_printed_path_loads_the_rows(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  lines = [{"text": "a"}, {"text": ""}, {"text": "b"}]
  (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
  arguments = ["a.jsonl", "--config=text", "--data-dir=out", "--split=test"]
  bad = ["--max-bad-share=0.5", "--quarantine=bad.jsonl"]
  assert prepare.main(arguments + bad) == 0
  path = capsys.readouterr().out.strip()
  assert path == f"tfds:ramjax_rows/text:test?data_dir={tmp_path}/out"
  monkeypatch.chdir("/")  # The path holds wherever training is started.
  loaded = load.load_rows(path, parse=parse_rows.parse_sft)
  assert loaded.rows == [TextRow("", "a"), TextRow("", "b")]
  assert "text is empty" in (tmp_path / "bad.jsonl").read_text()


def test_a_mistake_is_one_line_and_status_one(tmp_path, capsys):
  arguments = ["no.jsonl", "--config=chat", f"--data-dir={tmp_path}"]
  assert prepare.main(arguments) == 1
  out, err = capsys.readouterr()
  assert out == ""
  assert err.startswith("ramjax prepare: path='no.jsonl' does not exist")
  assert err.count("\n") == 1


def test_help_names_every_config(capsys):
  with pytest.raises(SystemExit, match="0"):
    prepare.main(["--help"])
  out = capsys.readouterr().out
  for config in ("chat", "preference_text", "unpaired"):
    assert f"\n  {config} " in out
