# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval agreement`: tables, items left out, refusals."""

import json

import pytest

from ramjax.tools import eval as eval_command


def _run(folder, rows, *argv):
  path = folder / "labels.jsonl"
  records = [
    dict(zip(("item", "annotator", "label"), row, strict=True)) for row in rows
  ]
  path.write_text("".join(json.dumps(r) + "\n" for r in records))
  out = folder / "out"
  status = eval_command.main(
    ["agreement", f"--verdicts={path}", f"--out={out}", *argv]
  )
  if status:
    return None
  return json.loads((out / "evaluation.json").read_text())


_ROWS = [
  *((i, "x", label) for i, label in enumerate("aabb")),
  *((i, "y", label) for i, label in enumerate("aaba")),
  (9, "x", "a"),
  (8, "z", "a"),
]


def test_pairs_and_annotators_are_shown_and_singles_left_out(tmp_path, capsys):
  found = _run(tmp_path, _ROWS)
  (pair,) = found["tables"]["pairs"]
  assert (pair["annotator"], pair["and"]) == ("x", "y")
  assert (pair["items"], pair["observed, share"], pair["kappa"]) == (
    4,
    0.75,
    0.5,
  )
  assert found["figures"]["items"] == 4
  assert found["figures"]["mean kappa of pairs"] == 0.5
  agreement = "agreement with the others' majority, share"
  assert found["figures"][agreement] == 0.75
  assert found["counted"] == {
    "items with a single annotator, left out": 2,
    "annotators without an item that another one labelled": 1,
  }
  assert "kappa" in capsys.readouterr().out


def test_pairs_without_a_kappa_are_counted(tmp_path):
  found = _run(tmp_path, [(1, "x", "a"), (1, "y", "a")])
  assert found["tables"]["pairs"][0]["kappa"] is None
  assert found["figures"]["mean kappa of pairs"] is None
  assert found["counted"] == {"pairs of annotators without a kappa": 1}


def test_labels_may_be_numbers_and_text_apart(tmp_path):
  rows = [(1, "x", 1), (1, "y", 1.0), (2, "x", 1), (2, "y", "1")]
  found = _run(tmp_path, [*rows, ("1", "z", True)])
  assert found["tables"]["pairs"][0]["observed, share"] == 0.5
  assert found["counted"]["items with a single annotator, left out"] == 1


@pytest.mark.parametrize(
  "row,message",
  [
    ((None, "x", "a"), "item is missing"),
    ((1, None, "a"), "annotator is missing"),
    ((1, 3, "a"), "annotator is a int"),
    ((1, "\x1b[2J", "a"), "printable"),
    ((1, "x", None), "label is missing"),
    ((1, "x", ["a"]), "label is a list"),
    ((0, "x", "b"), "already at labels.jsonl:1"),
  ],
)
def test_a_record_that_is_no_label_is_refused(tmp_path, capsys, row, message):
  assert _run(tmp_path, [(0, "x", "a"), row]) is None
  error = capsys.readouterr().err
  assert "labels.jsonl:2: " in error and message in error


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["item", "label"])
def test_a_number_of_parquet_that_is_none_is_refused(
  name, value, tmp_path, capsys
):
  pa = pytest.importorskip("pyarrow")
  pq = pytest.importorskip("pyarrow.parquet")
  rows = [
    {"item": 1.0, "annotator": who, "label": 1.0} for who in ("x", "y", "z")
  ]
  rows[2] |= {name: value}
  path = tmp_path / "labels.parquet"
  pq.write_table(pa.Table.from_pylist(rows), path)
  assert eval_command.main(["agreement", f"--verdicts={path}"]) == 1
  error = capsys.readouterr().err
  assert f"labels.parquet: row 3: {name} is {value}, which is no num" in error


def test_what_is_read_is_never_written_and_what_is_written_is_said(
  tmp_path, capsys
):
  assert _run(tmp_path, _ROWS) is not None
  path = tmp_path / "out/evaluation.json"
  assert capsys.readouterr().out.endswith(f"\n\nwritten: {path}\n")
  argv = ["agreement", f"--verdicts={path}", f"--out={tmp_path / 'out'}"]
  assert eval_command.main(argv) == 1
  shown = capsys.readouterr()
  assert not shown.out and "is the file that is read" in shown.err


def test_nothing_to_compare_is_refused(tmp_path, capsys):
  assert _run(tmp_path, [(1, "x", "a"), (2, "y", "a")]) is None
  assert "nothing to compare" in capsys.readouterr().err
  assert _run(tmp_path, []) is None
  assert "no records" in capsys.readouterr().err
