# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval alpaca_eval` with a judge that is asked, or a model that answers."""

import json

import pytest
import tiny_endpoint
import tiny_judge
import tiny_model_folder
import tiny_server
from tiny_alpaca import (
  DATA,
  NUM,
  argv_of,
  gamed_tables,
  make_rows,
  outputs_of,
  read_lines,
  run,
  write_files,
  write_rows,
)
from tiny_endpoint import TinyEndpoint

from ramjax.evals import alpaca_annotations, shown_order, win_rate
from ramjax.tools import eval as eval_command
from ramjax.tools import eval_alpaca


@pytest.fixture
def files(tmp_path):
  return write_files(tmp_path)


@pytest.fixture
def asked(files, tmp_path):
  """Arguments of the same benchmark with a judge that is to be asked."""
  (tmp_path / "prompt.txt").write_text(tiny_judge.TEMPLATE)
  argv = argv_of(files, "model", "reference")
  return [*argv, f"--prompt={tmp_path / 'prompt.txt'}", "--canaries=1"]


def _judge(server):
  return [f"--judge={server.url}", "--judge-name=tiny"]


def test_a_judge_that_is_asked_gives_the_figures_of_its_annotations(
  files, asked, tmp_path, capsys
):
  tables = argv_of(files, "gamed", "difficulty")
  with TinyEndpoint(tiny_judge.act) as server:
    found = run([*asked, *_judge(server), *tables], tmp_path / "out")
    num_asked = len(server.asked)
  assert num_asked == NUM + 5
  told = capsys.readouterr().out
  names = ("verdicts.jsonl", "annotations.json", "leaderboard.csv")
  assert f"written: {tmp_path / 'out' / names[0]}, " in told
  annotations = tmp_path / "out" / "annotations.json"
  written = json.loads(annotations.read_text())
  assert {row["annotator"] for row in written} == {"tiny"}
  expected = [
    1 + tiny_judge.share_of_first(row["output_2"], row["output_1"])
    for row in make_rows()
  ]
  assert [row["preference"] for row in written] == pytest.approx(
    expected, abs=1e-6
  )
  assert [row["instruction"] for row in written] == [
    row["instruction"] for row in make_rows()
  ]
  files["judge"] = tmp_path / "recorded.json"
  files["judge"].write_bytes(annotations.read_bytes())
  argv = argv_of(files, "model", "judge", "reference")
  recorded = run([*argv, *tables], tmp_path / "recorded")
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
    first = run([*asked, *_judge(server)], out)
    num_asked = len(server.asked)
    whole = verdicts.read_bytes()
    # Torn inside its eighth line; what comes after the verdicts is not there.
    lines = whole.splitlines(keepends=True)
    verdicts.write_bytes(b"".join(lines[:7]) + lines[7][:20])
    for name in ("annotations.json", "leaderboard.csv", "evaluation.json"):
      (out / name).unlink()
    again = run([*asked, *_judge(server)], out)
    assert len(server.asked) == num_asked + len(lines) - 7
    assert again["figures"] == first["figures"]
    run([*asked, *_judge(server)], out)
    assert len(server.asked) == num_asked + len(lines) - 7


def test_a_folder_answers_first(files, tmp_path):
  folder = tmp_path / "tiny"
  tiny_model_folder.write(folder)
  (tmp_path / "prompt.txt").write_text(tiny_judge.TEMPLATE)
  options = [*tiny_model_folder.ANSWERING, "--canaries=0"]
  options += [f"--prompt={tmp_path / 'prompt.txt'}"]
  argv = [f"--model={folder}", *argv_of(files, "reference"), *options]
  with TinyEndpoint(tiny_judge.act) as server:
    found = run([*argv, *_judge(server)], tmp_path / "out")
  assert found["model"] == "tiny" and found["figures"]["n_total"] == NUM
  outputs = tmp_path / "out" / "model_outputs.json"
  assert str(outputs) in found["inputs"]
  files["model"] = outputs
  files["judge"] = tmp_path / "out" / "annotations.json"
  argv = argv_of(files, "model", "judge", "reference")
  recorded = run(argv, tmp_path / "recorded")
  assert recorded["figures"].items() <= found["figures"].items()


