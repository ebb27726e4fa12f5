# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval win_rate`: files in, a real judge over HTTP, files out."""

import gzip
import json
import pathlib
import subprocess
import sys
import threading
import time

import pytest
import tiny_endpoint
import tiny_judge
import tiny_model_folder
import tiny_server
from tiny_endpoint import TinyEndpoint

from ramjax.evals import (
  alpaca_annotations,
  shown_order,
  win_rate,
)
from ramjax.tools import eval as eval_command
from ramjax.tools import eval_win_rate

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/alpaca_eval"
_TASKS = [f"task {i}" for i in range(12)]


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
  tiny_judge.retry_quickly(monkeypatch)


@pytest.fixture
def files(tmp_path):
  """Arguments of a benchmark of 12 tasks, without the judge."""
  rows = {
    "model": [("mine", "b" * (2 + i % 5)) for i in range(12)],
    "reference": [("base", "a" * (3 + i % 3)) for i in range(12)],
  }
  for name, outputs in rows.items():
    listed = [
      {"instruction": task, "output": text, "generator": who}
      for task, (who, text) in zip(_TASKS, outputs, strict=True)
    ]
    (tmp_path / f"{name}.json").write_text(json.dumps(listed))
  (tmp_path / "prompt.txt").write_text(tiny_judge.TEMPLATE)
  return [
    f"--model={tmp_path / 'model.json'}",
    f"--reference={tmp_path / 'reference.json'}",
    f"--prompt={tmp_path / 'prompt.txt'}",
    f"--out={tmp_path / 'out'}",
  ]


def _judge(server):
  return [f"--judge={server.url}", "--judge-name=tiny"]


def _figures(tmp_path):
  record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
  canaries = {row["canary"]: row for row in record["tables"]["canaries"]}
  return record["figures"], canaries


def _expected():
  return [
    1 + tiny_judge.share_of_first("b" * (2 + i % 5), "a" * (3 + i % 3))
    for i in range(12)
  ]


def test_a_judge_of_lengths_is_found_out_by_its_canaries(
  files, tmp_path, capsys
):
  with TinyEndpoint(tiny_judge.act) as server:
    assert eval_win_rate.main([*files, *_judge(server)]) == 0
  figures, canaries = _figures(tmp_path)
  expected = win_rate.win_rate(_expected())
  assert figures["win_rate, %"] == pytest.approx(expected.win_rate, abs=1e-4)
  assert figures["standard_error, points"] == pytest.approx(
    expected.standard_error, abs=1e-4
  )
  judged = alpaca_annotations.read(tmp_path / "out" / "annotations.json")
  assert judged.preferences == pytest.approx(_expected(), abs=1e-6)
  assert (judged.model, judged.baseline) == ("mine", "base")
  assert judged.annotator == "tiny"
  # One token of which the probability is read is no words.
  assert all("raw_completion" not in row.original for row in judged.rows)
  # It prefers what is long, whatever it says, and has no favourite place.
  passed = {kind: row["passed"] for kind, row in canaries.items()}
  assert passed["null"] == passed["swapped"] == 1.0
  assert passed["injected"] == passed["padded"] == 0.0
  assert canaries["identical"]["mean"] == pytest.approx(1.731, abs=1e-3)
  assert figures["judge_requests"] == len(server.asked)
  assert figures["judge_prompt_tokens"] == 3 * len(server.asked)
  shown = capsys.readouterr()
  assert "win_rate: mine" in shown.out and "did not lose" in shown.out
  assert "judged 12 of 12 pairs" in shown.err


def test_a_folder_answers_first_and_is_judged_as_its_outputs_are(
  files, tmp_path
):
  folder = tmp_path / "tiny"
  tiny_model_folder.write(folder)
  options = tiny_model_folder.ANSWERING
  with TinyEndpoint(tiny_judge.act) as server:
    argv = [f"--model={folder}", *options, *files[1:], *_judge(server)]
    assert eval_win_rate.main(argv) == 0
    first = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    outputs = tmp_path / "out" / "model_outputs.json"
    argv = [f"--model={outputs}", *files[1:-1], *_judge(server)]
    assert eval_win_rate.main([*argv, f"--out={tmp_path / 'again'}"]) == 0
  again = json.loads((tmp_path / "again" / "evaluation.json").read_text())
  assert first["model"] == again["model"] == "tiny"
  assert first["figures"] == again["figures"]
  assert first["model_identity"]["template"] == "plain"
  judge = first["model_identity"].pop("judge")
  assert again["model_identity"] == {"judge": judge}
  assert judge["name"] == "tiny" and judge["endpoint"].startswith(server.url)
  assert judge["reader"] == {"identifiers": ["m", "M"], "num_top": 5}
  assert set(first["inputs"]) == set(again["inputs"])
  made = json.loads(outputs.read_text())
  assert [row["instruction"] for row in made] == _TASKS


