# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval alpaca_eval`: from files to figures, and what is refused."""

import csv
import gzip
import hashlib
import json
import math
import pathlib

import numpy as np
import pytest
import tiny_endpoint
import tiny_judge
import tiny_model_folder
import tiny_server
from tiny_endpoint import TinyEndpoint

from ramjax.evals import (
  alpaca_annotations,
  length_constants,
  shown_order,
  win_rate,
)
from ramjax.tools import eval as eval_command
from ramjax.tools import eval_alpaca

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/alpaca_eval"
_NUM = 20


def _share(logit):
  return 1 / (1 + math.exp(-logit))


def _difficulty(i):
  return 1.0 + 0.01 * i if i % 2 else -1.0


def _rows(num=_NUM):
  """Annotations of a model that is preferred where it writes more."""
  rng = np.random.default_rng(0)
  rows = []
  for i in range(num):
    lengths = int(rng.integers(20, 40)), int(rng.integers(20, 60))
    share = _share(0.05 * (lengths[1] - lengths[0]) + _difficulty(i) - 0.5)
    rows.append(
      {
        "instruction": f"Task {i}",
        "output_1": "x" * lengths[0],
        "generator_1": "gpt4_1106_preview",
        "output_2": "y" * lengths[1],
        "generator_2": "mine",
        "annotator": "weighted_alpaca_eval_gpt4_turbo",
        "preference": 1 + share,
        "time_per_example": 0.5,
      }
    )
  return rows


def _outputs(rows, side):
  return [
    {
      "instruction": row["instruction"],
      "output": row[f"output_{side}"],
      "generator": row[f"generator_{side}"],
    }
    for row in rows
  ]


def _gamed(num=_NUM):
  """Both tables, of tasks 0 to num - 1."""
  rng = np.random.default_rng(1)
  lines = [
    "model,index,preference,std_delta_len,instruction_difficulty,"
    "not_gamed_baseline"
  ]
  for model, sign in (("verbose", -1), ("concise", 1)):
    for i in range(num):
      length = sign * rng.uniform(0, 2)
      label = _share(_difficulty(i) - length)
      lines.append(f"{model},{i},{label},{length},{_difficulty(i)},False")
  table = ["index,instruction_difficulty"]
  table += [f"{i},{_difficulty(i)}" for i in range(num)]
  return "\n".join(lines) + "\n", "\n".join(table) + "\n"


@pytest.fixture
def files(tmp_path):
  """Option -> path of a benchmark of 20 tasks."""
  rows = _rows()
  gamed, table = _gamed()
  texts = {
    "model": ("model_outputs.json", json.dumps(_outputs(rows, 2))),
    "judge": ("annotations.json", json.dumps(rows)),
    "reference": ("reference_outputs.json", json.dumps(_outputs(rows, 1))),
    "gamed": ("df_gamed.csv", gamed),
    "difficulty": ("instruction_difficulty.csv", table),
  }
  paths = {}
  for option, (name, text) in texts.items():
    paths[option] = tmp_path / name
    paths[option].write_text(text)
  return paths


def _argv(files, *options, extra=()):
  return [*(f"--{name}={files[name]}" for name in options), *extra]


def _run(argv, out):
  assert eval_alpaca.main([*argv, f"--out={out}"]) == 0
  return json.loads((out / "evaluation.json").read_text())


def _length_cells(out):
  """The leaderboard's cells of the length control."""
  with (out / "leaderboard.csv").open(newline="") as file:
    return list(csv.reader(file))[1][10:]


def _write(path, rows):
  path.write_text(json.dumps(rows))


