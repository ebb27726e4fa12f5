# SPDX-License-Identifier: Apache-2.0
"""model_outputs.json: what is read, what is refused, what is kept."""

import gzip
import json

import pytest

from ramjax.evals import model_outputs
from ramjax.evals.model_outputs import ModelOutput


def _file(folder, rows):
  path = folder / "model_outputs.json"
  path.write_text(json.dumps(rows))
  return path


def _row(instruction="Say hi.", output="Hi.", **extra):
  return {"instruction": instruction, "output": output, **extra}


def test_rows_are_read_in_order_with_what_they_have(tmp_path):
  rows = [
    _row("b", "", generator="m", dataset="koala", datasplit="eval"),
    _row("a", "two", input=""),
  ]
  first, second = model_outputs.read(_file(tmp_path, rows))
  assert (first.instruction, first.output) == ("b", "")
  assert (first.generator, first.dataset) == ("m", "koala")
  assert (second.generator, second.dataset) == (None, None)
  assert [first.original, second.original] == rows


def test_what_is_written_is_what_was_read(tmp_path):
  rows = [_row("á\ud83d", "x\n", generator="m", nested={"a": [1, None]}, z=0.5)]
  outputs = model_outputs.read(_file(tmp_path, rows))
  path = model_outputs.write(tmp_path / "again.json", outputs)
  assert json.loads(path.read_text()) == rows
  assert model_outputs.read(path) == outputs
  assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_a_record_made_here_is_written_without_what_it_lacks(tmp_path):
  path = model_outputs.write(tmp_path / "new.json", [ModelOutput("a", "b")])
  assert json.loads(path.read_text()) == [{"instruction": "a", "output": "b"}]


def test_compressed_lines_are_read(tmp_path):
  path = tmp_path / "outputs.jsonl.gz"
  path.write_bytes(gzip.compress(json.dumps(_row()).encode() + b"\n"))
  assert model_outputs.read(path)[0].output == "Hi."


@pytest.mark.parametrize("second", ["Hi.", "Hello."])
def test_a_repeated_instruction_is_refused_even_if_the_rows_are_equal(
  tmp_path, second
):
  path = _file(tmp_path, [_row(), _row("x"), _row(output=second)])
  with pytest.raises(ValueError, match=r"row 3 .* of .* row 1, 'Say hi\.'"):
    model_outputs.read(path)


@pytest.mark.parametrize(
  "rows,words",
  [
    ([], "no rows"),
    ([{"instruction": "a"}], "row 1 has no 'output' but 'instruction'"),
    ([{"output": "a"}], "no 'instruction'"),
    ([_row(output=None)], "row 1: output=None must be a string"),
    ([_row(), _row("b", output=3)], "row 2: output=3 must be a string"),
    ([_row(generator=3)], "generator=3"),
    ([_row(generator="a"), _row("b", generator="b")], "row 2 is by 'b'"),
    (["text"], "row 1 is 'text', and must be an object"),
    ([_row(cost=float("nan"))], "row 1: NaN is not JSON: write null"),
  ],
)
def test_other_files_are_refused_by_row(tmp_path, rows, words):
  with pytest.raises(ValueError, match=words):
    model_outputs.read(_file(tmp_path, rows))


def test_a_value_that_is_no_json_is_not_written(tmp_path):
  output = ModelOutput("a", "b", original={"cost": float("nan")})
  with pytest.raises(ValueError):
    model_outputs.write(tmp_path / "bad.json", [output])
  assert not list(tmp_path.iterdir())
