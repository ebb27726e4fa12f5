# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval alpaca_eval`: from files to figures, and what is refused."""

import csv
import hashlib
import json
import math

import numpy as np
import pytest
from tiny_alpaca import (
  DATA,
  NUM,
  argv_of,
  gamed_tables,
  make_rows,
  outputs_of,
  read_lines,
  run,
  share_of,
  write_files,
  write_rows,
)

from ramjax.evals import length_constants
from ramjax.tools import eval as eval_command
from ramjax.tools import eval_alpaca


@pytest.fixture
def files(tmp_path):
  return write_files(tmp_path)


def _length_cells(out):
  """The leaderboard's cells of the length control."""
  with (out / "leaderboard.csv").open(newline="") as file:
    return list(csv.reader(file))[1][10:]


def test_without_constants_raw_metrics_and_a_variant_named_as_such(
  files, tmp_path, capsys
):
  argv = argv_of(files, "model", "judge")
  found = run(argv, tmp_path / "out")
  figures, rows = found["figures"], make_rows()
  shares = np.asarray([row["preference"] for row in rows]) - 1
  assert figures["win_rate"] == pytest.approx(100 * shares.mean())
  assert figures["n_total"] == NUM
  lengths = [len(row["output_2"]) for row in rows]
  assert figures["avg_length"] == int(np.mean(lengths))
  assert "length_controlled_minimal" in figures
  assert "length_controlled_winrate" not in figures
  shown = " ".join(capsys.readouterr().out.split())
  assert "alpaca_eval: mine" in shown
  assert "It is no published figure" in shown
  assert "df_gamed.csv and instruction_difficulty.csv" in shown
  assert found["model"] == "mine"
  assert set(found["inputs"]) == {str(files["model"]), str(files["judge"])}
  assert found["command"][:3] == ["ramjax", "eval", "alpaca_eval"]


def test_official_files_are_written(files, tmp_path):
  out = tmp_path / "out"
  found = run(argv_of(files, "model", "judge"), out)
  assert json.loads((out / "annotations.json").read_text()) == make_rows()
  with (out / "leaderboard.csv").open(newline="") as file:
    head, row = csv.reader(file)
  assert head == [
    *("", "win_rate", "standard_error", "n_wins", "n_wins_base", "n_draws"),
    *("n_total", "discrete_win_rate", "mode", "avg_length"),
    *("length_controlled_winrate", "lc_standard_error"),
  ]
  assert row[0] == "mine" and row[8] == "community"
  assert float(row[1]) == found["figures"]["win_rate"]
  assert row[10:] == ["", ""]
  # Once more, over what is there.
  run(argv_of(files, "model", "judge"), out)
  assert sorted(path.name for path in out.iterdir()) == [
    *("annotations.json", "evaluation.json", "leaderboard.csv")
  ]


def test_constants_that_are_not_the_published_ones_are_said_to_be_so(
  files, tmp_path, capsys
):
  argv = argv_of(files, "model", "judge", "gamed", "difficulty")
  out = tmp_path / "out"
  found = run(argv, out)
  assert found["figures"]["constants"] == "not official"
  assert 0 < found["figures"]["length_controlled_winrate"] < 100
  shown = " ".join(capsys.readouterr().out.split())
  assert "df_gamed.csv is not the published file" in shown
  assert "instruction_difficulty.csv is not the published file" in shown
  assert "no published figure" not in shown
  assert _length_cells(out) == ["", ""]
  written = json.loads((out / "annotations.json").read_text())
  assert "glm_preference" not in written[0]


@pytest.fixture
def official(files, monkeypatch):
  """Makes the tables of `files` the published ones."""
  for name, option in (("GAMED", "gamed"), ("DIFFICULTY", "difficulty")):
    digest = hashlib.sha256(files[option].read_bytes()).hexdigest()
    monkeypatch.setattr(length_constants, f"{name}_SHA256", digest)


