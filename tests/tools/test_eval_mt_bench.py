# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval mt_bench`: what it prints, writes and refuses."""

import csv
import json
import pathlib

import pytest

from ramjax.tools import eval as eval_command

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/mt_bench"


def _jsonl(path, rows):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return path


@pytest.fixture
def questions(tmp_path):
  rows = [
    {"question_id": 1, "category": "writing", "turns": ["a", "b"]},
    {"question_id": 2, "category": "math", "turns": ["a", "b"]},
  ]
  return _jsonl(tmp_path / "question.jsonl", rows)


def _grade(model, question_id, turn, score):
  return {
    "question_id": question_id,
    "model": model,
    "judge": ["j", "single-v1"],
    "user_prompt": "u",
    "judgment": f"[[{score}]]" if score >= 0 else "$ERROR$",
    "score": score,
    "turn": turn,
    "tstamp": 1.0,
  }


@pytest.fixture
def grades(tmp_path):
  rows = [
    _grade("low", 1, 1, 2),
    _grade("low", 1, 2, 4),
    _grade("low", 2, 1, -1),
    _grade("org/high", 1, 1, 9),
    _grade("org/high", 1, 1, 9),
    _grade("org/high", 2, 2, 8.5),
  ]
  return _jsonl(tmp_path / "j_single.jsonl", rows)


def _comparison(model_1, model_2, winner, question_id=1):
  letters = {"model_1": "AB", "model_2": "BA", "tie": "CC"}[winner]
  return {
    "question_id": question_id,
    "model_1": model_1,
    "model_2": model_2,
    "g1_winner": winner,
    "g2_winner": winner,
    "judge": ["j", "pair-v2"],
    "g1_user_prompt": "u",
    "g1_judgment": f"[[{letters[0]}]]",
    "g2_user_prompt": "v",
    "g2_judgment": f"[[{letters[1]}]]",
    "turn": 1,
    "tstamp": 1.0,
  }


@pytest.fixture
def comparisons(tmp_path):
  rows = [
    _comparison("base", "x", "model_2"),
    _comparison("y", "base", "model_2"),
    _comparison("x", "y", "tie", 2),
  ]
  return _jsonl(tmp_path / "j_pair.jsonl", rows)


def _run(*words):
  return eval_command.main(["mt_bench", *map(str, words)])


def _table(out, title):
  """The rows of a table on the terminal, as dicts of text."""
  lines = out.split(f"\n{title}\n")[1].split("\n\n")[0].splitlines()
  head = lines[0].split()
  return [dict(zip(head, line.split(), strict=True)) for line in lines[1:]]


def test_models_stand_in_one_table_the_best_first(grades, questions, capsys):
  assert _run(f"--judge={grades}", f"--questions={questions}") == 0
  out = capsys.readouterr().out
  assert "mt_bench: 2 models" in out
  high, low = _table(out, "models")
  assert high == {
    "model": "org/high",
    "average": "8.8333",
    "turn_1": "9.0000",
    "turn_2": "8.5000",
    "judgments": "3",
    "unscored": "0",
    "repeated": "1",
    "different": "0",
    "missing": "2",
  }
  assert (low["average"], low["unscored"], low["missing"]) == (
    *("3.0000", "1", "1"),
  )
  by_category = _table(out, "average by category")
  assert by_category == [
    {"model": "org/high", "writing": "9.0000", "math": "8.5000"},
    {"model": "low", "writing": "3.0000", "math": "-"},
  ]
  assert "missing: questions and turns without any judgment" in out


def test_one_model_is_shown_by_turn_and_category(grades, questions, capsys):
  words = f"--judge={grades}", f"--questions={questions}", "--model=low"
  assert _run(*words) == 0
  out = capsys.readouterr().out
  assert out.startswith("mt_bench: low\n")
  assert _table(out, "by category")[0] == {
    "category": "writing",
    "average": "3.0000",
    "turn_1": "2.0000",
    "turn_2": "4.0000",
    "judgments": "2",
  }
  assert "1 judgments without a score (-1): left out" in out


def test_without_questions_there_are_no_categories(grades, capsys):
  assert _run(f"--judge={grades}") == 0
  out = capsys.readouterr().out
  assert "by category" not in out
  assert "Without --questions" in out
  assert "missing" not in _table(out, "models")[0]


def test_comparisons_are_known_by_their_records(comparisons, questions, capsys):
  assert _run(f"--judge={comparisons}", f"--questions={questions}") == 0
  rows = _table(capsys.readouterr().out, "models")
  rates = {row["model"]: row["win_share_adjusted"] for row in rows}
  assert rates == {"x": "0.7500", "base": "0.5000", "y": "0.2500"}
  assert next(iter(rates)) == "x"


