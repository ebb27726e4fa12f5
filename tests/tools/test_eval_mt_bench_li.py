# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval mt_bench_li`: files in, a real judge over HTTP, files out."""

import dataclasses
import gzip
import json
import pathlib

import pytest
import tiny_judge
import tiny_model_folder
from tiny_endpoint import TinyEndpoint, answer, reply

from ramjax.evals import (
  length_instructed_files,
  mt_bench_files,
  word_tokens,
)
from ramjax.tools import eval as eval_command
from ramjax.tools import eval_mt_bench_li

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/mt_bench"
# Question -> category, limit, words of the answer, letters of the baseline's.
_QUESTIONS = {
  81: ("writing", 3, 2, 5),
  82: ("writing", 3, 4, 5),
  111: ("math", 2, 2, 20),
  # As 81 in all but its id, as two models with as many words would have it.
  161: ("writing", 3, 2, 5),
  191: ("math", 1, 9, 5),
}
_BEYOND = (82, 191)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
  tiny_judge.retry_quickly(monkeypatch)


def _write(path, rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return path


def _question(key, category, limit, text):
  return {
    "question_id": key,
    "category": category,
    "turns": [length_instructed_files.prompt(text, limit)],
    "max_len": [limit],
    "original_turns": [text, "Again."],
  }


def _answer(key, model, text):
  return {
    "question_id": key,
    "answer_id": "x",
    "model_id": model,
    "choices": [{"index": 0, "turns": [text, "a second turn " * 9]}],
    "tstamp": 1.0,
  }


@pytest.fixture
def argv(tmp_path):
  """Arguments of five questions, without the judge and the baseline."""
  rows = {"data": [], "mine": [], "base": []}
  for key, (category, limit, words, letters) in _QUESTIONS.items():
    text = f"Ask {key % 80}."
    rows["data"].append(_question(key, category, limit, text))
    rows["mine"].append(_answer(key, "mine", " ".join(["bb"] * words)))
    rows["base"].append(_answer(key, "base", "a" * letters))
  for name, listed in rows.items():
    _write(tmp_path / f"{name}.jsonl", listed)
  (tmp_path / "prompt.txt").write_text(tiny_judge.TEMPLATE)
  return [
    f"--data={tmp_path / 'data.jsonl'}",
    f"--model={tmp_path / 'mine.jsonl'}",
  ]


def _judge(server, tmp_path):
  return [
    f"--judge={server.url}",
    "--judge-name=tiny",
    f"--prompt={tmp_path / 'prompt.txt'}",
    f"--reference={tmp_path / 'base.jsonl'}",
    "--canaries=0",
  ]


def _run(argv, out):
  assert eval_mt_bench_li.main([*argv, f"--out={out}"]) == 0
  return json.loads((out / "evaluation.json").read_text())


def _expected(key):
  if key in _BEYOND:
    return 0.0
  _, _, words, letters = _QUESTIONS[key]
  return tiny_judge.share_of_first(" ".join(["bb"] * words), "a" * letters)


def test_without_a_judge_violations_by_category(argv, tmp_path):
  found = _run(argv, tmp_path / "out")
  assert found["figures"]["Vlt, %"] == 40.0
  # First turns alone: the second ones are longer than any limit.
  assert found["figures"]["mean words"] == pytest.approx(
    (2 + 4 + 2 + 2 + 9) / 5
  )
  assert found["tables"]["by category"] == [
    {
      "category": "writing",
      "prompts": 3,
      "Vlt, %": pytest.approx(100 / 3),
      "mean words": pytest.approx(8 / 3),
    },
    {"category": "math", "prompts": 2, "Vlt, %": 50.0, "mean words": 5.5},
  ]
  assert found["model"] == "mine"


def test_violations_lose_unseen_and_questions_count_by_their_id(argv, tmp_path):
  with TinyEndpoint(tiny_judge.act) as server:
    found = _run([*argv, *_judge(server, tmp_path)], tmp_path / "out")
  shown = [asked.body["messages"][-1]["content"] for asked in server.asked]
  # 81 and 161 are the same question to a judge; 82 and 191 are too long.
  assert len(shown) == 2
  assert sum("Ask 1." in text for text in shown) == 1
  assert not any("Ask 2." in text or "bb bb bb" in text for text in shown)
  figures = found["figures"]
  shares = {key: _expected(key) for key in _QUESTIONS}
  assert figures["n_total"] == 5
  assert figures["win_rate, %"] == pytest.approx(
    100 * sum(shares.values()) / 5, abs=1e-4
  )
  math = found["tables"]["by category"][1]
  assert math["win_rate, %"] == pytest.approx(50 * shares[111], abs=1e-4)
  assert math["within limits, %"] == pytest.approx(100 * shares[111], abs=1e-4)
  rows = json.loads((tmp_path / "out" / "annotations.json").read_text())
  assert [row["question_id"] for row in rows] == [81, 111, 161]
  assert {row["generator_1"] for row in rows} == {"base"}
  # The baseline's single word, and no limit below it.
  assert "answers of the baseline have more words" not in str(found["counted"])
  recorded = tmp_path / "out" / "annotations.json"
  for extra in ([], [f"--reference={tmp_path / 'base.jsonl'}"]):
    again = _run(
      [*argv, f"--judge={recorded}", *extra], tmp_path / f"again{len(extra)}"
    )
    assert again["figures"].items() <= figures.items()
    assert again["tables"].items() <= found["tables"].items()


def test_a_run_that_was_killed_asks_for_what_it_lacks_alone(argv, tmp_path):
  verdicts = tmp_path / "out" / "verdicts.jsonl"
  with TinyEndpoint(tiny_judge.act) as server:
    argv = [*argv, *_judge(server, tmp_path)]
    first = _run(argv, tmp_path / "out")
    lines = verdicts.read_bytes().splitlines(keepends=True)
    assert len(lines) == len(server.asked) == 2
    verdicts.write_bytes(lines[0] + lines[1][:10])
    assert _run(argv, tmp_path / "out")["figures"] == first["figures"]
    assert len(server.asked) == 3
    _run(argv, tmp_path / "out")
    assert len(server.asked) == 3


def test_a_baseline_that_lacks_an_answer_is_refused(argv, tmp_path):
  _write(tmp_path / "base.jsonl", [_answer(81, "base", "a")])
  with TinyEndpoint(tiny_judge.act) as server:
    with pytest.raises(ValueError, match=r"base.jsonl has no answer to 4 of 5"):
      _run([*argv, *_judge(server, tmp_path)], tmp_path / "out")
    assert server.asked == []


@pytest.mark.parametrize(
  "row,match",
  [
    ({"question_id": "81"}, "question_id='81' must be a whole number"),
    ({"question_id": 82}, "none of the 3 answers within"),
    ({"question_id": 7}, "judges question_id=7, which is no prompt"),
  ],
)
def test_recorded_verdicts_say_which_question_they_are_on(
  argv, tmp_path, row, match
):
  limit, words = _QUESTIONS[82][1:3]
  made = {
    "instruction": length_instructed_files.prompt("Ask 2.", limit),
    "output_1": "a",
    "output_2": " ".join(["bb"] * words),
    "generator_1": "base",
    "generator_2": "mine",
    "preference": 2.0,
  }
  path = _write(tmp_path / "annotations.jsonl", [{**made, **row}])
  with pytest.raises(ValueError, match=match):
    eval_mt_bench_li.main([*argv, f"--judge={path}"])
  _write(path, [{**made, "question_id": 82}] * 2)
  with pytest.raises(ValueError, match="has the question_id of"):
    eval_mt_bench_li.main([*argv, f"--judge={path}"])


@pytest.mark.parametrize(
  "extra,match",
  [
    (["--reference=x"], "--reference is what a judge compares with"),
    (
      ["--judge=http://127.0.0.1:9", "--prompt=p", "--out=o"],
      "needs --reference=FILE, the baseline's answers",
    ),
    (["--references=x"], r"^--references: .* no --judge"),
  ],
)
def test_options_that_do_not_go_together_are_refused_before_files_are_read(
  argv, tmp_path, extra, match
):
  (tmp_path / "data.jsonl").write_text("broken")
  with pytest.raises(ValueError, match=match):
    eval_mt_bench_li.main([*argv, *extra])


def test_plain_questions_are_refused_in_a_line(argv, tmp_path, capsys):
  row = {**_question(81, "writing", 3, "Ask."), "turns": ["Ask."]}
  _write(tmp_path / "data.jsonl", [row])
  assert eval_command.main(["mt_bench_li", *argv]) == 1
  error = capsys.readouterr().err
  assert "max_len=3 it must begin with 'Answer the following" in error


def test_an_endpoint_answers_first_as_mt_bench_asks(argv, tmp_path):
  def act(number, asked):
    if asked.body["model"] == "tiny":
      return tiny_judge.act(number, asked)
    words = asked.body["messages"][0]["content"].split("\n\n")[1].split()
    return reply(answer(" ".join(["bb"] * len(words)), "length"))

  with TinyEndpoint(act) as server:
    judge = _judge(server, tmp_path)
    words = [argv[0], f"--model={server.url}", "--model-name=lab/m", *judge]
    found = _run(words, tmp_path / "out")
    num_asked = len(server.asked)
    assert _run(words, tmp_path / "out")["figures"] == found["figures"]
    assert len(server.asked) == num_asked
  bodies = [a.body for a in server.asked if a.body["model"] == "lab/m"]
  # As many as there are questions: each has a seed of its own.
  assert len(bodies) == 5
  assert all(len(body["messages"]) == 1 for body in bodies)
  assert {body["max_tokens"] for body in bodies} == {1024}
  assert sorted(body["temperature"] for body in bodies) == [0, 0, 0.7, 0.7, 0.7]
  path = tmp_path / "out" / "model_answer.jsonl"
  answers = mt_bench_files.read_answers(path)
  assert list(answers) == list(_QUESTIONS)
  assert {a.model_id for a in answers.values()} == {"lab/m"}
  assert found["model"] == "lab/m"
  assert found["model_identity"]["judge"]["name"] == "tiny"
  assert found["counted"]["answers were cut off at the most tokens"] == 5
  assert str(path) in found["inputs"]
  # Two words each: beyond the limit of one alone.
  assert found["figures"]["violations"] == 1
  again = _run([argv[0], f"--model={path}"], tmp_path / "again")
  assert again["figures"].items() <= found["figures"].items()


def test_a_folder_answers_and_its_answers_are_not_replaced_by_anothers(
  argv, tmp_path
):
  folder, out = tmp_path / "tiny", tmp_path / "out"
  config = dataclasses.replace(tiny_model_folder.CONFIG, max_positions=128)
  tiny_model_folder.write(folder, config)
  options = tiny_model_folder.ANSWERING
  found = _run([argv[0], f"--model={folder}", *options], out)
  assert found["model"] == "tiny"
  assert found["figures"]["prompts"] == len(_QUESTIONS)
  assert found["model_identity"]["template"] == "plain"
  (out / "evaluation.json").unlink()
  with pytest.raises(ValueError, match="would be replaced"):
    _run([argv[0], f"--model={folder}", "--model-name=x", *options], out)
  with pytest.raises(ValueError, match="--out=DIR is missing"):
    eval_mt_bench_li.main([argv[0], f"--model={folder}", *options])
  with pytest.raises(ValueError, match=r"--model-slots: --model=.* is a file"):
    eval_mt_bench_li.main([*argv, "--model-slots=2"])


def test_real_answers_have_the_words_that_are_counted(tmp_path):
  """MT-Bench's questions with limits of one model's words, and another's."""
  paths = [
    _DATA / "question.jsonl",
    _DATA / "model_answer/claude-3-opus-20240229.jsonl.gz",
    _DATA / "model_answer/Meta-Llama-3-8B-Instruct-Normal.jsonl.gz",
  ]
  if not all(path.is_file() for path in paths):
    pytest.skip("no answers to MT-Bench on this machine")
  questions = [json.loads(line) for line in paths[0].read_text().splitlines()]
  words = []
  for path in paths[1:]:
    with gzip.open(path, "rt") as file:
      rows = [json.loads(line) for line in file]
    words.append(
      {
        row["question_id"]: word_tokens.count_words(
          row["choices"][0]["turns"][0]
        )
        for row in rows
      }
    )
  data = [
    _question(
      row["question_id"],
      row["category"],
      words[0][row["question_id"]],
      row["turns"][0],
    )
    for row in questions
  ]
  argv = [f"--data={_write(tmp_path / 'li.jsonl', data)}"]
  own = _run([*argv, f"--model={paths[1]}"], tmp_path / "own")
  assert own["figures"]["prompts"] == 80 and own["figures"]["violations"] == 0
  other = _run([*argv, f"--model={paths[2]}"], tmp_path / "other")
  expected = sum(words[1][key] > limit for key, limit in words[0].items())
  assert other["figures"]["violations"] == expected > 0
  assert len(other["tables"]["by category"]) == 8
