# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval reward_bench`: which file is what, and what is written."""

import json
import pathlib

import pytest

from ramjax.evals import bounded_records, reward_bench
from ramjax.tools import eval as eval_command
from ramjax.tools import eval_reward_bench

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/reward_bench"
_RESULTS = {
  **{name: 0.5 for s in reward_bench.SECTIONS.values() for name in s},
  "alpacaeval-easy": 1.0,
  "model": "my/model",
  "model_type": "Seq. Classifier",
  "chat_template": "tokenizer",
}


def _write(path, value):
  path.write_text(json.dumps(value, indent=1))
  return str(path)


def _lines(path, records):
  path.write_text("".join(json.dumps(r) + "\n" for r in records))
  return str(path)


def _main(*argv):
  return eval_command.main(["reward_bench", *argv])


def test_results_are_printed_and_written_back(tmp_path, capsys):
  path = _write(tmp_path / "r.json", _RESULTS)
  out = tmp_path / "out"
  assert _main(f"--model={path}", f"--out={out}") == 0
  shown = capsys.readouterr().out
  assert "my/model" in shown and "Chat Hard" in shown
  assert json.loads((out / "results.json").read_text()) == _RESULTS
  record = json.loads((out / "evaluation.json").read_text())
  chat = (100 + 0.5 * 258) / 358
  assert record["figures"]["Chat, share"] == pytest.approx(chat)
  assert record["figures"]["overall, share"] == pytest.approx((chat + 1.5) / 4)
  assert record["figures"]["version"] == 1
  assert list(record["inputs"]) == [path]
  # What was written is read again.
  assert _main(f"--model={out / 'results.json'}") == 0


def test_published_results_are_written_back_as_they_were(tmp_path):
  paths = sorted((_DATA / "v1_results").glob("*.json"))
  if not paths:
    pytest.skip("needs v1_results of the shared data")
  for path in paths:
    out = tmp_path / path.stem
    assert _main(f"--model={path}", f"--out={out}") == 0
    written = json.loads((out / "results.json").read_text())
    assert written == json.loads(path.read_text())


def test_prior_sets_may_be_in_a_file_of_their_own(tmp_path, capsys):
  path = _write(tmp_path / "r.json", _RESULTS)
  prior = _write(tmp_path / "p.json", {"shp": 0.0, "model": "my/model"})
  out = tmp_path / "out"
  assert _main(f"--model={path}", f"--prior={prior}", f"--out={out}") == 0
  figures = json.loads((out / "evaluation.json").read_text())["figures"]
  assert figures["Prior Sets, share"] == 0.0
  sections = sum(figures[f"{name}, share"] for name in reward_bench.SECTIONS)
  assert figures["overall, share"] == pytest.approx(sections / 4.5)
  assert _main(f"--model={path}", f"--prior={path}") == 1
  assert "also in" in capsys.readouterr().err


def _items(right):
  return [
    {
      "subset": "hep-go",
      "id": i,
      "scores_chosen": float(i < right),
      "scores_rejected": 0.0,
    }
    for i in range(164)
  ]


def test_scores_in_lines_and_in_columns_are_the_same(tmp_path):
  items = _items(41)
  columns = {name: [item[name] for item in items] for name in items[0]}
  paths = [
    _lines(tmp_path / "llama-3.1.jsonl", items),
    _write(tmp_path / "list.json", items),
    _write(tmp_path / "columns.json", {**columns, "model": "m"}),
  ]
  found = []
  for path in paths:
    out = tmp_path / f"out{len(found)}"
    assert _main(f"--model={path}", f"--out={out}") == 0
    found.append(json.loads((out / "evaluation.json").read_text()))
  assert [x["model"] for x in found] == ["llama-3.1", "list", "m"]
  for x in found:
    assert x["figures"]["Reasoning, share"] == 0.25
    assert x["counted"] == {"subsets missing": 22}