def test_a_baseline_leaves_its_own_comparisons_and_has_no_row(
  comparisons, questions, tmp_path, capsys
):
  out = tmp_path / "out"
  words = f"--judge={comparisons}", "--baseline=base", f"--out={out}"
  assert _run(*words, f"--questions={questions}", "--mode=pair") == 0
  rows = _table(capsys.readouterr().out, "models")
  rates = {row["model"]: row["win_share"] for row in rows}
  assert rates == {"x": "1.0000", "y": "0.0000"}
  written = (out / "model_judgment/j_pair/vs_base.jsonl").read_text()
  given = comparisons.read_text().splitlines(keepends=True)
  assert written == "".join(given[:2])


def test_out_holds_evaluations_and_the_judgments_as_they_were(
  grades, questions, tmp_path, capsys
):
  out = tmp_path / "out"
  words = f"--judge={grades}", f"--questions={questions}", f"--out={out}"
  assert _run(*words) == 0
  written = out / "model_judgment/j_single.jsonl"
  assert capsys.readouterr().out.endswith(
    f"\n\nwritten: {written}, and evaluation.json of 2 models, each in its"
    f" folder under {out}\n"
  )
  # A slash in a name makes no folder.
  record = json.loads((out / "org_high/evaluation.json").read_text())
  assert record["model"] == "org/high"
  assert record["figures"]["average"] == pytest.approx(26.5 / 3)
  assert record["inputs"].keys() == {str(grades), str(questions)}
  assert record["command"] == ["ramjax", "eval", "mt_bench", *words]
  assert (out / "low/evaluation.json").is_file()
  assert written.read_bytes() == grades.read_bytes()
  # What was written is read again, and never overwritten while it is read.
  assert _run(f"--judge={written}", f"--out={out}") == 1
  assert "is the file that is read" in capsys.readouterr().err
  assert written.read_bytes() == grades.read_bytes()


def test_a_part_of_the_judgments_lies_apart_from_all_of_them(grades, tmp_path):
  out = tmp_path / "out"
  words = f"--judge={grades}", f"--out={out}"
  assert _run(*words) == 0
  assert _run(*words, "--model=org/high") == 0
  # Both again: what is there is the same.
  assert _run(*words) == _run(*words, "--model=org/high") == 0
  folder = out / "model_judgment"
  given = grades.read_text().splitlines(keepends=True)
  assert (folder / "j_single.jsonl").read_text() == "".join(given)
  part = folder / "j_single/org_high.jsonl"
  assert part.read_text() == "".join(given[3:])


def test_comparisons_of_two_models_are_named_for_both(comparisons, tmp_path):
  out = tmp_path / "out"
  words = f"--judge={comparisons}", "--model=x", "--baseline=base"
  assert _run(*words, f"--out={out}") == 0
  (path,) = (out / "model_judgment").rglob("*.jsonl")
  assert path == out / "model_judgment/j_pair/x_vs_base.jsonl"
  assert (out / "x_vs_base/evaluation.json").is_file()
  # Against all models, whose figures are others, it lies elsewhere.
  assert _run(f"--judge={comparisons}", "--model=x", f"--out={out}") == 0
  assert (out / "x/evaluation.json").is_file()


@pytest.mark.parametrize("model", ["a_b", None])
def test_other_judgments_are_never_replaced(model, grades, tmp_path, capsys):
  rows = [_grade(name, 1, 1, 5) for name in ("a/b", "c")]
  other = _jsonl(tmp_path / "other/j_single.jsonl", rows)
  out = tmp_path / "out"
  words = [] if model is None else ["--model=a/b"]
  assert _run(f"--judge={other}", f"--out={out}", *words) == 0
  before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
  rows = [_grade(name, 1, 1, 7) for name in ("a_b", "d")]
  _jsonl(grades, rows)
  words = [] if model is None else ["--model=a_b"]
  assert _run(f"--judge={grades}", f"--out={out}", *words) == 1
  shown = capsys.readouterr()
  assert "a_b" in shown.err and "another folder with --out" in shown.err
  assert before == {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_nothing_is_printed_of_what_cannot_be_written(grades, tmp_path, capsys):
  out = tmp_path / "out"
  _jsonl(out / "model_judgment/j_single.jsonl", [])
  assert _run(f"--judge={grades}", f"--out={out}") == 1
  shown = capsys.readouterr()
  assert not shown.out and "holds other judgments than the 6" in shown.err


@pytest.mark.parametrize(
  "score", [10**390, -(10**101), 1e308], ids=["no float", "far below", "1e308"]
)
def test_a_score_that_no_mean_can_take_is_refused(score, tmp_path, capsys):
  rows = [_grade("m", 1, 1, 5), {**_grade("m", 1, 2, 5), "score": score}]
  grades = _jsonl(tmp_path / "g.jsonl", rows)
  assert _run(f"--judge={grades}") == 1
  error = capsys.readouterr().err
  assert "g.jsonl:2: score is a number" in error and "1e+100" in error


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_of_parquet_that_is_no_number_is_refused(
  score, tmp_path, capsys
):
  pa = pytest.importorskip("pyarrow")
  pq = pytest.importorskip("pyarrow.parquet")
  rows = [_grade("m", 1, 1, 5.0), {**_grade("m", 1, 2, 5), "score": score}]
  pq.write_table(pa.Table.from_pylist(rows), tmp_path / "g.parquet")
  assert _run(f"--judge={tmp_path / 'g.parquet'}") == 1
  error = capsys.readouterr().err
  assert "g.parquet: row 2: score is " in error and "a finite number" in error


def test_an_extra_value_that_json_has_not_is_refused_by_row(tmp_path, capsys):
  pa = pytest.importorskip("pyarrow")
  pq = pytest.importorskip("pyarrow.parquet")
  rows = [{**_grade("m", 1, 1, 5.0), "more": float("nan")}]
  pq.write_table(pa.Table.from_pylist(rows), tmp_path / "g.parquet")
  out = tmp_path / "out"
  assert _run(f"--judge={tmp_path / 'g.parquet'}", f"--out={out}") == 1
  assert "g.parquet: row 1: a field besides" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["..", ".", "../x", "/etc", "a\\b", "model"])
