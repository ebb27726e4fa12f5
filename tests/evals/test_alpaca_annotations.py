# SPDX-License-Identifier: Apache-2.0
"""annotations.json: ties of old files, verdicts that are missing, refusals."""

import datetime
import json
import math

import pytest

from ramjax.evals import alpaca_annotations


def _row(instruction="Say hi.", preference: object = 2.0, **extra):
  return {
    "instruction": instruction,
    "output_1": "Hello.",
    "generator_1": "base",
    "output_2": "Hi.",
    "generator_2": "model",
    "preference": preference,
    **extra,
  }


def _file(folder, rows):
  path = folder / "annotations.json"
  path.write_text(json.dumps(rows))
  return path


def test_old_ties_and_missing_verdicts_are_counted(tmp_path):
  rows = [_row("a", 0), _row("b", None), _row("c", 1.25), _row("d", 0.0)]
  found = alpaca_annotations.read(_file(tmp_path, rows))
  assert found.preferences == [1.5, None, 1.25, 1.5]
  assert (found.num_zero, found.num_null) == (2, 1)
  assert [row.position for row in found.rows] == [0, 1, 2, 3]
  assert (found.baseline, found.model) == ("base", "model")
  assert found.annotator is None


def test_rows_of_different_keys_are_read_and_written_back(tmp_path):
  rows = [
    _row("a", 0, annotator="gpt-4", raw_completion={"logprobs": [1, None]}),
    _row("b", 1, dataset="koala", annotator="gpt-4", time_per_example=0.5),
  ]
  found = alpaca_annotations.read(_file(tmp_path, rows))
  assert found.annotator == "gpt-4"
  path = alpaca_annotations.write(tmp_path / "again.json", found.rows)
  assert json.loads(path.read_text()) == rows


def test_predictions_are_written_beside_the_verdicts(tmp_path):
  rows = [_row("a", 1, glm_preference=0.9), _row("b", None)]
  found = alpaca_annotations.read(_file(tmp_path, rows))
  path = alpaca_annotations.write(tmp_path / "n.json", found.rows, [0.25, 0.75])
  written = json.loads(path.read_text())
  assert [row.pop("glm_preference") for row in written] == [0.25, 0.75]
  assert written == [_row("a", 1), _row("b", None)]
  with pytest.raises(ValueError):
    alpaca_annotations.write(path, found.rows, [0.25])


def test_text_that_is_no_unicode_is_written_as_it_was_read(tmp_path):
  rows = [_row("á\ud83d", nested={"a": [1, None]})]
  found = alpaca_annotations.read(_file(tmp_path, rows))
  path = alpaca_annotations.write(tmp_path / "again.json", found.rows)
  assert json.loads(path.read_text()) == rows
  assert alpaca_annotations.read(path).rows[0].original == rows[0]
  assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_a_value_that_is_no_json_is_not_written(tmp_path):
  found = alpaca_annotations.read(_file(tmp_path, [_row()]))
  with pytest.raises(ValueError):
    alpaca_annotations.write(tmp_path / "bad.json", found.rows, [math.nan])
  assert [p.name for p in tmp_path.iterdir()] == ["annotations.json"]


def test_parquet_whose_values_may_be_no_json_is_refused(tmp_path):
  pa = pytest.importorskip("pyarrow")
  pq = pytest.importorskip("pyarrow.parquet")
  path = tmp_path / "annotations.parquet"
  when = datetime.datetime(2024, 4, 6)
  pq.write_table(pa.Table.from_pylist([_row(date=when)]), path)
  with pytest.raises(ValueError, match=r"Parquet .* Convert it to \.json"):
    alpaca_annotations.read(path)


@pytest.mark.parametrize(
  "preference", [0.5, 3, -1, 2.0001, 10**399, True, False, "2", [1], {}]
)
def test_other_preferences_are_refused_by_row(tmp_path, preference):
  path = _file(tmp_path, [_row("a"), _row("b", preference)])
  with pytest.raises(ValueError, match="row 2: preference="):
    alpaca_annotations.read(path)


def test_nan_is_refused_with_the_remedy(tmp_path):
  path = _file(tmp_path, [_row("a"), _row("b", float("nan"))])
  assert "NaN" in path.read_text()
  with pytest.raises(ValueError, match="row 2: NaN is not JSON: write null"):
    alpaca_annotations.read(path)


def _without(key):
  row = _row()
  del row[key]
  return row


@pytest.mark.parametrize(
  "rows,words",
  [
    ([], "no rows"),
    ([_without("preference")], "no 'preference': write null"),
    ([_without("output_1")], "no 'output_1'"),
    ([_without("generator_2")], "no 'generator_2'"),
    ([_row(output_2=None)], "output_2=None must be a string"),
    ([{"instruction": "a", "output": "b"}], "must be an AlpacaEval annot"),
    ([_row(), _row("b"), _row()], "row 3 has the instruction of .* row 1"),
    ([_row(), _row("b", generator_2="other")], "is of one model"),
    ([_row(), _row("b", generator_1="other")], "is of one baseline"),
    (
      [_row(annotator="x"), _row("b"), _row("c", annotator="y")],
      "row 3 has annotator='y' and .* row 1 has 'x': one file is of one judge",
    ),
    ([_row(generator_2="\x1b[2J")], "cannot be printed"),
    ([["a"]], "must be an object"),
  ],
)
def test_other_files_are_refused(tmp_path, rows, words):
  with pytest.raises(ValueError, match=words):
    alpaca_annotations.read(_file(tmp_path, rows))


def test_rows_may_be_named_by_a_question_and_share_an_instruction(tmp_path):
  rows = [_row("a", question_id=81), _row("a", question_id=161)]
  path = _file(tmp_path, rows)
  found = alpaca_annotations.read(path, key="question_id")
  assert [row.original["question_id"] for row in found.rows] == [81, 161]
  with pytest.raises(ValueError, match="has the instruction of"):
    alpaca_annotations.read(path)


@pytest.mark.parametrize(
  "question_id,match",
  [
    (81, r"has the question_id of .*, 81: it would count twice"),
    (True, "question_id=True must be a whole number"),
    (81.0, r"question_id=81\.0 must be"),
    (None, "question_id=None must be"),
  ],
)
def test_a_question_that_is_none_or_stands_twice_is_refused(
  tmp_path, question_id, match
):
  rows = [_row("a", question_id=81), _row("b", question_id=question_id)]
  with pytest.raises(ValueError, match=match):
    alpaca_annotations.read(_file(tmp_path, rows), key="question_id")