def test_what_is_read_is_never_written_and_another_model_not_replaced(
  files, tmp_path, capsys
):
  out = tmp_path / "out"
  with TinyEndpoint(tiny_judge.act) as server:
    assert eval_win_rate.main([*files, *_judge(server), "--canaries=0"]) == 0
    written = [
      str(out / name)
      for name in ("verdicts.jsonl", "annotations.json", "evaluation.json")
    ]
    assert capsys.readouterr().out.endswith(
      f"\n\nwritten: {', '.join(written)}\n"
    )
    asked = len(server.asked)
    (out / "annotations.json").write_bytes(
      (tmp_path / "model.json").read_bytes()
    )
    own = [f"--model={out / 'annotations.json'}", *files[1:]]
    with pytest.raises(ValueError, match="is the file that is read"):
      eval_win_rate.main([*own, *_judge(server)])
    swapped = [f"--model={tmp_path / 'reference.json'}", *files[1:]]
    with pytest.raises(ValueError, match=r"'mine'.*another folder"):
      eval_win_rate.main([*swapped, *_judge(server)])
    assert len(server.asked) == asked


@pytest.mark.parametrize(
  "option",
  ["--canaries=-1", "--judge-slots=0", "--samples=0", "--judge-timeout=nan"],
)
def test_a_number_out_of_range_is_refused(files, option, capsys):
  with pytest.raises(SystemExit) as stopped:
    eval_win_rate.main([*files, "--judge=folder", option])
  assert stopped.value.code == 2
  assert option.partition("=")[0] in capsys.readouterr().err


def test_the_same_command_again_asks_nothing(files, tmp_path):
  with TinyEndpoint(tiny_judge.act) as server:
    eval_win_rate.main([*files, *_judge(server)])
    first, asked = _figures(tmp_path), len(server.asked)
    eval_win_rate.main([*files, *_judge(server)])
    assert len(server.asked) == asked and _figures(tmp_path) == first
    eval_win_rate.main([*files, *_judge(server), "--both-orders"])
    assert len(server.asked) > asked


def test_words_in_both_orders(files, tmp_path):
  with TinyEndpoint(tiny_judge.act) as server:
    options = [f"--pattern={tiny_judge.PATTERN}", "--both-orders"]
    assert eval_win_rate.main([*files, *_judge(server), *options]) == 0
  figures, _ = _figures(tmp_path)
  sides = [(p > 1.5) + (p >= 1.5) for p in _expected()]
  assert figures["win_rate, %"] == pytest.approx(50 * sum(sides) / 12)
  assert figures["orders_agree_share"] == 1.0
  # The judge's words come with the verdict, each order named.
  rows = json.loads((tmp_path / "out" / "annotations.json").read_text())
  for row in rows:
    words = row["raw_completion"]
    assert words.count("[the model's answer shown first]\n") == 1
    assert words.count("[the baseline's answer shown first]\n") == 1
    assert len(words.splitlines()) >= 4


def test_too_many_without_verdict_fail_the_run_and_lose_nothing(
  files, tmp_path
):
  def act(number, asked):
    if "task 1" in asked.body["messages"][-1]["content"]:  # 1, 10 and 11.
      return tiny_endpoint.reply({"error": "boom"}, 500)
    return tiny_judge.act(number, asked)

  with TinyEndpoint(act) as server:
    with pytest.raises(ValueError, match=r"no answer about .* pairs.* boom"):
      eval_win_rate.main([*files, *_judge(server)])
    assert not (tmp_path / "out" / "evaluation.json").exists()
    options = ["--max-invalid=0.25", "--canaries=0"]
    assert eval_win_rate.main([*files, *_judge(server), *options]) == 0
  record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
  assert record["figures"]["invalid_share"] == 0.25
  assert record["counted"]["pairs that the judge gave no answer about"] == 3
  judged = alpaca_annotations.read(tmp_path / "out" / "annotations.json")
  missing = [r.instruction for r in judged.rows if r.preference is None]
  assert missing == ["task 1", "task 10", "task 11"]