@pytest.mark.usefixtures("official")
def test_the_published_constants_fill_the_official_columns(files, tmp_path):
  out = tmp_path / "out"
  argv = argv_of(files, "model", "judge", "reference", "gamed", "difficulty")
  found = run(argv, out)
  assert found["figures"]["constants"] == "official"
  assert found["notes"] == []
  cells = _length_cells(out)
  figures = found["figures"]
  assert float(cells[0]) == figures["length_controlled_winrate"]
  assert float(cells[1]) == figures["lc_standard_error"]
  written = json.loads((out / "annotations.json").read_text())
  glm = [row.pop("glm_preference") for row in written]
  assert 100 * np.mean(glm) == pytest.approx(float(cells[0]))
  assert written == make_rows()
  # By instruction is another figure, even where it has the same value.
  found = run([*argv, "--by-instruction"], out)
  assert "length_controlled_winrate" not in found["figures"]
  by = found["figures"]["length_controlled_winrate_by_instruction"]
  assert by == pytest.approx(float(cells[0]))
  assert _length_cells(out) == ["", ""]


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize(
  "key,value,words",
  [
    ("generator_1", "text_davinci_003", "The baseline is 'text_davinci_003'"),
    ("annotator", "another", "The judge is 'another'"),
    ("annotator", None, "The judge is not named"),
    ("generator_1", "gpt4_turbo", None),
  ],
)
def test_another_judge_or_baseline_leaves_the_official_columns_empty(
  files, tmp_path, key, value, words
):
  rows = [{**row, key: value} for row in make_rows()]
  write_rows(files["judge"], rows)
  out = tmp_path / "out"
  argv = argv_of(files, "model", "judge", "reference", "gamed", "difficulty")
  notes = run(argv, out)["notes"]
  cells = _length_cells(out)
  written = json.loads((out / "annotations.json").read_text())
  if words is None:
    assert notes == [] and all(cells) and "glm_preference" in written[0]
    return
  (note,) = notes
  assert words in note and "figure is not comparable" in note
  assert cells == ["", ""] and written == rows


@pytest.mark.usefixtures("official")
def test_a_table_that_is_not_the_published_one_empties_them_too(
  files, tmp_path, monkeypatch
):
  monkeypatch.setattr(length_constants, "DIFFICULTY_SHA256", "0" * 64)
  out = tmp_path / "out"
  argv = argv_of(files, "model", "judge", "reference", "gamed", "difficulty")
  found = run(argv, out)
  assert found["figures"]["constants"] == "not official"
  assert _length_cells(out) == ["", ""]


@pytest.mark.parametrize("extra", [[], ["--by-instruction"]])
def test_a_reference_of_another_set_numbers_no_instructions(files, extra):
  more = [
    *outputs_of(make_rows(), 1),
    {"instruction": "Task 20", "output": "x"},
  ]
  # In front: every row would have a neighbour's difficulty.
  write_rows(files["reference"], [more[-1], *more[:-1]])
  argv = argv_of(files, "model", "judge", "reference", "gamed", extra=extra)
  with pytest.raises(ValueError, match=r"21 instructions, and the .* 20"):
    eval_alpaca.main(argv)


@pytest.mark.parametrize("num", [NUM, NUM - 1])
def test_without_a_reference_the_order_is_said_to_be_unchecked(
  files, tmp_path, num
):
  # Outputs in the order of the annotations say nothing of that order.
  rows = make_rows()[::-1][:num]
  write_rows(files["judge"], rows)
  write_rows(files["model"], outputs_of(make_rows()[::-1], 2))
  found = run(argv_of(files, "model", "judge", "gamed"), tmp_path / "out")
  (note,) = [x for x in found["notes"] if "could not be checked" in x]
  assert ("1 of 20 instructions are missing" in note) == (num < NUM)


def test_a_missing_row_is_counted_and_shifts_difficulties(files, tmp_path):
  rows = make_rows()
  del rows[4]
  write_rows(files["judge"], rows)
  options = ("model", "judge", "reference", "gamed")
  found = run(argv_of(files, *options), tmp_path / "out")
  assert found["counted"] == {"outputs were not judged": 1}
  assert any("15 of 19 rows are not where" in x for x in found["notes"])
  by = run(
    argv_of(files, *options, extra=["--by-instruction"]), tmp_path / "by"
  )
  assert by["figures"][
    "length_controlled_winrate_by_instruction"
  ] != pytest.approx(found["figures"]["length_controlled_winrate"], abs=1e-6)


def test_another_order_is_noted_only_where_it_matters(files, tmp_path):
  write_rows(files["judge"], make_rows()[::-1])
  raw = run(argv_of(files, "model", "judge"), tmp_path / "raw")
  assert not any("position" in note for note in raw["notes"])
  write_rows(files["judge"], make_rows())
  same = run(argv_of(files, "model", "judge"), tmp_path / "same")
  assert raw["figures"]["win_rate"] == pytest.approx(
    same["figures"]["win_rate"]
  )
  write_rows(files["judge"], make_rows()[::-1])
  argv = argv_of(files, "model", "judge", "reference", "gamed")
  found = run(argv, tmp_path / "out")
  # Of 20 reversed rows none is at its place.
  assert any("20 of 20 rows are not where" in x for x in found["notes"])


