# SPDX-License-Identifier: Apache-2.0
"""The authors' tables: what is read, what is refused, what is official."""

import gzip
import hashlib
import math
import pathlib

import numpy as np
import pytest

from ramjax.evals import length_constants

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/alpaca_eval"
_HEAD = (
  "model,index,preference,std_delta_len,instruction_difficulty,"
  "not_gamed_baseline\n"
)
_GAMED = _HEAD + (
  "v,0,0.75,-1.5,-0.5,False\n"
  "v,1,,0.5,0.25,False\n"
  "c,1,0.125,3.0,0.25,False\n"
  "c,0,0.5,0.0,-0.5,False\n"
)


def _file(folder, text, name="df_gamed.csv"):
  path = folder / name
  data = text.encode()
  path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
  return path


@pytest.mark.parametrize("name", ["df_gamed.csv", "df_gamed.csv.gz"])
def test_frozen_rows_by_hand(tmp_path, name):
  found = length_constants.read_gamed(_file(tmp_path, _GAMED, name))
  expected = [math.tanh(-1.5), math.tanh(3.0), 0.0]
  np.testing.assert_allclose(found.length, expected)
  assert found.row_difficulty.tolist() == [-0.5, 0.25, -0.5]
  assert found.labels.tolist() == [0.75, 0.125, 0.5]
  assert found.difficulty.tolist() == [-0.5, 0.25]
  assert (found.num_unlabelled, found.is_official) == (1, False)


def test_a_column_of_row_numbers_does_no_harm(tmp_path):
  lines = _GAMED.splitlines()
  text = "".join(f"{i},{line}\n" for i, line in enumerate(lines))
  text = text.replace("0,model", ",model")
  found = length_constants.read_gamed(_file(tmp_path, text))
  assert found.difficulty.tolist() == [-0.5, 0.25]


@pytest.mark.parametrize("name", ["d.csv", "d.csv.gz"])
def test_the_published_digest_is_of_the_table_itself(
  tmp_path, monkeypatch, name
):
  text = "index,instruction_difficulty\n0,-0.5\n1,2\n"
  path = _file(tmp_path, text, name)
  assert not length_constants.read_difficulty(path).is_official
  digest = hashlib.sha256(text.encode()).hexdigest()
  monkeypatch.setattr(length_constants, "DIFFICULTY_SHA256", digest)
  found = length_constants.read_difficulty(path)
  assert found.is_official and found.values.tolist() == [-0.5, 2.0]
  digest = hashlib.sha256(_GAMED.encode()).hexdigest()
  monkeypatch.setattr(length_constants, "GAMED_SHA256", digest)
  assert length_constants.read_gamed(_file(tmp_path, _GAMED)).is_official


@pytest.mark.parametrize(
  "text,words",
  [
    ("", "must have model, index"),
    (_HEAD, "no rows"),
    ("model,index\nv,0\n", "must have model, index, preference"),
    (
      _GAMED.replace("c,1,0.125,3.0,0.25", "c,0,0.125,3.0,-0.5"),
      "line 5 is a second row of 'c' with index 0",
    ),
    (
      _GAMED.replace("c,1,", "c,2,"),
      r"\'v\' lacks the indexes \[2\] of 0 to 2",
    ),
    (_GAMED.replace("c,", "v2,").replace("v2,1", "w,1"), "3 models"),
    (_HEAD + "v,0,0.5,0,0,False\n", "1 models"),
    (_GAMED.replace("0.75", "1.75"), "line 2: preference=1.75 must be from 0"),
    (_GAMED.replace("-1.5", "x"), "line 2: std_delta_len='x'"),
    (_GAMED.replace("-1.5", "inf"), "line 2: std_delta_len='inf'"),
    (_GAMED.replace("v,0", "v,-1"), "line 2: index='-1'"),
    (_GAMED.replace("0.5,0.25", "0.5,0.26"), "has difficulty 0.25 .* 0.26"),
    (_GAMED.replace("0.0,-0.5,False", "0.0,-0.5,True"), "must be False"),
    (_GAMED.replace(",False\nv", "\nv"), "line 2 has 5 cells under 6"),
    (_GAMED.replace("v,0", '"v"x,0'), "no CSV file"),
    (_GAMED + "c,2,0.5,0,0,False\n", "'v' lacks the indexes"),
  ],
)
def test_other_tables_are_refused(tmp_path, text, words):
  with pytest.raises(ValueError, match=words):
    length_constants.read_gamed(_file(tmp_path, text))


@pytest.mark.parametrize(
  "text,words",
  [
    ("index,difficulty\n0,1\n", "must have index, instruction_difficulty"),
    ("index,instruction_difficulty\n1,1\n", "index=1 must be 0"),
    ("index,instruction_difficulty\n0,nan\n", "must be a finite number"),
  ],
)
def test_other_tables_of_difficulties_are_refused(tmp_path, text, words):
  with pytest.raises(ValueError, match=words):
    length_constants.read_difficulty(_file(tmp_path, text))


def test_damage_and_bombs_are_refused(tmp_path, monkeypatch):
  path = _file(tmp_path, _GAMED, "df_gamed.csv.gz")
  monkeypatch.setattr(length_constants, "_MOST_BYTES", 50)
  with pytest.raises(ValueError, match="more than 50 bytes"):
    length_constants.read_gamed(path)
  monkeypatch.undo()
  path.write_bytes(path.read_bytes()[:-9])
  with pytest.raises(ValueError, match="damaged gzip"):
    length_constants.read_gamed(path)
  path = tmp_path / "latin.csv"
  path.write_bytes(b"\xff\xfe")
  with pytest.raises(ValueError, match="no CSV file"):
    length_constants.read_gamed(path)
  with pytest.raises(FileNotFoundError):
    length_constants.read_gamed(tmp_path / "missing.csv")


def test_reconstructed_tables_agree_and_are_not_official():
  folder = _DATA / "lc_oracle"
  if not folder.is_dir():
    pytest.skip("no tables of AlpacaEval on this machine")
  gamed = length_constants.read_gamed(folder / "df_gamed_RECONSTRUCTED.csv.gz")
  table = length_constants.read_difficulty(
    folder / "instruction_difficulty_RECONSTRUCTED.csv"
  )
  assert len(gamed.labels) == 2 * len(table.values) == 1610
  np.testing.assert_allclose(gamed.difficulty, table.values, atol=1e-9)
  assert not gamed.is_official and not table.is_official