def test_a_judge_that_says_nothing_of_use_fails_the_run(files):
  def act(number, asked):
    return tiny_endpoint.reply(tiny_judge.top([("Well", -0.1)]))

  with TinyEndpoint(act) as server:
    with pytest.raises(ValueError, match=r"12 of 12 pairs have no verdict"):
      eval_win_rate.main([*files, *_judge(server)])


def _lines(name):
  path = _DATA / name
  if not path.is_file():
    pytest.skip(f"no {path.name} of AlpacaEval on this machine")
  with gzip.open(path, "rt") as file:
    return [json.loads(line) for line in file]


def test_the_published_judges_answers_give_the_published_preferences(tmp_path):
  """AlpacaEval 2's judge, replayed: template, order, parsing and metrics."""
  template = (
    _DATA / "evaluators_configs/alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt"
  )
  name = "claude-2.1"
  baseline = {
    row["index"]: row for row in _lines("baseline_gpt4_1106_preview.jsonl.gz")
  }
  outputs = {
    row["instruction_index"]: row["output_2"]
    for row in _lines(f"annotations_text/{name}.jsonl.gz")
  }
  recorded = [
    row
    for row in _lines("logprob_parser_fixture.jsonl.gz")
    if row["model"] == name
  ]
  assert len(recorded) > 100
  replies, expected, files = {}, {}, {"model": [], "reference": []}
  for row in recorded:
    index = row["instruction_index"]
    instruction = baseline[index]["instruction"]
    shown = [baseline[index]["output_1"], outputs[index]]
    for which, output in zip(("reference", "model"), shown, strict=True):
      files[which].append({"instruction": instruction, "output": output})
    if shown_order.is_swapped(instruction):
      shown.reverse()
    # As the authors' tool fills it, slot by slot.
    text = template.read_text().split("<|im_start|>user")[1]
    for slot, value in zip(
      ("instruction", "output_1", "output_2"),
      (instruction, *shown),
      strict=True,
    ):
      text = text.replace(f"{{{slot}}}", value)
    text = text.rpartition("<|im_end|>")[0].strip()
    replies[text] = [tuple(pair) for pair in row["top_logprobs"]]
    expected[instruction] = row["preference"]
  for which, listed in files.items():
    (tmp_path / f"{which}.json").write_text(json.dumps(listed))

  def act(number, asked):
    top = replies[asked.body["messages"][-1]["content"]]
    return tiny_endpoint.reply(tiny_judge.top(top))

  with TinyEndpoint(act) as server:
    eval_win_rate.main(
      [
        f"--model={tmp_path / 'model.json'}",
        f"--reference={tmp_path / 'reference.json'}",
        f"--prompt={template}",
        f"--out={tmp_path / 'out'}",
        "--canaries=0",
        *_judge(server),
      ]
    )
  judged = alpaca_annotations.read(tmp_path / "out" / "annotations.json")
  assert len(judged.rows) == len(recorded)
  for row in judged.rows:
    # As many digits as the logprobs were recorded with.
    assert row.preference == pytest.approx(expected[row.instruction], abs=2e-6)
  record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
  assert record["figures"]["win_rate, %"] == pytest.approx(
    win_rate.win_rate(list(expected.values())).win_rate, abs=1e-3
  )


@pytest.mark.slow
def test_a_folder_and_our_own_server_say_the_same(files, tmp_path):
  """The judge here, and the same weights behind `ramjax serve`."""
  model = tiny_server.write_model(tmp_path / "judge")
  # Tokens that this tiny model finds likely.
  options = ["--identifiers=[,J", "--top-logprobs=20", "--max-invalid=0.5"]
  judges = {"here": [f"--judge={tmp_path / 'judge'}", "--judge-template=plain"]}
  preferences, figures = {}, {}
  with tiny_server.running(model, max_waiting=99) as server:
    url = f"http://127.0.0.1:{server.port}"
    judges["there"] = [f"--judge={url}", "--judge-name=tiny"]
    for name, judge in judges.items():
      out = tmp_path / name
      argv = [*files[:-1], f"--out={out}", "--canaries=1", *judge, *options]
      assert eval_win_rate.main(argv) == 0
      judged = alpaca_annotations.read(out / "annotations.json")
      preferences[name] = judged.preferences
      record = json.loads((out / "evaluation.json").read_text())
      figures[name] = record["figures"]
  known = [p for p in preferences["here"] if p is not None]
  assert len(known) >= 6 and len(set(known)) > 3
  assert preferences["there"] == [
    None if p is None else pytest.approx(p, abs=1e-4)
    for p in preferences["here"]
  ]
  for figure in ("judge_requests", "judge_prompt_tokens"):
    assert figures["here"][figure] == figures["there"][figure] > 0


