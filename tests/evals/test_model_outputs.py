# SPDX-License-Identifier: Apache-2.0
"""model_outputs.json: what is read, and what is refused."""

import gzip
import json

import pytest

from ramjax.evals import model_outputs


def _file(folder, rows):
  path = folder / "model_outputs.json"
  path.write_text(json.dumps(rows))
  return path


def _row(instruction="Say hi.", output: object = "Hi.", **extra):
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
  assert (second.instruction, second.output) == ("a", "two")


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


def test_parquet_is_refused(tmp_path):
  path = tmp_path / "outputs.parquet"
  path.write_bytes(b"PAR1")
  with pytest.raises(ValueError, match=r"Parquet .* Convert it to \.json"):
    model_outputs.read(path)
