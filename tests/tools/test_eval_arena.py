# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval arena`: ratings, intervals, categories, refusals."""

import json
import math

import pytest

from ramjax.evals import bounded_records
from ramjax.tools import eval as eval_command


def _battles(*rows, **fields):
  return [
    {"model_a": a, "model_b": b, "winner": winner, **fields}
    for a, b, winner, count in rows
    for _ in range(count)
  ]


_THREE = _battles(
  ("strong", "middle", "model_a", 20),
  ("middle", "strong", "model_a", 10),
  ("middle", "weak", "tie", 4),
  ("middle", "weak", "model_a", 9),
  ("weak", "middle", "model_a", 3),
  ("strong", "weak", "model_a", 12),
  ("strong", "weak", "tie (bothbad)", 2),
)


def _run(folder, records, *argv):
  path = folder / "battles.jsonl"
  path.write_text("".join(json.dumps(r) + "\n" for r in records))
  out = folder / "out"
  status = eval_command.main(
    ["arena", f"--verdicts={path}", f"--out={out}", *argv]
  )
  if status:
    return None
  return json.loads((out / "evaluation.json").read_text())


def test_models_are_sorted_by_rating_with_interval_and_games(tmp_path, capsys):
  found = _run(tmp_path, _THREE, "--bootstrap=200")
  table = found["tables"]["ratings"]
  assert [row["model"] for row in table] == ["strong", "middle", "weak"]
  assert sum(row["rating"] for row in table) == pytest.approx(3000)
  for row in table:
    assert row["95% from"] < row["rating"] < row["to"]
  assert [row["games"] for row in table] == [44, 46, 30]
  assert table[0]["win share"] == pytest.approx((20 + 12 + 1) / 44)
  assert found["figures"]["verdicts"] == 60
  assert found["counted"]["ties, half a win each"] == 6
  assert found["counted"]["of these with both answers bad"] == 2
  shown = capsys.readouterr().out
  assert "ratings" in shown and "over weak" not in shown


def test_the_matrix_predicts_wins_from_ratings(tmp_path):
  found = _run(tmp_path, _THREE, "--bootstrap=0")
  by_name = {row["model"]: row["rating"] for row in found["tables"]["ratings"]}
  for row in found["tables"]["win_matrix"]:
    for other, share in row.items():
      if other != "model":
        gap = by_name[other.removeprefix("over ")] - by_name[row["model"]]
        assert share == pytest.approx(1 / (1 + 10 ** (gap / 400)))
  assert "95% from" not in found["tables"]["ratings"][0]


def test_an_anchor_is_at_1000_without_an_interval_to_speak_of(tmp_path):
  found = _run(tmp_path, _THREE, "--anchor=weak", "--bootstrap=20")
  last = found["tables"]["ratings"][-1]
  assert (last["rating"], last["95% from"], last["to"]) == (1000, 1000, 1000)
  assert any("20 draws are too few" in note for note in found["notes"])


def test_a_seed_gives_the_same_intervals(tmp_path):
  runs = [
    _run(tmp_path, _THREE, "--bootstrap=50", f"--seed={seed}")["tables"]
    for seed in (3, 3, 4)
  ]
  assert runs[0] == runs[1] != runs[2]


def test_online_elo_is_added_on_request(tmp_path):
  records = _battles(("a", "b", "model_a", 1), ("b", "a", "model_a", 1))
  found = _run(tmp_path, records, "--elo-k=32", "--bootstrap=0")
  elo = {r["model"]: r["online Elo"] for r in found["tables"]["ratings"]}
  assert elo["a"] < 1000 < elo["b"]
  assert any("depends on the order" in note for note in found["notes"])
  without = _run(tmp_path, records, "--bootstrap=0")
  assert "online Elo" not in without["tables"]["ratings"][0]


def test_categories_are_rated_by_themselves_where_they_can_be(tmp_path):
  rows = ("a", "b", "model_a", 3), ("a", "b", "model_b", 1)
  records = [
    *_battles(*rows, category="math"),
    *_battles(("a", "b", "model_b", 2), category="code"),
    *_battles(("a", "b", "model_a", 1)),
  ]
  found = _run(tmp_path, records, "--bootstrap=0", "--anchor=b")
  rated = {r["model"]: r for r in found["tables"]["ratings by category"]}
  gap = 400 * math.log10(3)
  assert rated["a"]["math (4)"] == pytest.approx(1000 + gap)
  assert list(rated["a"]) == ["model", "math (4)"]
  assert any(
    "No ratings for 1 of the categories; one is code: " in x
    for x in found["notes"]
  )


def test_categories_are_on_the_scale_of_the_overall_ratings(tmp_path):
  # Among "hard" the weak ones meet, far below the mean of all models.
  weak = ("middle", "weak", "model_a", 5), ("middle", "weak", "model_b", 3)
  records = [*_THREE, *_battles(*weak, category="hard")]
  found = _run(tmp_path, records, "--bootstrap=0")
  overall = {r["model"]: r["rating"] for r in found["tables"]["ratings"]}
  rated = {
    r["model"]: r["hard (8)"] for r in found["tables"]["ratings by category"]
  }
  assert rated["strong"] is None
  mean = (overall["middle"] + overall["weak"]) / 2
  assert mean < 990
  assert (rated["middle"] + rated["weak"]) / 2 == pytest.approx(mean)
  gap = 400 * math.log10(5 / 3)
  assert rated["middle"] - rated["weak"] == pytest.approx(gap)
  assert any("of their overall ratings" in note for note in found["notes"])
  anchored = _run(tmp_path, records, "--bootstrap=0", "--anchor=weak")
  table = anchored["tables"]["ratings by category"]
  assert table[-1] == {"model": "weak", "hard (8)": 1000}
  assert not any("of their overall ratings" in x for x in anchored["notes"])