def test_without_constants_raw_metrics_and_a_variant_named_as_such(
  files, tmp_path, capsys
):
  argv = _argv(files, "model", "judge")
  found = _run(argv, tmp_path / "out")
  figures, rows = found["figures"], _rows()
  shares = np.asarray([row["preference"] for row in rows]) - 1
  assert figures["win_rate"] == pytest.approx(100 * shares.mean())
  assert figures["n_total"] == _NUM
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
  found = _run(_argv(files, "model", "judge"), out)
  assert json.loads((out / "annotations.json").read_text()) == _rows()
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
  _run(_argv(files, "model", "judge"), out)
  assert sorted(path.name for path in out.iterdir()) == [
    *("annotations.json", "evaluation.json", "leaderboard.csv")
  ]


def test_constants_that_are_not_the_published_ones_are_said_to_be_so(
  files, tmp_path, capsys
):
  argv = _argv(files, "model", "judge", "gamed", "difficulty")
  out = tmp_path / "out"
  found = _run(argv, out)
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
  argv = _argv(files, "model", "judge", "reference", "gamed", "difficulty")
  found = _run(argv, out)
  assert found["figures"]["constants"] == "official"
  assert found["notes"] == []
  cells = _length_cells(out)
  figures = found["figures"]
  assert float(cells[0]) == figures["length_controlled_winrate"]
  assert float(cells[1]) == figures["lc_standard_error"]
  written = json.loads((out / "annotations.json").read_text())
  glm = [row.pop("glm_preference") for row in written]
  assert 100 * np.mean(glm) == pytest.approx(float(cells[0]))
  assert written == _rows()
  # By instruction is another figure, even where it has the same value.
  found = _run([*argv, "--by-instruction"], out)
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
  rows = [{**row, key: value} for row in _rows()]
  _write(files["judge"], rows)
  out = tmp_path / "out"
  argv = _argv(files, "model", "judge", "reference", "gamed", "difficulty")
  notes = _run(argv, out)["notes"]
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
  argv = _argv(files, "model", "judge", "reference", "gamed", "difficulty")
  found = _run(argv, out)
  assert found["figures"]["constants"] == "not official"
  assert _length_cells(out) == ["", ""]


@pytest.mark.parametrize("extra", [[], ["--by-instruction"]])
def test_a_reference_of_another_set_numbers_no_instructions(files, extra):
  more = [*_outputs(_rows(), 1), {"instruction": "Task 20", "output": "x"}]
  # In front: every row would have a neighbour's difficulty.
  _write(files["reference"], [more[-1], *more[:-1]])
  argv = _argv(files, "model", "judge", "reference", "gamed", extra=extra)
  with pytest.raises(ValueError, match=r"21 instructions, and the .* 20"):
    eval_alpaca.main(argv)


@pytest.mark.parametrize("num", [_NUM, _NUM - 1])
def test_without_a_reference_the_order_is_said_to_be_unchecked(
  files, tmp_path, num
):
  # Outputs in the order of the annotations say nothing of that order.
  rows = _rows()[::-1][:num]
  _write(files["judge"], rows)
  _write(files["model"], _outputs(_rows()[::-1], 2))
  found = _run(_argv(files, "model", "judge", "gamed"), tmp_path / "out")
  (note,) = [x for x in found["notes"] if "could not be checked" in x]
  assert ("1 of 20 instructions are missing" in note) == (num < _NUM)


def test_a_missing_row_is_counted_and_shifts_difficulties(files, tmp_path):
  rows = _rows()
  del rows[4]
  _write(files["judge"], rows)
  options = ("model", "judge", "reference", "gamed")
  found = _run(_argv(files, *options), tmp_path / "out")
  assert found["counted"] == {"outputs were not judged": 1}
  assert any("15 of 19 rows are not where" in x for x in found["notes"])
  by = _run(_argv(files, *options, extra=["--by-instruction"]), tmp_path / "by")
  assert by["figures"][
    "length_controlled_winrate_by_instruction"
  ] != pytest.approx(found["figures"]["length_controlled_winrate"], abs=1e-6)


