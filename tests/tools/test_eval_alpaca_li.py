# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval alpaca_eval_li`: files in, a real judge over HTTP, files out."""

import dataclasses
import gzip
import json
import pathlib

import pytest
import tiny_judge
import tiny_model_folder
import tiny_server
from tiny_endpoint import TinyEndpoint

from ramjax.evals import (
  alpaca_annotations,
  length_instructed_files,
  win_rate,
  word_tokens,
)
from ramjax.tools import eval as eval_command
from ramjax.tools import eval_alpaca_li

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data"
_LIMIT = 4
# Words of each answer: of ten, those of 5 and 6 are too long.
_WORDS = (1, 2, 3, 4, 5, 6, 1, 3, 4, 5)
_BEYOND = [i for i, words in enumerate(_WORDS) if words > _LIMIT]


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
  tiny_judge.retry_quickly(monkeypatch)


def _prompt(i):
  return length_instructed_files.prompt(f"Task {i}", _LIMIT)


def _answer(i):
  return " ".join(["bbbb"] * _WORDS[i])


def _baseline(i):
  return "a" * (3 + i)


def _write(path, rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return path


@pytest.fixture
def argv(tmp_path):
  """Arguments of a benchmark of ten tasks, without the judge."""
  data = [
    {
      "dataset": "koala" if i < 5 else "vicuna",
      "instruction": _prompt(i),
      "output": _baseline(i),
      "generator": "AlpacaEval-LI",
      "max_len": _LIMIT,
      "original_instruction": f"Task {i}",
    }
    for i in range(10)
  ]
  outputs = [
    {"instruction": _prompt(i), "output": _answer(i), "generator": "mine"}
    for i in range(10)
  ]
  _write(tmp_path / "li.jsonl", data)
  _write(tmp_path / "outputs.jsonl", outputs)
  (tmp_path / "prompt.txt").write_text(tiny_judge.TEMPLATE)
  return [
    f"--data={tmp_path / 'li.jsonl'}",
    f"--model={tmp_path / 'outputs.jsonl'}",
  ]


def _judge(server, tmp_path):
  return [
    f"--judge={server.url}",
    "--judge-name=tiny",
    f"--prompt={tmp_path / 'prompt.txt'}",
    "--canaries=1",
  ]


def _run(argv, out):
  assert eval_alpaca_li.main([*argv, f"--out={out}"]) == 0
  return json.loads((out / "evaluation.json").read_text())


def _expected():
  """Preferences: too long is a loss, and the judge likes what is longer."""
  return [
    1.0
    if i in _BEYOND
    else 1 + tiny_judge.share_of_first(_answer(i), _baseline(i))
    for i in range(10)
  ]


def test_without_a_judge_violations_and_words(argv, tmp_path, capsys):
  found = _run(argv, tmp_path / "out")
  figures = found["figures"]
  assert figures["Vlt, %"] == 30.0 and figures["violations"] == 3
  assert figures["Vlt, 95 % from"] < 30 < figures["Vlt, 95 % to"]
  assert figures["mean words"] == pytest.approx(sum(_WORDS) / 10)
  assert figures["mean limit, words"] == _LIMIT
  assert not any("win" in name for name in figures)
  assert [row["Vlt, %"] for row in found["tables"]["by dataset"]] == [20, 40]
  assert found["model"] == "mine"
  assert [path.name for path in (tmp_path / "out").iterdir()] == [
    "evaluation.json"
  ]
  assert eval_alpaca_li.main(argv) == 0
  assert "alpaca_eval_li: mine" in capsys.readouterr().out


def test_a_folder_answers_first(argv, tmp_path):
  folder = tmp_path / "tiny"
  config = dataclasses.replace(tiny_model_folder.CONFIG, max_positions=128)
  tiny_model_folder.write(folder, config)
  options = tiny_model_folder.ANSWERING
  found = _run([argv[0], f"--model={folder}", *options], tmp_path / "out")
  outputs = tmp_path / "out" / "model_outputs.json"
  again = _run([argv[0], f"--model={outputs}"], tmp_path / "again")
  assert found["model"] == again["model"] == "tiny"
  assert found["figures"] == again["figures"]
  made = json.loads(outputs.read_text())
  assert [row["instruction"] for row in made] == [_prompt(i) for i in range(10)]


def test_violations_lose_and_no_judge_sees_them(argv, tmp_path):
  with TinyEndpoint(tiny_judge.act) as server:
    found = _run([*argv, *_judge(server, tmp_path)], tmp_path / "out")
  shown = [asked.body["messages"][-1]["content"] for asked in server.asked]
  # Seven pairs, and a canary of each of five kinds.
  assert len(shown) == 7 + 5
  for i in range(10):
    asked = sum(f"Task {i}\n" in text for text in shown)
    assert (asked == 0) == (i in _BEYOND)
  assert not any(_answer(5) in text for text in shown)
  # The judge reads the limit, too.
  assert all(f"using {_LIMIT} words or less.\n\nTask" in x for x in shown)
  expected = win_rate.win_rate(_expected())
  figures = found["figures"]
  assert figures["win_rate, %"] == pytest.approx(expected.win_rate, abs=1e-4)
  assert figures["n_total"] == 10 and figures["n_wins_base"] >= 3
  within = [x for i, x in enumerate(_expected()) if i not in _BEYOND]
  assert figures["win_rate within limits, %"] == pytest.approx(
    win_rate.win_rate(within).win_rate, abs=1e-4
  )
  assert figures["judge_requests"] == len(shown)
  counted = found["counted"]
  assert counted["answers beyond their limit lose without a judge"] == 3
  judged = alpaca_annotations.read(tmp_path / "out" / "annotations.json")
  assert len(judged.rows) == 7
  assert (judged.model, judged.baseline) == ("mine", "AlpacaEval-LI")


def test_recorded_verdicts_give_the_same_figures_and_ask_nobody(argv, tmp_path):
  with TinyEndpoint(tiny_judge.act) as server:
    asked = _run([*argv, *_judge(server, tmp_path)], tmp_path / "out")
  judge = f"--judge={tmp_path / 'out' / 'annotations.json'}"
  found = _run([*argv, judge], tmp_path / "again")
  assert found["figures"].items() <= asked["figures"].items()
  assert found["tables"].items() <= asked["tables"].items()
  assert set(found["notes"]) <= set(asked["notes"])
  assert "win_rate, %" in found["figures"]
  # Verdicts on violations, as another tool may have recorded them, say nothing.
  rows = json.loads((tmp_path / "out" / "annotations.json").read_text())
  i = _BEYOND[0]
  more = {**rows[0], "instruction": _prompt(i), "preference": 2.0}
  more |= {"output_1": _baseline(i), "output_2": _answer(i)}
  path = _write(tmp_path / "more.jsonl", [*rows, more])
  found = _run([*argv, f"--judge={path}"], tmp_path / "more")
  assert found["figures"].items() <= asked["figures"].items()
  assert found["counted"]["verdicts are on such answers: not used"] == 1
  more["output_2"] += "!"
  _write(path, [*rows, more])
  with pytest.raises(ValueError, match="output_2 is not what was given"):
    eval_alpaca_li.main([*argv, f"--judge={path}"])


def test_a_run_that_was_killed_asks_for_what_it_lacks_alone(argv, tmp_path):
  verdicts = tmp_path / "out" / "verdicts.jsonl"
  with TinyEndpoint(tiny_judge.act) as server:
    argv = [*argv, *_judge(server, tmp_path)]
    first = _run(argv, tmp_path / "out")
    lines = verdicts.read_bytes().splitlines(keepends=True)
    verdicts.write_bytes(b"".join(lines[:4]) + lines[4][:10])
    num_asked = len(server.asked)
    assert _run(argv, tmp_path / "out")["figures"] == first["figures"]
    assert len(server.asked) == num_asked + len(lines) - 4
    _run(argv, tmp_path / "out")
    assert len(server.asked) == num_asked + len(lines) - 4


def test_where_all_are_too_long_nobody_is_asked(argv, tmp_path):
  rows = [
    {"instruction": _prompt(i), "output": "w " * 9, "generator": "mine"}
    for i in range(10)
  ]
  _write(tmp_path / "outputs.jsonl", rows)
  with TinyEndpoint(tiny_judge.act) as server:
    found = _run([*argv, *_judge(server, tmp_path)], tmp_path / "out")
    assert server.asked == []
  assert found["figures"]["win_rate, %"] == 0
  assert found["figures"]["win_rate within limits, %"] is None


def test_what_generate_wrote_is_the_models_and_not_the_baselines(
  argv, tmp_path
):
  rows = [
    json.loads(line)
    for line in (tmp_path / "li.jsonl").read_text().splitlines()
  ]
  for i, row in enumerate(rows):
    row["responses"] = [{"text": _answer(i)}]
  path = _write(tmp_path / "generated.jsonl", rows)
  found = _run([argv[0], f"--model={path}"], tmp_path / "out")
  assert found["model"] == "generated"
  assert found["figures"]["violations"] == 3


@pytest.mark.slow
def test_a_folder_judges(argv, tmp_path):
  tiny_server.write_model(tmp_path / "judge")
  judge = [f"--judge={tmp_path / 'judge'}", "--judge-template=plain"]
  # Tokens that this tiny model finds likely.
  judge += ["--identifiers=[,J", "--top-logprobs=20", "--max-invalid=0.9"]
  judge += [f"--prompt={tmp_path / 'prompt.txt'}", "--canaries=0"]
  found = _run([*argv, *judge], tmp_path / "out")
  figures = found["figures"]
  assert figures["judge_requests"] == 7
  assert figures["n_total"] == 3 + figures["n_total within limits"]


@pytest.mark.parametrize(
  "extra,match",
  [
    (["--judge=http://127.0.0.1:9"], "needs --prompt=FILE"),
    (["--judge=http://127.0.0.1:9", "--prompt=p"], "needs --out=DIR"),
    (
      ["--prompt=p", "--judge-slots=4"],
      r"^--prompt, --judge-slots: .* no --judge",
    ),
    (["--judge=nowhere", "--canaries=0"], r"--judge=nowhere is not there"),
    (["--make-from", "a", "b"], "--model is for an evaluation"),
  ],
)
def test_options_that_do_not_go_together_are_refused_before_files_are_read(
  argv, tmp_path, extra, match
):
  (tmp_path / "li.jsonl").write_text("broken")
  with pytest.raises(ValueError, match=match):
    eval_alpaca_li.main([*argv, *extra])


def test_a_judge_and_a_reference_with_the_models_name_are_told_apart(
  argv, tmp_path
):
  rows = [
    json.loads(line)
    for line in (tmp_path / "outputs.jsonl").read_text().splitlines()
  ]
  rows = [{**row, "generator": "AlpacaEval-LI"} for row in rows]
  _write(tmp_path / "outputs.jsonl", rows)
  with TinyEndpoint(tiny_judge.act) as server:
    judge = _judge(server, tmp_path)
    with pytest.raises(ValueError, match="both called 'AlpacaEval-LI'"):
      eval_alpaca_li.main([*argv, *judge, f"--out={tmp_path / 'out'}"])
    assert server.asked == []


def test_known_good_answers_in_out_are_not_taken_for_the_models(argv, tmp_path):
  folder, out = tmp_path / "tiny", tmp_path / "out"
  config = dataclasses.replace(tiny_model_folder.CONFIG, max_positions=128)
  tiny_model_folder.write(folder, config)
  options = tiny_model_folder.ANSWERING
  _run([argv[0], f"--model={folder}", *options], out)
  outputs = out / "model_outputs.json"
  before = outputs.read_bytes()
  shown = tiny_judge.TEMPLATE.replace("Which is", "{reference}\nWhich is")
  with TinyEndpoint(tiny_judge.act) as server:
    judge = _judge(server, tmp_path)
    (tmp_path / "prompt.txt").write_text(shown)
    argv = [argv[0], f"--model={folder}", *options, *judge]
    with pytest.raises(ValueError, match="is the file that is read as"):
      eval_alpaca_li.main([*argv, f"--references={outputs}", f"--out={out}"])
    assert server.asked == []
  assert outputs.read_bytes() == before


def test_who_answered_and_who_judged_stands_in_the_evaluation(argv, tmp_path):
  folder = tmp_path / "tiny"
  config = dataclasses.replace(tiny_model_folder.CONFIG, max_positions=128)
  tiny_model_folder.write(folder, config)
  options = tiny_model_folder.ANSWERING
  with TinyEndpoint(tiny_judge.act) as server:
    judge = _judge(server, tmp_path)
    argv = [argv[0], f"--model={folder}", *options, *judge]
    found = _run(argv, tmp_path / "out")
  assert found["model_identity"]["template"] == "plain"
  asked = found["model_identity"]["judge"]
  assert asked["name"] == "tiny" and asked["endpoint"].startswith(server.url)
  assert found["counted"]["answers were cut off at the most tokens"] == 10


def test_prompts_are_made_and_then_read(tmp_path, capsys):
  for name, words in (("one", 5), ("two", 3)):
    rows = [
      {"instruction": f"Task {i}", "output": "w " * (words + i % 2 * i)}
      for i in range(4 if name == "one" else 3)
    ]
    (tmp_path / f"{name}.json").write_text(json.dumps(rows))
  data = tmp_path / "li.jsonl"
  sources = [str(tmp_path / "one.json"), str(tmp_path / "two.json")]
  argv = [f"--data={data}", "--make-from", *sources]
  assert eval_alpaca_li.main(argv) == 0
  told = capsys.readouterr().out
  assert "3 prompts" in told and "1 instructions" in told
  prompts, _ = length_instructed_files.read_alpaca(data)
  assert [p.max_len for p in prompts] == [3, 4, 3]
  with pytest.raises(ValueError, match="is there already"):
    eval_alpaca_li.main(argv)
  with pytest.raises(ValueError, match="--model=FILE is missing"):
    eval_alpaca_li.main(argv[:1])
  plain = [f"--data={sources[0]}", f"--model={sources[0]}"]
  assert eval_command.main(["alpaca_eval_li", *plain]) == 1
  assert "it is a plain instruction" in capsys.readouterr().err


def test_real_answers_keep_the_limits_that_were_made_of_them(tmp_path):
  """805 instructions: limits of the shortest of three models' answers."""
  limits = _DATA / "length_instructed/alpacaeval_li_RECONSTRUCTED.jsonl.gz"
  baseline = _DATA / "alpaca_eval/baseline_gpt4_1106_preview.jsonl.gz"
  if not (limits.is_file() and baseline.is_file()):
    pytest.skip("no AlpacaEval-LI on this machine")
  with gzip.open(limits, "rt") as file:
    known = [json.loads(line) for line in file]
  with gzip.open(baseline, "rt") as file:
    gpt4 = [json.loads(line) for line in file]
  shortest = [
    {"instruction": row["instruction"], "output": limit["baseline_output"]}
    for row, limit in zip(gpt4, known, strict=True)
  ]
  long = [
    {"instruction": row["instruction"], "output": row["output_1"]}
    for row in gpt4
  ]
  for name, rows in (("shortest", shortest), ("gpt4", long)):
    (tmp_path / f"{name}.json").write_text(json.dumps(rows))
  data = tmp_path / "li.jsonl"
  sources = [str(tmp_path / "gpt4.json"), str(tmp_path / "shortest.json")]
  assert eval_alpaca_li.main([f"--data={data}", "--make-from", *sources]) == 0
  prompts, _ = length_instructed_files.read_alpaca(data)
  assert [p.max_len for p in prompts] == [row["max_len"] for row in known]
  assert [p.baseline for p in prompts] == [
    row["baseline_output"] for row in known
  ]
  answers = [
    {"instruction": prompt.instruction, "output": row["output_1"]}
    for prompt, row in zip(prompts, gpt4, strict=True)
  ]
  path = _write(tmp_path / "answers.jsonl", answers)
  found = _run([f"--data={data}", f"--model={path}"], tmp_path / "out")
  counts = [row["word_counts"]["gpt4_1106_preview"] for row in known]
  violations = sum(
    count > row["max_len"] for count, row in zip(counts, known, strict=True)
  )
  assert 700 < violations < 805
  assert found["figures"]["violations"] == violations
  assert found["figures"]["mean words"] == pytest.approx(sum(counts) / 805)
  assert word_tokens.count_words(prompts[0].baseline or "") == 179