@pytest.mark.parametrize("ridge", [[], ["--ridge=0.1"]])
def test_a_category_for_each_verdict_is_told_in_few_lines(
  tmp_path, capsys, ridge
):
  records = [
    {**record, "category": f"id-{i:04}"} for i, record in enumerate(_THREE * 50)
  ]
  records += _battles(
    *(("strong", "weak", "model_a", 3), ("strong", "weak", "model_b", 2)),
    category="real",
  )
  found = _run(tmp_path, records, "--bootstrap=0", *ridge)
  out = capsys.readouterr().out
  assert len(out.splitlines()) < 40
  assert "Of 3,001 categories only the 50 with most verdicts" in out
  columns = list(found["tables"]["ratings by category"][0])
  assert "real (5)" in columns
  # Among the 50 are four single ties, which rate both alike.
  assert len(columns) == (51 if ridge else 6)
  counted = [x for x in found["notes"] if x.startswith("No ratings for")]
  assert len(counted) == (0 if ridge else 1)
  assert ridge or counted[0].startswith("No ratings for 45 of the categories")


def test_too_many_verdicts_are_refused_with_a_remedy(
  tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(bounded_records, "MAX_ROWS", 59)
  assert _run(tmp_path, _THREE) is None
  assert "more than 59 records" in capsys.readouterr().err


def test_what_is_read_is_never_written_and_what_is_written_is_said(
  tmp_path, capsys
):
  found = _run(tmp_path, _THREE, "--bootstrap=0")
  path = tmp_path / "out/evaluation.json"
  assert capsys.readouterr().out.endswith(f"\n\nwritten: {path}\n")
  path.write_text(json.dumps({**found, "benchmark": "agreement"}))
  before = path.read_bytes()
  assert _run(tmp_path, _THREE, "--bootstrap=0") is None
  shown = capsys.readouterr()
  assert not shown.out and "name another folder" in shown.err
  assert path.read_bytes() == before
  argv = ["arena", f"--verdicts={path}", f"--out={tmp_path / 'out'}"]
  assert eval_command.main(argv) == 1
  assert "is the file that is read" in capsys.readouterr().err


def test_a_model_that_won_everything_needs_a_ridge(tmp_path, capsys):
  records = _battles(("a", "b", "model_a", 3))
  assert _run(tmp_path, records) is None
  error = capsys.readouterr().err
  assert "a lost nothing to the others" in error and "--ridge" in error
  found = _run(tmp_path, records, "--ridge=0.1", "--bootstrap=100")
  first = found["tables"]["ratings"][0]
  assert first["model"] == "a" and math.isfinite(first["rating"])
  assert any("ridge of 0.1" in note for note in found["notes"])


def test_draws_without_strengths_leave_ends_open(tmp_path):
  records = _battles(("a", "b", "model_a", 3), ("a", "b", "model_b", 1))
  found = _run(tmp_path, records, "--bootstrap=100")
  assert found["counted"]["bootstrap draws without finite strengths"] > 5
  assert found["tables"]["ratings"][0]["to"] is None


@pytest.mark.parametrize(
  "record,message",
  [
    ({"winner": "A"}, "winner='A' is not one of model_a, model_b, tie"),
    ({"model_a": None}, "model_a is missing"),
    ({"model_b": 3}, "model_b is a int"),
    ({"model_b": ""}, "model_b=''"),
    ({"model_b": "\x1b[2J"}, "printable"),
    ({"model_b": "a"}, "model_a and model_b are both 'a'"),
    ({"category": 3}, "category is a int"),
  ],
)
def test_a_record_that_is_no_verdict_is_refused(
  tmp_path, capsys, record, message
):
  records = [*_battles(("a", "b", "tie", 1)), *_battles(("a", "b", "tie", 1))]
  records[1] |= record
  assert _run(tmp_path, records) is None
  error = capsys.readouterr().err
  assert "battles.jsonl:2: " in error and message in error


def test_a_record_with_an_id_that_stands_twice_is_refused(tmp_path, capsys):
  rows = ("a", "b", "model_a", 1), ("a", "b", "model_b", 1)
  records = _battles(*rows, question_id="q")
  assert _run(tmp_path, records, "--bootstrap=0") is not None
  assert _run(tmp_path, [*records, records[0]]) is None
  assert "battles.jsonl:3: the same record" in capsys.readouterr().err
  other_judge = {**records[0], "judge": "second"}
  found = _run(tmp_path, [*records, other_judge], "--bootstrap=0")
  assert found["figures"]["verdicts"] == 3


def test_other_options_are_refused_by_name(tmp_path, capsys):
  assert _run(tmp_path, _THREE, "--anchor=nobody") is None
  assert "--anchor=nobody: not one of the models: middle" in (
    capsys.readouterr().err
  )
  assert _run(tmp_path, []) is None
  assert "holds no records" in capsys.readouterr().err
  for wrong in ("--bootstrap=-1", "--elo-k=0", "--ridge=nan"):
    with pytest.raises(SystemExit):
      _run(tmp_path, _THREE, wrong)


def test_groups_that_never_met_are_named(tmp_path, capsys):
  records = _battles(("a", "b", "tie", 1), ("c", "d", "tie", 1))
  assert _run(tmp_path, records) is None
  assert "a, b; c, d" in capsys.readouterr().err