def test_another_order_is_noted_only_where_it_matters(files, tmp_path):
  _write(files["judge"], _rows()[::-1])
  raw = _run(_argv(files, "model", "judge"), tmp_path / "raw")
  assert not any("position" in note for note in raw["notes"])
  _write(files["judge"], _rows())
  same = _run(_argv(files, "model", "judge"), tmp_path / "same")
  assert raw["figures"]["win_rate"] == pytest.approx(
    same["figures"]["win_rate"]
  )
  _write(files["judge"], _rows()[::-1])
  argv = _argv(files, "model", "judge", "reference", "gamed")
  found = _run(argv, tmp_path / "out")
  # Of 20 reversed rows none is at its place.
  assert any("20 of 20 rows are not where" in x for x in found["notes"])


def test_old_ties_missing_verdicts_and_other_names_are_told(files, tmp_path):
  rows = _rows()
  rows[0]["preference"], rows[1]["preference"] = 0, None
  for row in rows:
    row.update(annotator="another", generator_1="text_davinci_003")
    row["generator_2"] = "example"
  _write(files["judge"], rows)
  found = _run(_argv(files, "model", "judge", "gamed"), tmp_path / "out")
  assert found["counted"] == {
    "verdicts are null: no part of the raw metrics": 1,
    "verdicts are 0, as old files have it: ties": 1,
  }
  assert found["figures"]["n_draws"] == 1
  assert found["figures"]["n_total"] == _NUM - 1
  notes = " ".join(found["notes"])
  assert "outputs are by 'mine'" in notes and "'example'" in notes
  assert "baseline is 'text_davinci_003'" in notes
  assert "judge is 'another'" in notes


def test_the_baseline_has_50(files, tmp_path):
  rows = _rows()
  for row in rows:
    row.update(output_2=row["output_1"], generator_2=row["generator_1"])
    row["preference"] = 1.5
  _write(files["judge"], rows)
  _write(files["model"], _outputs(rows, 2))
  found = _run(_argv(files, "model", "judge"), tmp_path / "out")
  figures = found["figures"]
  assert figures["length_controlled_winrate"] == figures["win_rate"] == 50
  assert figures["n_draws"] == _NUM
  assert any("50 by construction" in note for note in found["notes"])


def test_lengths_that_do_not_vary_leave_the_raw_metrics(files, tmp_path):
  rows = _rows()
  for row in rows:
    row["output_2"] = "z" * len(row["output_1"])
  _write(files["judge"], rows)
  _write(files["model"], _outputs(rows, 2))
  found = _run(_argv(files, "model", "judge"), tmp_path / "out")
  assert "length_controlled_minimal" not in found["figures"]
  (note,) = found["notes"]
  assert "no length-controlled win rate: all outputs differ" in note


def test_a_win_rate_far_from_the_raw_one_is_warned_of(files, tmp_path):
  rows = _rows()
  # Never shorter, and better only by that.
  for i, row in enumerate(rows):
    row["output_2"] = "y" * (len(row["output_1"]) + 30 * i)
    spread = 30 * np.std(np.arange(_NUM), ddof=1)
    row["preference"] = 1 + _share(4 * math.tanh(30 * i / spread) - 2.5)
  _write(files["judge"], rows)
  _write(files["model"], _outputs(rows, 2))
  found = _run(_argv(files, "model", "judge"), tmp_path / "out")
  figures = found["figures"]
  assert figures["length_controlled_minimal"] < figures["win_rate"] - 40
  assert any(note.startswith("WARNING") for note in found["notes"])


@pytest.mark.parametrize("side,whose", [(1, "reference"), (2, "model")])
def test_verdicts_on_other_texts_are_refused_by_row(files, side, whose, capsys):
  rows = _rows()
  rows[6][f"output_{side}"] += "!"
  _write(files["judge"], rows)
  argv = _argv(files, "model", "judge", "reference")
  assert eval_command.main(["alpaca_eval", *argv]) == 1
  error = capsys.readouterr().err
  assert f"row 7: output_{side} is not what the {whose} outputs have" in error
  rows = _rows()
  rows[6]["instruction"] = "Another task"
  _write(files["judge"], rows)
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
  argv = _argv(files, "model", "judge", *options, extra=extra)
  with pytest.raises(ValueError, match=words):
    eval_alpaca.main(argv)