def test_a_models_name_leads_to_no_other_folder(name, tmp_path, capsys):
  grades = _jsonl(tmp_path / "g.jsonl", [_grade(name, 1, 1, 5)])
  out = tmp_path / "deep/out"
  assert _run(f"--judge={grades}", f"--out={out}") == 0
  found = [path.parent for path in tmp_path.rglob("evaluation.json")]
  assert len(found) == 1
  assert found[0].parent == out
  assert found[0].name not in ("..", ".")


@pytest.mark.parametrize("names", [("a/b", "a_b"), ("model_judgment", "c")])
def test_models_that_would_share_a_folder_are_refused(names, tmp_path, capsys):
  rows = [_grade(name, 1, 1, 5) for name in names]
  grades = _jsonl(tmp_path / "g.jsonl", rows)
  assert _run(f"--judge={grades}", f"--out={tmp_path / 'out'}") == 1
  assert "would share the folder" in capsys.readouterr().err
  assert not (tmp_path / "out").exists()


def test_what_cannot_be_is_said_in_one_line(
  grades, comparisons, questions, capsys
):
  for words, message in (
    ([f"--judge={grades}", "--mode=pair"], "holds judgments of mode single"),
    ([f"--judge={grades}", "--model=none"], "--model=none is in no judgment"),
    ([f"--judge={grades}", "--baseline=low"], "--baseline=low is for comp"),
    ([f"--judge={comparisons}", "--baseline=z"], "--baseline=z is in no"),
    (
      [f"--judge={comparisons}", "--baseline=x", "--model=x"],
      "--model and --baseline are both x",
    ),
    ([f"--judge={questions}"], "no MT-Bench judgment"),
    ([f"--judge={questions}.none"], "none of the known suffixes"),
    ([f"--judge={grades}", f"--questions={grades}"], "no 'category'"),
  ):
    assert _run(*words) == 1
    assert message in capsys.readouterr().err


def test_judgments_on_other_questions_are_refused(grades, tmp_path, capsys):
  row = {"question_id": 1, "category": "writing", "turns": ["a", "b"]}
  questions = _jsonl(tmp_path / "other.jsonl", [row])
  assert _run(f"--judge={grades}", f"--questions={questions}") == 1
  assert "j_single.jsonl:3: question_id=2 is none" in capsys.readouterr().err


def test_the_recorded_judgments_come_to_the_expected_scores(tmp_path, capsys):
  if not _DATA.is_dir():
    pytest.skip("the MT-Bench files are not here")
  words = (
    f"--judge={_DATA / 'judgments_gpt-4_single.jsonl.gz'}",
    f"--questions={_DATA / 'question.jsonl'}",
    f"--out={tmp_path / 'out'}",
  )
  assert _run(*words) == 0
  rows = {
    row["model"]: row for row in _table(capsys.readouterr().out, "models")
  }
  with (_DATA / "expected_single_scores.csv").open(newline="") as file:
    expected = {row["model"]: row for row in csv.DictReader(file)}
  assert rows.keys() == expected.keys()
  order = sorted(expected, key=lambda name: -float(expected[name]["average"]))
  assert list(rows) == order
  for name, row in expected.items():
    assert float(rows[name]["average"]) == pytest.approx(
      float(row["average"]), abs=5e-5
    )
    assert rows[name]["judgments"] == row["n"]
  assert (
    tmp_path / "out/model_judgment/judgments_gpt-4_single.jsonl"
  ).is_file()
