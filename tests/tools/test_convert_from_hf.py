# SPDX-License-Identifier: Apache-2.0
"""`ramjax convert from-hf`: a folder of theirs becomes one of ours."""

import json

import numpy as np
import pytest

from ramjax.models.run_folder import RunFolder
from ramjax.tools import cli


def _error(argv, capsys):
  """The one line that a refused conversion prints."""
  assert cli.main(["convert", "from-hf", *map(str, argv)]) == 1
  captured = capsys.readouterr()
  assert captured.out == ""
  (line,) = captured.err.splitlines()
  assert line.startswith("ramjax convert from-hf: ")
  return line


@pytest.fixture
def hf(tiny, shapes, state_of, tmp_path):
  folder = tiny.write_hf(
    tmp_path / "theirs", shapes["qwen2"], state_of("qwen2")
  )
  (folder / "tokenizer.json").write_text("{}")
  return folder


def test_model_is_converted_and_named(hf, state_of, tmp_path, capsys):
  run = tmp_path / "runs" / "qwen"
  assert cli.main(["convert", "from-hf", str(hf), str(run)]) == 0
  out = capsys.readouterr().out
  source = RunFolder(run)
  assert (
    f"{run}: {len(source.specs)} tensors, 0.00 GB,"
    f" {source.config.num_parameters:,} parameters\n"
  ) in out
  for name, array in state_of("qwen2").items():
    np.testing.assert_array_equal(source.rows(name, 0, len(array)), array)
  assert (run / "hf/tokenizer.json").read_text() == "{}"
  made = json.loads((run / "provenance.json").read_text())
  assert made["command"] == "convert from-hf" and made["source"] == str(hf)
  assert made["version"].startswith("ramjax ")


def test_dtype_is_that_asked_for(hf, state_of, tmp_path):
  argv = ["convert", "from-hf", str(hf), str(tmp_path / "a")]
  assert cli.main([*argv, "--dtype=bfloat16"]) == 0
  source = RunFolder(tmp_path / "a")
  name = "model.layers.1.mlp.down_proj.weight"
  expected = state_of("qwen2")[name].astype("bfloat16")
  np.testing.assert_array_equal(source.rows(name, 0, 32), expected, strict=True)


def test_nan_stops_unless_it_is_allowed(
  tiny, shapes, state_of, tmp_path, capsys
):
  state = state_of("3")
  state["model.norm.weight"][0] = np.nan
  hf = tiny.write_hf(tmp_path / "theirs", shapes["3"], state)
  target = tmp_path / "a"
  line = _error([hf, target], capsys)
  assert "'model.norm.weight' has NaN" in line and not target.exists()
  argv = ["convert", "from-hf", str(hf), str(target), "--allow-nonfinite"]
  assert cli.main(argv) == 0
  rows = RunFolder(target).rows("model.norm.weight", 0, 32)
  np.testing.assert_array_equal(rows, state["model.norm.weight"])


def test_missing_folder_is_one_line(tmp_path, capsys):
  line = _error([tmp_path / "nowhere", tmp_path / "a"], capsys)
  assert "nowhere" in line


def test_existing_target_is_one_line(hf, tmp_path, capsys):
  line = _error([hf, tmp_path], capsys)
  assert f"{tmp_path} exists already" in line


def test_code_in_a_model_is_one_line(tiny, shapes, state_of, tmp_path, capsys):
  hf = tiny.write_hf(
    tmp_path / "theirs", shapes["3"], state_of("3"), auto_map={"A": "m.A"}
  )
  assert "auto_map names Python code" in _error([hf, tmp_path / "a"], capsys)


def test_damaged_file_is_one_line(hf, tmp_path, capsys):
  path = hf / "model.safetensors"
  path.write_bytes(path.read_bytes()[:-1])
  assert "model.safetensors" in _error([hf, tmp_path / "a"], capsys)


@pytest.mark.parametrize(
  "argv", [[], ["a"], ["a", "b", "--dtype=int8"], ["a", "b", "--dty=float16"]]
)
def test_misspelt_options_are_status_2(argv, capsys):
  with pytest.raises(SystemExit) as end:
    cli.main(["convert", "from-hf", *argv])
  assert end.value.code == 2
  assert "usage: ramjax convert from-hf" in capsys.readouterr().err