def test_old_ties_missing_verdicts_and_other_names_are_told(files, tmp_path):
  rows = make_rows()
  rows[0]["preference"], rows[1]["preference"] = 0, None
  for row in rows:
    row.update(annotator="another", generator_1="text_davinci_003")
    row["generator_2"] = "example"
  write_rows(files["judge"], rows)
  found = run(argv_of(files, "model", "judge", "gamed"), tmp_path / "out")
  assert found["counted"] == {
    "verdicts are null: no part of the raw metrics": 1,
    "verdicts are 0, as old files have it: ties": 1,
  }
  assert found["figures"]["n_draws"] == 1
  assert found["figures"]["n_total"] == NUM - 1
  notes = " ".join(found["notes"])
  assert "outputs are by 'mine'" in notes and "'example'" in notes
  assert "baseline is 'text_davinci_003'" in notes
  assert "judge is 'another'" in notes


def test_the_baseline_has_50(files, tmp_path):
  rows = make_rows()
  for row in rows:
    row.update(output_2=row["output_1"], generator_2=row["generator_1"])
    row["preference"] = 1.5
  write_rows(files["judge"], rows)
  write_rows(files["model"], outputs_of(rows, 2))
  found = run(argv_of(files, "model", "judge"), tmp_path / "out")
  figures = found["figures"]
  assert figures["length_controlled_winrate"] == figures["win_rate"] == 50
  assert figures["n_draws"] == NUM
  assert any("50 by construction" in note for note in found["notes"])


def test_lengths_that_do_not_vary_leave_the_raw_metrics(files, tmp_path):
  rows = make_rows()
  for row in rows:
    row["output_2"] = "z" * len(row["output_1"])
  write_rows(files["judge"], rows)
  write_rows(files["model"], outputs_of(rows, 2))
  found = run(argv_of(files, "model", "judge"), tmp_path / "out")
  assert "length_controlled_minimal" not in found["figures"]
  (note,) = found["notes"]
  assert "no length-controlled win rate: all outputs differ" in note


def test_a_win_rate_far_from_the_raw_one_is_warned_of(files, tmp_path):
  rows = make_rows()
  # Never shorter, and better only by that.
  for i, row in enumerate(rows):
    row["output_2"] = "y" * (len(row["output_1"]) + 30 * i)
    spread = 30 * np.std(np.arange(NUM), ddof=1)
    row["preference"] = 1 + share_of(4 * math.tanh(30 * i / spread) - 2.5)
  write_rows(files["judge"], rows)
  write_rows(files["model"], outputs_of(rows, 2))
  found = run(argv_of(files, "model", "judge"), tmp_path / "out")
  figures = found["figures"]
  assert figures["length_controlled_minimal"] < figures["win_rate"] - 40
  assert any(note.startswith("WARNING") for note in found["notes"])


@pytest.mark.parametrize("side,whose", [(1, "reference"), (2, "model")])
def test_verdicts_on_other_texts_are_refused_by_row(files, side, whose, capsys):
  rows = make_rows()
  rows[6][f"output_{side}"] += "!"
  write_rows(files["judge"], rows)
  argv = argv_of(files, "model", "judge", "reference")
  assert eval_command.main(["alpaca_eval", *argv]) == 1
  error = capsys.readouterr().err
  assert f"row 7: output_{side} is not what the {whose} outputs have" in error
  rows = make_rows()
  rows[6]["instruction"] = "Another task"
  write_rows(files["judge"], rows)
  assert eval_command.main(["alpaca_eval", *argv]) == 1
  assert "row 7 judges the instruction 'Another task'" in (
    capsys.readouterr().err
  )


@pytest.mark.parametrize(
  "options,extra,words",
  [
    (["difficulty"], [], "--difficulty is for the published length control"),
    ([], ["--by-instruction"], "--by-instruction is for the published"),
    (["gamed"], ["--by-instruction"], "needs --reference"),
  ],
)
def test_options_that_lack_others_are_refused(files, options, extra, words):
  argv = argv_of(files, "model", "judge", *options, extra=extra)
  with pytest.raises(ValueError, match=words):
    eval_alpaca.main(argv)


def test_what_is_read_is_never_written_over(files, tmp_path, capsys):
  # A file that cannot be read: the refusal comes before it is.
  files["model"].write_text("broken")
  before = files["judge"].read_bytes()
  # tmp_path has annotations.json, which is the input, by another path too.
  (tmp_path / "linked").symlink_to(tmp_path, target_is_directory=True)
  for out in (tmp_path, tmp_path / "linked"):
    argv = argv_of(files, "model", "judge", extra=[f"--out={out}"])
    assert eval_command.main(["alpaca_eval", *argv]) == 1
    assert "annotations.json would be written" in capsys.readouterr().err
  assert files["judge"].read_bytes() == before
  assert not (tmp_path / "evaluation.json").exists()