def test_what_is_read_is_never_written_over(files, tmp_path, capsys):
  # A file that cannot be read: the refusal comes before it is.
  files["model"].write_text("broken")
  before = files["judge"].read_bytes()
  # tmp_path has annotations.json, which is the input, by another path too.
  (tmp_path / "linked").symlink_to(tmp_path, target_is_directory=True)
  for out in (tmp_path, tmp_path / "linked"):
    argv = _argv(files, "model", "judge", extra=[f"--out={out}"])
    assert eval_command.main(["alpaca_eval", *argv]) == 1
    assert "annotations.json would be written" in capsys.readouterr().err
  assert files["judge"].read_bytes() == before
  assert not (tmp_path / "evaluation.json").exists()


def test_what_was_written_is_said_last_and_only_then(files, tmp_path, capsys):
  out = tmp_path / "out"
  argv = _argv(files, "model", "judge", extra=[f"--out={out}"])
  assert eval_alpaca.main(argv) == 0
  assert capsys.readouterr().out.splitlines()[-1] == (
    f"written: {out / 'annotations.json'}, {out / 'leaderboard.csv'},"
    f" {out / 'evaluation.json'}"
  )
  # Another model's evaluation is there now: nothing is replaced, or shown.
  _write(files["judge"], [{**row, "generator_2": "new"} for row in _rows()])
  assert eval_command.main(["alpaca_eval", *argv]) == 1
  assert capsys.readouterr().out == ""
  assert json.loads((out / "annotations.json").read_text()) == _rows()
  (tmp_path / "file").write_text("")
  argv[-1] = f"--out={tmp_path / 'file'}"
  assert eval_command.main(["alpaca_eval", *argv]) == 1
  assert capsys.readouterr().out == ""


@pytest.mark.parametrize("option", ["gamed", "difficulty", "model", "judge"])
def test_a_folder_in_place_of_a_file_is_named(files, tmp_path, option, capsys):
  files[option] = tmp_path / "folder"
  files[option].mkdir()
  argv = _argv(files, "model", "judge", "gamed", "difficulty")
  assert eval_command.main(["alpaca_eval", *argv]) == 1
  error = capsys.readouterr().err
  assert "folder" in error and "is a directory" in error
  assert "Errno" not in error


def test_tables_that_do_not_belong_together(files, tmp_path):
  lines = files["difficulty"].read_text().splitlines()
  files["difficulty"].write_text("\n".join([*lines[:-1], "19,99.0"]) + "\n")
  argv = _argv(files, "model", "judge", "gamed", "difficulty")
  found = _run(argv, tmp_path / "out")
  assert any("1 difficulties of" in note for note in found["notes"])
  files["difficulty"].write_text("\n".join(lines[:-1]) + "\n")
  with pytest.raises(ValueError, match="not of the same set"):
    eval_alpaca.main(argv)


def test_annotations_of_more_instructions_than_there_are_are_refused(files):
  gamed, _ = _gamed(_NUM - 1)
  files["gamed"].write_text(gamed)
  with pytest.raises(ValueError, match="20 annotations"):
    eval_alpaca.main(_argv(files, "model", "judge", "gamed"))


def _lines(path):
  with gzip.open(path, "rt") as file:
    return [json.loads(line) for line in file]