def test_a_model_that_would_answer_needs_a_judge_that_is_asked(files, capsys):
  for model in ("http://localhost:1", str(files["judge"].parent)):
    argv = [f"--model={model}", "--model-name=x", *argv_of(files, "judge")]
    assert eval_command.main(["alpaca_eval", *argv]) == 1
    assert "or a judge that is asked" in capsys.readouterr().err


def test_answers_of_one_side_alone_are_counted_and_not_judged(
  files, asked, tmp_path
):
  rows = make_rows()
  write_rows(files["model"], outputs_of(rows[:-2], 2))
  write_rows(files["reference"], outputs_of(rows[1:], 1))
  with TinyEndpoint(tiny_judge.act) as server:
    found = run([*asked, *_judge(server)], tmp_path / "out")
  assert found["figures"]["n_total"] == NUM - 3
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
  gamed, _ = gamed_tables(NUM + 1)
  files["gamed"].write_text(gamed)
  with TinyEndpoint(tiny_judge.act) as server:
    argv += _judge(server)
    with pytest.raises(ValueError, match=r"20 instructions, and the .* 21"):
      eval_alpaca.main([*argv, *argv_of(files, "gamed")])
    rows = [{**row, "generator": "same"} for row in outputs_of(make_rows(), 1)]
    write_rows(files["reference"], rows)
    rows = [{**row, "generator": "same"} for row in outputs_of(make_rows(), 2)]
    write_rows(files["model"], rows)
    with pytest.raises(ValueError, match="both called 'same'"):
      eval_alpaca.main(argv)
    assert server.asked == []


@pytest.mark.slow
def test_a_folder_judges(files, asked, tmp_path):
  tiny_server.write_model(tmp_path / "judge")
  argv = [f"--judge={tmp_path / 'judge'}", "--judge-template=plain"]
  # Tokens that this tiny model finds likely.
  argv += ["--identifiers=[,J", "--top-logprobs=20", "--max-invalid=0.9"]
  found = run([*asked, *argv], tmp_path / "out")
  figures = found["figures"]
  assert figures["judge_requests"] == NUM + 5
  judged = alpaca_annotations.read(tmp_path / "out" / "annotations.json")
  assert judged.annotator == "judge"
  assert figures["n_total"] == NUM - judged.num_null > 5


def test_the_published_judges_answers_replayed_give_its_annotations(tmp_path):
  """Template, order, parsing and metrics, against what was recorded."""
  name = "claude-2.1"
  paths = [
    DATA / "logprob_parser_fixture.jsonl.gz",
    DATA / "baseline_gpt4_1106_preview.jsonl.gz",
    DATA / f"annotations_text/{name}.jsonl.gz",
    DATA / "evaluators_configs/alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt",
  ]
  if not all(path.is_file() for path in paths):
    pytest.skip("no recorded answers of AlpacaEval's judge on this machine")
  said = {
    row["instruction_index"]: row["top_logprobs"]
    for row in read_lines(paths[0])
    if row["model"] == name
  }
  baseline = read_lines(paths[1])
  rows = [
    {**baseline[index], **row}
    for row in read_lines(paths[2])
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
    write_rows(files[key], outputs_of(rows, side))
  argv = argv_of(files, *files, extra=[f"--prompt={paths[3]}", "--canaries=0"])
  with TinyEndpoint(act) as server:
    found = run([*argv, *_judge(server)], tmp_path / "out")
  judged = alpaca_annotations.read(tmp_path / "out" / "annotations.json")
  recorded = [row["preference"] for row in rows]
  # As many digits as the logprobs were recorded with.
  assert judged.preferences == pytest.approx(recorded, abs=2e-6)
  expected = win_rate.win_rate(recorded)
  figures = found["figures"]
  assert figures["win_rate"] == pytest.approx(expected.win_rate, abs=1e-3)
  assert figures["n_wins"] == expected.n_wins