def test_what_was_written_is_said_last_and_only_then(files, tmp_path, capsys):
  out = tmp_path / "out"
  argv = argv_of(files, "model", "judge", extra=[f"--out={out}"])
  assert eval_alpaca.main(argv) == 0
  assert capsys.readouterr().out.splitlines()[-1] == (
    f"written: {out / 'annotations.json'}, {out / 'leaderboard.csv'},"
    f" {out / 'evaluation.json'}"
  )
  # Another model's evaluation is there now: nothing is replaced, or shown.
  write_rows(
    files["judge"], [{**row, "generator_2": "new"} for row in make_rows()]
  )
  assert eval_command.main(["alpaca_eval", *argv]) == 1
  assert capsys.readouterr().out == ""
  assert json.loads((out / "annotations.json").read_text()) == make_rows()
  (tmp_path / "file").write_text("")
  argv[-1] = f"--out={tmp_path / 'file'}"
  assert eval_command.main(["alpaca_eval", *argv]) == 1
  assert capsys.readouterr().out == ""


@pytest.mark.parametrize("option", ["gamed", "difficulty", "model", "judge"])
def test_a_folder_in_place_of_a_file_is_named(files, tmp_path, option, capsys):
  files[option] = tmp_path / "folder"
  files[option].mkdir()
  argv = argv_of(files, "model", "judge", "gamed", "difficulty")
  assert eval_command.main(["alpaca_eval", *argv]) == 1
  error = capsys.readouterr().err
  assert "folder" in error and "is a directory" in error
  assert "Errno" not in error


def test_tables_that_do_not_belong_together(files, tmp_path):
  lines = files["difficulty"].read_text().splitlines()
  files["difficulty"].write_text("\n".join([*lines[:-1], "19,99.0"]) + "\n")
  argv = argv_of(files, "model", "judge", "gamed", "difficulty")
  found = run(argv, tmp_path / "out")
  assert any("1 difficulties of" in note for note in found["notes"])
  files["difficulty"].write_text("\n".join(lines[:-1]) + "\n")
  with pytest.raises(ValueError, match="not of the same set"):
    eval_alpaca.main(argv)


def test_annotations_of_more_instructions_than_there_are_are_refused(files):
  gamed, _ = gamed_tables(NUM - 1)
  files["gamed"].write_text(gamed)
  with pytest.raises(ValueError, match="20 annotations"):
    eval_alpaca.main(argv_of(files, "model", "judge", "gamed"))


@pytest.mark.parametrize("model", ["alpaca-7b", "text_davinci_001"])
def test_official_texts_give_the_authors_figures(tmp_path, model):
  texts = DATA / f"annotations_text/{model}.jsonl.gz"
  if not texts.is_file():
    pytest.skip("no annotations of AlpacaEval on this machine")
  baseline = read_lines(DATA / "baseline_gpt4_1106_preview.jsonl.gz")
  rows = [
    {**baseline[row.pop("instruction_index")], **row}
    for row in read_lines(texts)
  ]
  files = {name: tmp_path / f"{name}.json" for name in ("judge", "model")}
  files["reference"] = tmp_path / "reference.json"
  oracle = DATA / "lc_oracle"
  files["gamed"] = oracle / "df_gamed_RECONSTRUCTED.csv.gz"
  files["difficulty"] = oracle / "instruction_difficulty_RECONSTRUCTED.csv"
  write_rows(files["judge"], rows)
  write_rows(files["model"], outputs_of(rows, 2))
  whole = [{**row, "output_2": "", "generator_2": ""} for row in baseline]
  write_rows(files["reference"], outputs_of(whole, 1))
  found = run(argv_of(files, *files), tmp_path / "out")
  with (oracle / "alpaca_eval-0.6.6_sklearn-1.9.1.csv").open() as file:
    want = next(
      row
      for row in csv.DictReader(file)
      if (row["model"], row["glm"]) == (model, "length_controlled_v1")
    )
  figures = found["figures"]
  for name in ("win_rate", "standard_error", "discrete_win_rate"):
    assert figures[name] == pytest.approx(float(want[name]), abs=1e-6)
  assert figures["length_controlled_winrate"] == pytest.approx(
    float(want["length_controlled_winrate"]), abs=0.2
  )
  shifted = any("are not where" in note for note in found["notes"])
  assert shifted == (len(rows) < len(baseline))