@pytest.mark.parametrize("model", ["alpaca-7b", "text_davinci_001"])
def test_official_texts_give_the_authors_figures(tmp_path, model):
  texts = _DATA / f"annotations_text/{model}.jsonl.gz"
  if not texts.is_file():
    pytest.skip("no annotations of AlpacaEval on this machine")
  baseline = _lines(_DATA / "baseline_gpt4_1106_preview.jsonl.gz")
  rows = [
    {**baseline[row.pop("instruction_index")], **row} for row in _lines(texts)
  ]
  files = {name: tmp_path / f"{name}.json" for name in ("judge", "model")}
  files["reference"] = tmp_path / "reference.json"
  oracle = _DATA / "lc_oracle"
  files["gamed"] = oracle / "df_gamed_RECONSTRUCTED.csv.gz"
  files["difficulty"] = oracle / "instruction_difficulty_RECONSTRUCTED.csv"
  _write(files["judge"], rows)
  _write(files["model"], _outputs(rows, 2))
  whole = [{**row, "output_2": "", "generator_2": ""} for row in baseline]
  _write(files["reference"], _outputs(whole, 1))
  found = _run(_argv(files, *files), tmp_path / "out")
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


@pytest.fixture
def asked(files, tmp_path):
  """Arguments of the same benchmark with a judge that is to be asked."""
  (tmp_path / "prompt.txt").write_text(tiny_judge.TEMPLATE)
  argv = _argv(files, "model", "reference")
  return [*argv, f"--prompt={tmp_path / 'prompt.txt'}", "--canaries=1"]


def _judge(server):
  return [f"--judge={server.url}", "--judge-name=tiny"]


def test_a_judge_that_is_asked_gives_the_figures_of_its_annotations(
  files, asked, tmp_path, capsys
):
  tables = _argv(files, "gamed", "difficulty")
  with TinyEndpoint(tiny_judge.act) as server:
    found = _run([*asked, *_judge(server), *tables], tmp_path / "out")
    num_asked = len(server.asked)
  assert num_asked == _NUM + 5
  told = capsys.readouterr().out
  names = ("verdicts.jsonl", "annotations.json", "leaderboard.csv")
  assert f"written: {tmp_path / 'out' / names[0]}, " in told
  annotations = tmp_path / "out" / "annotations.json"
  written = json.loads(annotations.read_text())
  assert {row["annotator"] for row in written} == {"tiny"}
  expected = [
    1 + tiny_judge.share_of_first(row["output_2"], row["output_1"])
    for row in _rows()
  ]
  assert [row["preference"] for row in written] == pytest.approx(
    expected, abs=1e-6
  )
  assert [row["instruction"] for row in written] == [
    row["instruction"] for row in _rows()
  ]
  files["judge"] = tmp_path / "recorded.json"
  files["judge"].write_bytes(annotations.read_bytes())
  argv = _argv(files, "model", "judge", "reference")
  recorded = _run([*argv, *tables], tmp_path / "recorded")
  assert "length_controlled_winrate" in recorded["figures"]
  assert recorded["figures"].items() <= found["figures"].items()
  assert recorded["tables"].items() <= found["tables"].items()
  assert set(recorded["notes"]) <= set(found["notes"])
  more = found["figures"].keys() - recorded["figures"].keys()
  assert more == {
    *("invalid_share", "orders_agree_share", "judge_requests"),
    *("judge_prompt_tokens", "judge_tokens"),
  }
  assert found["figures"]["judge_requests"] == num_asked
  assert len(found["tables"]["canaries"]) == 5
  for name in names[1:]:
    ours, theirs = (tmp_path / d / name for d in ("out", "recorded"))
    assert ours.read_bytes() == theirs.read_bytes()
  assert str(tmp_path / "prompt.txt") in found["inputs"]


def test_a_judged_run_that_was_killed_goes_on_and_one_that_ended_asks_nothing(
  asked, tmp_path
):
  out = tmp_path / "out"
  verdicts = out / "verdicts.jsonl"
  with TinyEndpoint(tiny_judge.act) as server:
    first = _run([*asked, *_judge(server)], out)
    num_asked = len(server.asked)
    whole = verdicts.read_bytes()
    # Torn inside its eighth line; what comes after the verdicts is not there.
    lines = whole.splitlines(keepends=True)
    verdicts.write_bytes(b"".join(lines[:7]) + lines[7][:20])
    for name in ("annotations.json", "leaderboard.csv", "evaluation.json"):
      (out / name).unlink()
    again = _run([*asked, *_judge(server)], out)
    assert len(server.asked) == num_asked + len(lines) - 7
    assert again["figures"] == first["figures"]
    _run([*asked, *_judge(server)], out)
    assert len(server.asked) == num_asked + len(lines) - 7


