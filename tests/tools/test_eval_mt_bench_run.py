# SPDX-License-Identifier: Apache-2.0
"""MT-Bench from end to end: answers, a judge behind HTTP, kills."""

import dataclasses
import gzip
import json
import pathlib

import pytest
import tiny_model_folder
import tiny_mt_bench
from tiny_endpoint import TinyEndpoint, answer, reply

from ramjax.evals import mt_bench_answers, mt_bench_files
from ramjax.evals.local_engine import LocalEngine
from ramjax.tools import eval as eval_command
from ramjax.tools import eval_mt_bench_run

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/mt_bench"


@pytest.fixture
def bench(tmp_path, monkeypatch):
  monkeypatch.setattr(eval_mt_bench_run, "_now", lambda: 5.5)
  return tiny_mt_bench.Bench(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  folder = tmp_path_factory.mktemp("models") / "tiny"
  tiny_model_folder.write(folder)
  return folder


def test_a_folder_answers_and_an_endpoint_judges(bench, model, capsys):
  with TinyEndpoint(tiny_mt_bench.grade) as server:
    assert (
      bench.run(*tiny_mt_bench.local(model), *tiny_mt_bench.judge(server, 4))
      == 0
    )
  (answers,) = bench.out.glob("model_answer/*.jsonl")
  assert answers.name == "tiny.jsonl"
  found = mt_bench_files.read_answers(answers)
  assert list(found) == [81, 111, 131]
  assert found[81].answer_id == mt_bench_answers.answer_id("tiny", 81)
  assert {each.tstamp for each in found.values()} == {5.5}
  path = bench.out / "model_judgment/org_j_single/tiny.jsonl"
  grades = mt_bench_files.read_judgments(path)
  assert [(g.question_id, g.turn, g.score) for g in grades] == [
    *((81, 1, 4), (81, 2, 1)),
    *((111, 1, 5), (111, 2, 2)),
    *((131, 1, -1), (131, 2, 3)),
  ]
  assert {grade.judge[0] for grade in grades} == {"org/j"}
  # Each answer was shown beside its question, and references in math alone.
  assert sorted(map(tiny_mt_bench.last, server.asked)) == sorted(
    str(grade.user_prompt) for grade in grades
  )
  first, second = found[111].turns
  assert grades[3].user_prompt == (
    f"ref 1 ref 2 grade ma: {first} mb: {second}"
  )
  for asked in server.asked:
    assert asked.body["messages"][0] == {
      "role": "system",
      "content": "You judge.",
    }
    assert asked.body["model"] == "org/j"
    assert (asked.body["temperature"], asked.body["max_tokens"]) == (0, 2048)
    assert "logprobs" not in asked.body
  out = capsys.readouterr().out
  assert out.startswith("mt_bench: tiny\n")
  assert "1 judgments without a score (-1): left out" in out
  assert out.endswith(
    f"\n\nwritten: {bench.out / 'tiny/evaluation.json'}, {path}\n"
  )
  record = json.loads((bench.out / "tiny/evaluation.json").read_text())
  assert record["figures"] == {
    "average": 3.0,
    "turn_1": 4.5,
    "turn_2": 2.0,
    "judgments": 5,
  }
  assert set(record["inputs"]) == {
    *(str(path), str(bench.questions)),
    *(str(bench.prompts), str(bench.references)),
  }
  # What was judged is a file of judgments for the same command.
  words = ["mt_bench", f"--judge={path}", f"--questions={bench.questions}"]
  assert eval_command.main(words) == 0
  assert capsys.readouterr().out == out.split("\nwritten:")[0]


def _echo(number, asked):
  """A model whose answer names what it was asked, or the judge."""
  if asked.body["model"] == "org/j":
    return tiny_mt_bench.grade(number, asked)
  return reply(answer(f"<{tiny_mt_bench.last(asked)}>"))


def _remote(server):
  return (
    f"--model={server.url}",
    "--model-name=lab/m",
    "--model-concurrency=1",
  )


def test_an_endpoint_is_asked_the_second_turn_behind_its_own_answer(bench):
  with TinyEndpoint(_echo) as server:
    assert bench.run(*_remote(server), *tiny_mt_bench.judge(server)) == 0
  asked = [a.body for a in server.asked if a.body["model"] == "lab/m"]
  said = [[turn["content"] for turn in body["messages"]] for body in asked]
  assert sorted(said) == [
    *(["ea"], ["ea", "<ea>", "eb"]),
    *(["ma"], ["ma", "<ma>", "mb"]),
    *(["wa"], ["wa", "<wa>", "wb"]),
  ]
  by_question = {"w": 0.7, "m": 0, "e": 0}
  for body in asked:
    first = body["messages"][0]["content"][0]
    assert body["temperature"] == by_question[first]
    assert body["max_tokens"] == 1024
  answers = mt_bench_files.read_answers(bench.out / "model_answer/lab_m.jsonl")
  assert answers[81].turns == ("<wa>", "<wb>")
  assert answers[81].model_id == "lab/m"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """The files of a run that was never stopped."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(eval_mt_bench_run, "_now", lambda: 5.5)
    whole = tiny_mt_bench.Bench(tmp_path_factory.mktemp("whole"))
    with TinyEndpoint(_echo) as server:
      assert whole.run(*_remote(server), *tiny_mt_bench.judge(server)) == 0
  assert len(server.asked) == 12
  return whole.files()


# After a first turn, after a second one, before and among the judgments. Of
# these one in six may have no answer; a second refusal stops the run.
@pytest.mark.parametrize(
  ("stop", "num_refused"), [(1, 1), (4, 1), (6, 2), (9, 2)]
)
def test_whenever_it_is_stopped_it_goes_on_and_asks_nothing_twice(
  bench, stop, num_refused, whole, capsys
):
  refused = []
  away = True

  def act(number, asked):
    if number >= stop and away:
      refused.append(asked)
      return reply({"error": "no credit"}, 402)
    return _echo(number, asked)

  with TinyEndpoint(act) as server:
    words = (*_remote(server), *tiny_mt_bench.judge(server))
    words += ("--max-invalid=0.17",)
    assert bench.run(*words) == 1
    assert "no credit" in capsys.readouterr().err
    assert len(refused) == num_refused
    assert len(server.asked) == stop + num_refused
    away = False
    assert bench.run(*words) == 0
    # All that was answered before, and what was refused.
    assert len(server.asked) == 12 + num_refused
    assert bench.run(*words) == 0
    assert len(server.asked) == 12 + num_refused
  assert bench.files() == whole


def test_what_a_judge_fails_on_is_counted_and_forced_again(bench, capsys):
  away = True

  def act(number, asked):
    if away and "wb:" in tiny_mt_bench.last(asked):
      return reply({"error": "refused by a filter"}, 400)
    return tiny_mt_bench.grade(number, asked)

  answers = tiny_mt_bench.answer_file(bench.folder / "m.jsonl", "m")
  words = (f"--model={answers}", "--max-invalid=0.4")
  with TinyEndpoint(act) as server:
    words += tiny_mt_bench.judge(server)
    assert bench.run(*words) == 0
    shown = capsys.readouterr().out
    assert "1 requests that the judge gave no answer to: no verdict" in shown
    assert "2 judgments without a score (-1): left out" in shown
    num_asked = len(server.asked)
    away = False
    assert bench.run(*words, "--force") == 0
    # What it failed on alone, for the rest is kept.
    assert len(server.asked) == num_asked + 1
  assert "1 judgments without a score (-1)" in capsys.readouterr().out


def test_too_many_without_a_verdict_are_no_result(bench, capsys):
  answers = tiny_mt_bench.answer_file(bench.folder / "m.jsonl", "m")
  with TinyEndpoint(tiny_mt_bench.grade) as server:
    words = (f"--model={answers}", *tiny_mt_bench.judge(server))
    assert bench.run(*words, "--max-invalid=0.1") == 1
    error = capsys.readouterr().err
    assert "1 of 6 judgments have no verdict, a share of 0.167" in error
    assert not list(bench.out.glob("*/evaluation.json"))
    asked = len(server.asked)
    assert bench.run(*words, "--max-invalid=0.2") == 0
    assert len(server.asked) == asked
    assert bench.run(*words, "--max-invalid=1") == 1
  assert "--max-invalid=1.0 must be a share" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["single", "pair"])
def test_canaries_are_judged_in_the_place_of_first_answers(bench, mode):
  """By a judge of lengths: padding pays, and an empty answer does not."""
  answers = tiny_mt_bench.answer_file(bench.folder / "m.jsonl", "m")
  base = tiny_mt_bench.jsonl(
    bench.folder / "b.jsonl",
    [
      tiny_mt_bench.answer_row("b", i, f"{i}!1", f"{i}!2")
      for i in (81, 111, 131)
    ],
  )

  def act(number, asked):
    del number
    shown = tiny_mt_bench.last(asked)
    if mode == "single":
      return reply(answer(f"[[{1 + min(len(shown) // 30, 9)}]]"))
    first, second = shown.partition(": ")[2].split(" | ")
    better = (
      "C" if len(first) == len(second) else "AB"[len(second) > len(first)]
    )
    return reply(answer(f"[[{better}]]"))

  more = (f"--baseline={base}",) if mode == "pair" else ()
  words = (f"--model={answers}", "--canaries=2", *more)
  with TinyEndpoint(act) as server:
    words += tiny_mt_bench.judge(server)
    assert bench.run(*words) == 0
    games = 2 if mode == "pair" else 1
    assert len(server.asked) == games * (6 + 3 * 2)
    asked = len(server.asked)
    assert bench.run(*words) == 0
    assert len(server.asked) == asked
  (path,) = bench.out.glob("*/evaluation.json")
  found = json.loads(path.read_text())
  null, injected, padded = found["tables"]["canaries"]
  assert (null["asked"], null["without_verdict"]) == (2, 0)
  assert null["passed"] == 1
  assert injected["passed"] == padded["passed"] == 0
  # They are no judgments of the benchmark.
  judged = [f for f in bench.files() if f.startswith("model_judgment")]
  assert len(judged) == 1
  assert len(bench.files()[judged[0]].splitlines()) == 6


def test_a_local_model_that_is_killed_computes_no_finished_chunk_again(
  bench, tmp_path, model, monkeypatch
):
  complete, calls = LocalEngine.complete, []

  def counted(self, requests, **options):
    calls.append(len(requests))
    if len(calls) == stop:
      raise KeyboardInterrupt
    return complete(self, requests, **options)

  monkeypatch.setattr(LocalEngine, "complete", counted)
  whole = tiny_mt_bench.Bench(tmp_path / "whole")
  with TinyEndpoint(tiny_mt_bench.grade) as server:
    stop = None
    assert (
      whole.run(*tiny_mt_bench.local(model), *tiny_mt_bench.judge(server)) == 0
    )
    # Two questions are a chunk, whose turns are asked one after the other.
    assert calls == [2, 2, 1, 1]
    stop = len(calls) + 4
    with pytest.raises(KeyboardInterrupt):
      bench.run(*tiny_mt_bench.local(model), *tiny_mt_bench.judge(server))
    answers = bench.out / "model_answer/tiny.jsonl"
    assert len(tiny_mt_bench.rows(answers)) == 2
    with answers.open("a") as file:
      file.write('{"question_id": 131, "ans')  # A line torn.
    assert (
      bench.run(*tiny_mt_bench.local(model), *tiny_mt_bench.judge(server)) == 0
    )
    # The last chunk's first turn was kept, its second was asked once more.
    assert calls[4:] == [2, 2, 1, 1, 1]
    monkeypatch.delattr(LocalEngine, "complete")
    assert (
      bench.run(*tiny_mt_bench.local(model), *tiny_mt_bench.judge(server)) == 0
    )
  assert bench.files() == whole.files()
  assert len(server.asked) == 12


@pytest.mark.slow
def test_a_folder_judges_in_the_room_it_has(bench, tmp_path, capsys):
  model = tmp_path / "judge"
  config = dataclasses.replace(tiny_model_folder.CONFIG, max_positions=128)
  tiny_model_folder.write(model, config)
  answers = tiny_mt_bench.answer_file(bench.folder / "m.jsonl", "m")
  words = (
    f"--judge={model}",
    "--judge-template=plain",
    "--judge-max-tokens=60",
    "--judge-slots=2",
    "--judge-name=own",
  )
  # Random weights write no grade.
  assert bench.run(f"--model={answers}", *words) == 1
  path = bench.out / "model_judgment/own_single/m.jsonl"
  assert len(mt_bench_files.read_judgments(path)) == 6
  assert not (bench.out / "model_answer").exists()
  # Of 128 positions the longest prompt, with references, takes 71.
  error = capsys.readouterr().err
  assert "1 of 6 verdicts have room for less than 60" in error
  assert "6 of 6 judgments have no verdict" in error


def test_answers_are_compared_in_both_orders_with_those_of_a_baseline(
  bench, capsys
):
  def act(number, asked):
    # The longer first turn is better.
    first, second = tiny_mt_bench.last(asked).split(": ")[1].split(" | ")
    return reply(answer("[[A]]" if len(first) > len(second) else "[[B]]"))

  answers = tiny_mt_bench.answer_file(bench.folder / "m.jsonl", "m")
  rows = [
    tiny_mt_bench.answer_row("org/base", 81, "longer than that", "x"),
    tiny_mt_bench.answer_row("org/base", 111, "", ""),
    tiny_mt_bench.answer_row("org/base", 131, "", ""),
  ]
  baseline = tiny_mt_bench.jsonl(bench.folder / "base.jsonl", rows)
  with TinyEndpoint(act) as server:
    words = (
      f"--model={answers}",
      *tiny_mt_bench.judge(server),
      f"--baseline={baseline}",
    )
    assert bench.run(*words, "--mode=pair") == 0
    assert len(server.asked) == 12
    assert bench.run(*words) == 0
    assert len(server.asked) == 12
  path = bench.out / "model_judgment/org_j_pair/m_vs_org_base.jsonl"
  pairs = mt_bench_files.read_pair_judgments(path)
  assert [(p.g1_winner, p.g2_winner) for p in pairs] == [
    *[("model_2", "model_2")] * 2,
    *[("model_1", "model_1")] * 4,
  ]
  record = json.loads((bench.out / "m_vs_org_base/evaluation.json").read_text())
  assert record["model"] == "m"
  assert record["figures"]["win_share"] == pytest.approx(4 / 6)
  assert record["figures"]["inconsistent_share"] == 0
  assert "mt_bench: m\n" in capsys.readouterr().out


def test_other_answers_or_judges_are_refused_until_they_are_forced(
  bench, capsys
):
  answers = tiny_mt_bench.answer_file(bench.folder / "m.jsonl", "m")
  with TinyEndpoint(tiny_mt_bench.grade) as server:
    words = (f"--model={answers}", *tiny_mt_bench.judge(server))
    assert bench.run(*words) == 0
    tiny_mt_bench.jsonl(
      answers,
      [tiny_mt_bench.answer_row("m", i, "new", "new") for i in (81, 111, 131)],
    )
    capsys.readouterr()
    assert bench.run(*words) == 1
    err = capsys.readouterr().err
    assert "answers: " in err and "--force" in err and err.count("\n") == 1
    assert bench.run(*words, "--judge-max-tokens=9") == 1
    assert "max_tokens: 2048 there, 9 now" in capsys.readouterr().err
    assert len(server.asked) == 6
    assert bench.run(*words, "--force") == 0
    assert len(server.asked) == 12


def test_an_api_key_is_sent_and_written_nowhere(bench, monkeypatch, capsys):
  monkeypatch.setenv("JUDGE_KEY", "sk-secret-1")
  answers = tiny_mt_bench.answer_file(bench.folder / "m.jsonl", "m")
  with TinyEndpoint(tiny_mt_bench.grade) as server:
    words = (*tiny_mt_bench.judge(server), "--judge-key-env=JUDGE_KEY")
    assert bench.run(f"--model={answers}", *words) == 0
  assert {asked.headers["Authorization"] for asked in server.asked} == {
    "Bearer sk-secret-1"
  }
  written = [path for path in bench.out.rglob("*") if path.is_file()]
  assert len(written) == 4
  assert not any(b"sk-secret" in path.read_bytes() for path in written)
  assert "sk-secret" not in "".join(capsys.readouterr())


def test_a_baseline_is_not_overwritten_by_answers_of_a_like_name(bench, capsys):
  with TinyEndpoint(_echo) as server:
    words = [f"--model={server.url}", *tiny_mt_bench.judge(server)]
    assert bench.run(*words, "--model-name=lab_m") == 0
    asked = len(server.asked)
    baseline = bench.out / "model_answer/lab_m.jsonl"
    before = baseline.read_bytes()
    words += ["--model-name=lab/m", f"--baseline={baseline}", "--force"]
    assert bench.run(*words) == 1
    assert len(server.asked) == asked
  assert "is the file that is read" in capsys.readouterr().err
  assert baseline.read_bytes() == before


@pytest.mark.parametrize("mode", ["single", "pair"])
def test_official_questions_are_judged_by_official_prompts(bench, mode, capsys):
  if not _DATA.is_dir():
    pytest.skip("the MT-Bench files are not here")
  # Two of each category.
  bench.questions = tiny_mt_bench.jsonl(
    bench.folder / "official.jsonl",
    tiny_mt_bench.rows(_DATA / "question.jsonl")[::5],
  )
  bench.prompts = _DATA / "judge_prompts.jsonl"
  bench.references = _DATA / "reference_answer/gpt-4.jsonl"
  with gzip.open(
    _DATA / "model_answer/claude-3-opus-20240229.jsonl.gz", "rt"
  ) as file:
    rows = [json.loads(line) for line in file][::5]
  baseline = tiny_mt_bench.jsonl(bench.folder / "baseline.jsonl", rows)

  def act(number, asked):
    if asked.body["model"] == "lab/m":
      return reply(answer("A sentence."))
    return reply(answer("Rating: [[5]]" if mode == "single" else "[[C]]"))

  with TinyEndpoint(act) as server:
    words = [
      *_remote(server)[:2],
      "--model-concurrency=4",
      *tiny_mt_bench.judge(server, 4),
    ]
    words += [f"--baseline={baseline}"] if mode == "pair" else []
    assert bench.run(*words) == 0
    assert len(server.asked) == 32 + (32 if mode == "single" else 64)
  out = capsys.readouterr().out
  assert "questions and turns without any" not in out
  figures = [line.split() for line in out.splitlines()]
  if mode == "single":
    assert ["average", "5.0000"] in figures
    assert ["judgments", "32"] in figures
  else:
    assert ["tie_share", "1.0000"] in figures
    assert ["comparisons", "32"] in figures