def test_version_2_is_found_from_its_subsets(tmp_path, capsys):
  records = [
    {"subset": "Math", "id": "1", "scores": [1, 0, 0, 1], "num_correct": 1},
    {"subset": "Ties", "id": "tied:1", "scores": [2, 2, 1], "num_correct": 2},
    {"subset": "Ties", "id": "ref:1", "scores": [2, 1], "num_correct": 1},
  ]
  path = _lines(tmp_path / "m.jsonl", records)
  out = tmp_path / "out"
  assert _main(f"--model={path}", f"--out={out}") == 0
  assert "tied_accuracy" in capsys.readouterr().out
  results = json.loads((out / "results.json").read_text())
  assert results == {"model": "m", "Math": 0.5, "Ties": pytest.approx(1.01)}
  assert _main(f"--model={out / 'results.json'}", "--version=2") == 0
  assert _main(f"--model={path}", "--version=1") == 1
  assert "m.jsonl:1: subset='Math'" in capsys.readouterr().err
  assert _main(f"--model={path}", f"--prior={path}") == 1
  assert "no prior sets" in capsys.readouterr().err


@pytest.mark.parametrize(
  "name,text,message",
  [
    ("a.json", '{"hep-go": 0.5, "hep-go": 0.6}', "stands twice"),
    ("a.json", '{"hep-go": NaN}', "NaN is not JSON"),
    ("a.json", '{"hep-go": 0.5}\n{"hep-go": 0.5}', "more follows"),
    ("a.json", '{"hep-go": 0.5', "not one JSON object"),
    ("a.json", '{"instruction": "x"}', "names no subset"),
    ("a.json", '{"subset": ["shp"], "results": []}', "different lengths"),
    ("a.json", "[]", "names no subset"),
    ("a.jsonl", '{"subset": "shp", "results": NaN}', "a.jsonl:1: NaN"),
    ("a.jsonl", '{"instruction": "x"}', "names no subset"),
    (
      "a.jsonl",
      '{"subset": "shp", "results": 1}\n{"subset": "Math", "results": 1}',
      "a.jsonl:2: subset='Math'",
    ),
    ("a.csv", "subset", "suffix"),
  ],
)
def test_other_files_are_refused(tmp_path, capsys, name, text, message):
  (tmp_path / name).write_text(text)
  assert _main(f"--model={tmp_path / name}") == 1
  assert message in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
  assert _main(f"--model={tmp_path / 'no.json'}") == 1
  assert "no.json" in capsys.readouterr().err


def test_help_names_both_kinds_of_files(capsys):
  with pytest.raises(SystemExit):
    eval_reward_bench.main(["--help"])
  shown = capsys.readouterr().out
  assert "scores_chosen" in shown and "num_correct" in shown


def test_results_are_not_written_over(tmp_path, capsys):
  path = tmp_path / "results.json"
  _write(path, {**_RESULTS, "more": "text that would be lost"})
  before = path.read_bytes()
  assert _main(f"--model={path}", f"--out={tmp_path}") == 1
  assert "results.json would be written" in capsys.readouterr().err
  assert path.read_bytes() == before


def test_results_of_another_model_are_not_replaced(tmp_path, capsys):
  path = _write(tmp_path / "r.json", _RESULTS)
  other = _write(tmp_path / "o.json", {**_RESULTS, "model": "other"})
  out = tmp_path / "out"
  assert _main(f"--model={path}", f"--out={out}") == 0
  assert capsys.readouterr().out.endswith(
    f"written: {out / 'results.json'}, {out / 'evaluation.json'}\n"
  )
  assert _main(f"--model={other}", f"--out={out}") == 1
  assert (
    "has 'reward_bench, version 1' of 'my/model'" in capsys.readouterr().err
  )
  assert json.loads((out / "results.json").read_text()) == _RESULTS


def test_there_is_an_end_to_the_rows(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(bounded_records, "MAX_ROWS", 163)
  path = _lines(tmp_path / "lines.jsonl", _items(1))
  assert _main(f"--model={path}") == 1
  assert "split the file" in capsys.readouterr().err