_CHILD = """
import sys
from ramjax.tools import eval as eval_command
sys.exit(eval_command.main(["win_rate", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_a_process_that_is_killed_loses_nothing_that_it_was_told(
  files, tmp_path
):
  """SIGKILL, twice, while requests are under way; the third run ends."""
  enough = threading.Event()
  kills = []

  def act(number, asked):
    # Of each of the first two runs, some are answered and the rest are not.
    if len(kills) < 2 and number >= 6 * (len(kills) + 1):
      enough.set()
      time.sleep(60)
    return tiny_judge.act(number, asked)

  command = [sys.executable, "-c", _CHILD, *files, "--judge-concurrency=2"]
  path = tmp_path / "out" / "verdicts.jsonl"
  with TinyEndpoint(act) as server:
    kept = []
    for _ in range(2):
      enough.clear()
      with subprocess.Popen([*command, *_judge(server)]) as child:
        assert enough.wait(120)
        # What was told before is on its way to the disk.
        until = time.monotonic() + 300
        while time.monotonic() < until and (
          not path.exists() or len(path.read_bytes().splitlines()) < 3
        ):
          time.sleep(0.01)
        child.kill()
      kept.append(path.read_bytes().splitlines())
      kills.append(1)
    killed = len(server.asked)
    assert subprocess.run([*command, *_judge(server)]).returncode == 0
    again = [tiny_judge.shown(asked) for asked in server.asked[killed:]]
  lines = path.read_bytes().splitlines()
  assert len(kept[0]) >= 3 and kept[0] == kept[1][: len(kept[0])]
  assert kept[1] == lines[: len(kept[1])]
  # Each of the pairs and canaries that were not there was asked about once.
  assert len(set(again)) == len(again) == len(lines) - len(kept[1])
  assert len({json.loads(line)["key"] for line in lines}) == len(lines)
  judged = alpaca_annotations.read(tmp_path / "out" / "annotations.json")
  assert judged.preferences == pytest.approx(_expected(), abs=1e-6)


@pytest.mark.parametrize(
  "extra,match",
  [
    (["--judge=http://localhost:1"], "needs --judge-name"),
    (["--judge=folder", "--prices=1,2"], "--prices is for an endpoint"),
    (["--judge=folder", "--samples=3"], "--samples=3 is for --pattern"),
    (["--judge=folder", "--max-invalid=1"], "--max-invalid=1"),
    (
      [
        "--judge=http://localhost:1",
        "--judge-name=x",
        "--judge-template=plain",
      ],
      "--judge-template is for a FOLDER",
    ),
  ],
)
def test_options_that_do_not_go_together_are_refused(files, extra, match):
  with pytest.raises(ValueError, match=match):
    eval_win_rate.main([*files, *extra])


def test_a_baseline_with_the_models_name_is_refused_before_it_is_judged(
  files, tmp_path
):
  path = tmp_path / "reference.json"
  rows = [{**row, "generator": "mine"} for row in json.loads(path.read_text())]
  path.write_text(json.dumps(rows))
  with TinyEndpoint(tiny_judge.act) as server:
    with pytest.raises(ValueError, match="both called 'mine'"):
      eval_win_rate.main([*files, *_judge(server)])
    assert server.asked == []


@pytest.mark.parametrize(
  "option", ["--prices=1", "--prices=1,-2", "--prices=1,nan", "--prices=a,b"]
)
def test_prices_that_are_none_are_refused(files, option, capsys):
  with pytest.raises(SystemExit):
    eval_win_rate.main([*files, "--judge=x", option])
  assert "must be two prices" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["m", "m,", "m,m", "m,M,x", ""])
def test_identifiers_that_are_not_two_are_refused(files, text, capsys):
  with pytest.raises(SystemExit):
    eval_win_rate.main([*files, "--judge=x", f"--identifiers={text}"])
  assert "must be two different tokens" in capsys.readouterr().err


def test_it_is_a_benchmark_whose_errors_are_lines(files, capsys):
  assert eval_command.main(["win_rate", *files, "--judge=nowhere"]) == 1
  assert "ramjax eval win_rate: " in capsys.readouterr().err
  with pytest.raises(SystemExit) as exited:
    eval_command.main(["win_rate", "--help"])
  assert exited.value.code == 0