def test_a_folder_answers_first(files, tmp_path):
  folder = tmp_path / "tiny"
  tiny_model_folder.write(folder)
  (tmp_path / "prompt.txt").write_text(tiny_judge.TEMPLATE)
  options = ["--model-template=plain", "--model-max-tokens=4", "--canaries=0"]
  options += [f"--prompt={tmp_path / 'prompt.txt'}"]
  argv = [f"--model={folder}", *_argv(files, "reference"), *options]
  with TinyEndpoint(tiny_judge.act) as server:
    found = _run([*argv, *_judge(server)], tmp_path / "out")
  assert found["model"] == "tiny" and found["figures"]["n_total"] == _NUM
  outputs = tmp_path / "out" / "model_outputs.json"
  assert str(outputs) in found["inputs"]
  files["model"] = outputs
  files["judge"] = tmp_path / "out" / "annotations.json"
  argv = _argv(files, "model", "judge", "reference")
  recorded = _run(argv, tmp_path / "recorded")
  assert recorded["figures"].items() <= found["figures"].items()


def test_a_model_that_would_answer_needs_a_judge_that_is_asked(files, capsys):
  for model in ("http://localhost:1", str(files["judge"].parent)):
    argv = [f"--model={model}", "--model-name=x", *_argv(files, "judge")]
    assert eval_command.main(["alpaca_eval", *argv]) == 1
    assert "or a judge that is asked" in capsys.readouterr().err


def test_answers_of_one_side_alone_are_counted_and_not_judged(
  files, asked, tmp_path
):
  rows = _rows()
  _write(files["model"], _outputs(rows[:-2], 2))
  _write(files["reference"], _outputs(rows[1:], 1))
  with TinyEndpoint(tiny_judge.act) as server:
    found = _run([*asked, *_judge(server)], tmp_path / "out")
  assert found["figures"]["n_total"] == _NUM - 3
  counted = found["counted"]
  assert counted["outputs were not judged"] == 1
  assert counted["instructions of the reference have no output"] == 2


@pytest.mark.parametrize(
  "drop,extra,match",
  [
    ("--prompt", [], "needs --prompt=FILE, what the judge is shown"),
    ("--reference", [], "needs --reference=FILE, the baseline's outputs"),
    ("--out", [], "needs --out=DIR, where verdicts are kept"),
    ("", ["--samples=2"], "--samples=2 is for --pattern"),
    ("", ["--judge-template=plain"], "--judge-template is for a FOLDER"),
    ("--judge-name", [], "needs --judge-name"),
    ("", ["--difficulty=d.csv"], "also needs --gamed=df_gamed.csv"),
  ],
)
def test_what_a_judge_that_is_asked_lacks_is_refused_before_files_are_read(
  files, asked, tmp_path, drop, extra, match
):
  files["model"].write_text("broken")
  argv = [*asked, "--judge=http://127.0.0.1:9", "--judge-name=x", *extra]
  argv.append(f"--out={tmp_path / 'out'}")
  argv = [x for x in argv if not drop or not x.startswith(f"{drop}=")]
  with pytest.raises(ValueError, match=match):
    eval_alpaca.main(argv)
  assert not (tmp_path / "out").exists()


def test_a_judges_options_beside_recorded_verdicts_are_refused(files, asked):
  files["model"].write_text("broken")
  argv = [*asked, f"--judge={files['judge']}"]
  with pytest.raises(ValueError, match=r"--prompt, --canaries: .* is a file"):
    eval_alpaca.main(argv)


def test_what_would_fail_after_judging_is_refused_before(
  files, asked, tmp_path
):
  argv = [*asked, f"--out={tmp_path / 'out'}"]
  gamed, _ = _gamed(_NUM + 1)
  files["gamed"].write_text(gamed)
  with TinyEndpoint(tiny_judge.act) as server:
    argv += _judge(server)
    with pytest.raises(ValueError, match=r"20 instructions, and the .* 21"):
      eval_alpaca.main([*argv, *_argv(files, "gamed")])
    rows = [{**row, "generator": "same"} for row in _outputs(_rows(), 1)]
    _write(files["reference"], rows)
    rows = [{**row, "generator": "same"} for row in _outputs(_rows(), 2)]
    _write(files["model"], rows)
    with pytest.raises(ValueError, match="both called 'same'"):
      eval_alpaca.main(argv)
    assert server.asked == []


@pytest.mark.slow
def test_a_folder_judges(files, asked, tmp_path):
  tiny_server.write_model(tmp_path / "judge")
  argv = [f"--judge={tmp_path / 'judge'}", "--judge-template=plain"]
  # Tokens that this tiny model finds likely.
  argv += ["--identifiers=[,J", "--top-logprobs=20", "--max-invalid=0.9"]
  found = _run([*asked, *argv], tmp_path / "out")
  figures = found["figures"]
  assert figures["judge_requests"] == _NUM + 5
  judged = alpaca_annotations.read(tmp_path / "out" / "annotations.json")
  assert judged.annotator == "judge"
  assert figures["n_total"] == _NUM - judged.num_null > 5


def test_the_published_judges_answers_replayed_give_its_annotations(tmp_path):
  """Template, order, parsing and metrics, against what was recorded."""
  name = "claude-2.1"
  paths = [
    _DATA / "logprob_parser_fixture.jsonl.gz",
    _DATA / "baseline_gpt4_1106_preview.jsonl.gz",
    _DATA / f"annotations_text/{name}.jsonl.gz",
    _DATA / "evaluators_configs/alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt",
  ]
  if not all(path.is_file() for path in paths):
    pytest.skip("no recorded answers of AlpacaEval's judge on this machine")
  said = {
    row["instruction_index"]: row["top_logprobs"]
    for row in _lines(paths[0])
    if row["model"] == name
  }
  baseline = _lines(paths[1])
  rows = [
    {**baseline[index], **row}
    for row in _lines(paths[2])
    if (index := row.pop("instruction_index")) in said
  ]
  assert len(rows) == len(said) > 100
  template = paths[3].read_text().split("<|im_start|>user")[1]
  template = template.rpartition("<|im_end|>")[0].strip()
  replies = {}
  for row in rows:
    swapped = shown_order.is_swapped(row["instruction"])
    first, second = (2, 1) if swapped else (1, 2)
    # As the authors' tool fills it, slot by slot.
    text = template.replace("{instruction}", row["instruction"])
    text = text.replace("{output_1}", row[f"output_{first}"])
    text = text.replace("{output_2}", row[f"output_{second}"])
    replies[text] = [tuple(pair) for pair in said[row["index"]]]

  def act(number, asked):
    top = replies[asked.body["messages"][-1]["content"]]
    return tiny_endpoint.reply(tiny_judge.top(top))

  files = {key: tmp_path / f"{key}.json" for key in ("model", "reference")}
  for key, side in (("model", 2), ("reference", 1)):
    _write(files[key], _outputs(rows, side))
  argv = _argv(files, *files, extra=[f"--prompt={paths[3]}", "--canaries=0"])
  with TinyEndpoint(act) as server:
    found = _run([*argv, *_judge(server)], tmp_path / "out")
  judged = alpaca_annotations.read(tmp_path / "out" / "annotations.json")
  recorded = [row["preference"] for row in rows]
  # As many digits as the logprobs were recorded with.
  assert judged.preferences == pytest.approx(recorded, abs=2e-6)
  expected = win_rate.win_rate(recorded)
  figures = found["figures"]
  assert figures["win_rate"] == pytest.approx(expected.win_rate, abs=1e-3)
  assert figures["n_wins"] == expected.n_wins
