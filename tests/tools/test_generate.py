# SPDX-License-Identifier: Apache-2.0
"""`ramjax generate` from end to end: rows, resumption to the byte, refusals."""

import gzip
import json

import pytest
import tiny_model_folder
from tiny_endpoint import TinyEndpoint, answer, reply

from ramjax.data import tasks
from ramjax.evals.local_engine import LocalEngine
from ramjax.evals.sample_seeds import sample_seed
from ramjax.tools import generate, loaded_model

_RECORDS = [
  {"prompt": [{"role": "user", "content": "word 0"}], "id": "é"},
  {"prompt": "word 1"},
  {"question": "word 2", "answer": "2"},
  {"messages": [{"role": "user", "content": "word 3"}]},
  {"prompt": "word 4, then more"},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  folder = tmp_path_factory.mktemp("models") / "hf"
  tiny_model_folder.write(folder)
  return folder


@pytest.fixture
def prompts(tmp_path):
  path = tmp_path / "prompts.jsonl"
  path.write_text("".join(json.dumps(r) + "\n" for r in _RECORDS))
  return path


def _argv(model, prompts, output, *more):
  # Of 2 answers each, 2 rows are a chunk.
  return [
    f"--model={model}",
    "--template=plain",
    f"--prompts={prompts}",
    f"--output={output}",
    "--samples=2",
    "--slots=1",
    "--max-tokens=4",
    *more,
  ]


def _rows(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
  """The bytes of a run that was never stopped."""
  folder = tmp_path_factory.mktemp("whole")
  prompts, output = folder / "prompts.jsonl", folder / "out.jsonl"
  prompts.write_text("".join(json.dumps(r) + "\n" for r in _RECORDS))
  assert generate.main(_argv(model, prompts, output)) == 0
  return output.read_bytes()


def test_each_row_is_the_record_with_its_answers(whole):
  rows = [json.loads(line) for line in whole.splitlines()]
  assert [list(row)[-1] for row in rows] == ["responses"] * 5
  answers = [row.pop("responses") for row in rows]
  assert rows == _RECORDS
  for pair in answers:
    assert len(pair) == 2 and pair[0] != pair[1]
    for one in pair:
      assert list(one) == ["text", "finished", "num_tokens", "logp"]
      assert 1 <= one["num_tokens"] <= 4
      assert one["finished"] or one["num_tokens"] == 4
      assert -50 < one["logp"] < 0


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(
  model, prompts, tmp_path, whole, monkeypatch, capsys
):
  output = tmp_path / "out.jsonl"
  complete, calls = LocalEngine.complete, []

  def killed(self, requests, **options):
    calls.append(len(requests))
    if len(calls) == 2:
      raise KeyboardInterrupt
    return complete(self, requests, **options)

  monkeypatch.setattr(LocalEngine, "complete", killed)
  with pytest.raises(KeyboardInterrupt):
    generate.main(_argv(model, prompts, output))
  assert len(_rows(output)) == 2
  with output.open("ab") as file:
    file.write(whole[output.stat().st_size :][:10])  # A line torn.
  assert generate.main(_argv(model, prompts, output)) == 0
  assert output.read_bytes() == whole
  assert calls == [4, 4, 4, 2]
  out, err = capsys.readouterr()
  assert out == f"{output}: 5 rows\n"
  assert "continuing after row 2 of 5" in err and "row 5/5" in err


def test_a_finished_run_computes_nothing(
  model, prompts, tmp_path, whole, monkeypatch
):
  output = tmp_path / "out.jsonl"
  assert generate.main(_argv(model, prompts, output)) == 0
  monkeypatch.delattr(LocalEngine, "complete")
  assert generate.main(_argv(model, prompts, output)) == 0
  assert output.read_bytes() == whole


def test_another_command_or_model_is_refused_until_it_is_forced(
  model, prompts, tmp_path, whole, capsys
):
  output = tmp_path / "out.jsonl"
  assert generate.main(_argv(model, prompts, output)) == 0
  tiny_model_folder.write(tmp_path / "other", seed=1)
  capsys.readouterr()
  for argv, problem in (
    (_argv(model, prompts, output, "--seed=1"), "options.seed: 0 there, 1 now"),
    (_argv(model, prompts, output, "--stop=x"), 'stop: [] there, ["x"] now'),
    (_argv(model, prompts, output, "--limit=3"), "prompts.num: 5 there, 3 now"),
    (_argv(tmp_path / "other", prompts, output), "model.fingerprint: "),
  ):
    assert generate.main(argv) == 1
    err = capsys.readouterr().err
    assert problem in err and "--force" in err and err.count("\n") == 1
  assert output.read_bytes() == whole
  forced = _argv(model, prompts, output, "--limit=3", "--force")
  assert generate.main(forced) == 0
  assert len(_rows(output)) == 3


def test_own_tasks_keep_what_verifies_them(tmp_path):
  output = tmp_path / "out.jsonl"
  with TinyEndpoint(_echo) as server:
    argv = _endpoint(server, "tasks:50", output, "--limit=3", "--samples=1")
    assert generate.main(argv) == 0
  records = map(tasks.task_record, tasks.generate_tasks(num_tasks=50, seed=0))
  for row, record in zip(_rows(output), records, strict=False):
    (response,) = row.pop("responses")
    assert row == record
    assert response["text"] == record["prompt"][0]["content"].strip()
  assert len(_rows(output)) == 3


def _endpoint(server, prompts, output, *more):
  return [
    f"--endpoint={server.url}",
    "--endpoint-model=m",
    f"--prompts={prompts}",
    f"--output={output}",
    "--samples=2",
    "--concurrency=1",
    *more,
  ]


def _echo(number, asked):
  return reply(answer(asked.body["messages"][-1]["content"]))


def test_an_endpoint_is_asked_each_sample_with_its_seed(prompts, tmp_path):
  output = tmp_path / "out.jsonl"
  options = ["--temperature=0.5", "--stop=a", "--stop=b", "--seed=7"]
  with TinyEndpoint(_echo) as server:
    assert generate.main(_endpoint(server, prompts, output, *options)) == 0
  assert [a.body["seed"] for a in server.asked] == [
    sample_seed(7, row, sample) for row in range(5) for sample in range(2)
  ]
  assert all(a.body["stop"] == ["a", "b"] for a in server.asked)
  assert all(a.body["temperature"] == 0.5 for a in server.asked)
  expected = {
    "text": "word 2",
    "finished": True,
    "num_tokens": 2,
    "logp": -0.75,
  }
  assert _rows(output)[2]["responses"] == [expected, expected]
  side = json.loads((tmp_path / "out.jsonl.run.json").read_text())
  assert side["model"] == {
    "endpoint": f"{server.url}/v1/chat/completions",
    "name": "m",
    "logprobs": True,
  }


def test_answers_that_were_paid_for_are_kept(prompts, tmp_path, capsys):
  def act(number, asked):
    if number == 3:
      return reply({"error": "no credit"}, 402)
    return _echo(number, asked)

  output = tmp_path / "out.jsonl"
  with TinyEndpoint(act) as server:
    argv = _endpoint(server, prompts, output, f"--cache={tmp_path / 'cache'}")
    assert generate.main(argv) == 1
    assert "status 402: no credit" in capsys.readouterr().err
    assert generate.main(argv) == 0
    # Ten answers, and the one that was refused.
    assert len(server.asked) == 11
  assert len(_rows(output)) == 5


def test_log_probabilities_need_not_be_asked_for(prompts, tmp_path):
  def act(number, asked):
    assert "logprobs" not in asked.body
    value = answer()
    value["choices"][0]["logprobs"] = None
    return reply(value)

  output = tmp_path / "out.jsonl"
  with TinyEndpoint(act) as server:
    argv = _endpoint(server, prompts, output, "--no-logprobs", "--limit=1")
    assert generate.main(argv) == 0
  (row,) = _rows(output)
  assert [r["logp"] for r in row["responses"]] == [None, None]


def test_answers_without_log_probabilities_are_not_those_with_them(
  prompts, tmp_path, capsys
):
  cache, output = f"--cache={tmp_path / 'cache'}", tmp_path / "out.jsonl"
  with TinyEndpoint(_echo) as server:
    argv = _endpoint(server, prompts, output, cache, "--limit=1")
    assert generate.main([*argv, "--no-logprobs"]) == 0
    assert len(server.asked) == 2
    assert generate.main(argv) == 1
    assert "model.logprobs: false there, true now" in capsys.readouterr().err
    assert generate.main([*argv, "--force"]) == 0
    assert len(server.asked) == 4
  (row,) = _rows(output)
  assert row["responses"][0]["logp"] == -0.75


@pytest.mark.parametrize(
  "more,problem",
  [
    (["--temperature=-1"], "temperature=-1.0 must be from 0"),
    (["--temperature=nan"], "temperature=nan must be from 0"),
    (["--top-p=0"], "top_p=0.0 must be in (0, 1]"),
    (["--seed=-1"], "seed=-1 must be in [0, 2^32)"),
    (["--max-tokens=60"], "beyond the 64 positions"),
    (["--output=no/such/out.jsonl"], "the folder no/such does not exist"),
    (["--prompts=none.jsonl"], "does not exist"),
    (["--prompts=tasks:x"], "must read tasks:NUM"),
    (["--model=nowhere"], "holds no model"),
    (["--template=llama3"], "no special token"),
  ],
)
def test_a_mistake_is_one_line_before_anything_is_loaded_or_written(
  model, prompts, tmp_path, more, problem, monkeypatch, capsys
):
  monkeypatch.setattr(loaded_model, "load", None)
  output = tmp_path / "out.jsonl"
  assert generate.main(_argv(model, prompts, output, *more)) == 1
  out, err = capsys.readouterr()
  assert out == "" and err.startswith("ramjax generate: ")
  assert problem in err and err.count("\n") == 1
  assert not output.exists()


@pytest.mark.parametrize(
  "content,problem",
  [
    ('{"prompt": "a", "responses": []}\n', "record 1 has 'responses' already"),
    ('{"prompt": "a"}\n{"text": "b"}\n', "prompts.jsonl:2: "),
    ("", "has no good record"),
  ],
)
def test_records_that_do_not_fit_are_named(
  model, prompts, tmp_path, content, problem, capsys
):
  prompts.write_text(content)
  output = tmp_path / "out.jsonl"
  assert generate.main(_argv(model, prompts, output)) == 1
  assert problem in capsys.readouterr().err


def test_the_prompts_are_not_written_over(model, prompts, capsys):
  before = prompts.read_bytes()
  assert generate.main(_argv(model, prompts, prompts, "--force")) == 1
  assert "is the file of the prompts" in capsys.readouterr().err
  assert prompts.read_bytes() == before


def test_a_column_that_is_no_json_is_named(model, tmp_path, capsys):
  import pyarrow as pa
  import pyarrow.parquet as pq

  path = tmp_path / "p.parquet"
  pq.write_table(pa.table({"prompt": ["a"], "image": [b"\x00"]}), path)
  assert generate.main(_argv(model, path, tmp_path / "out.jsonl")) == 1
  assert "record 1 cannot be written as JSON" in capsys.readouterr().err


def test_other_kinds_of_files_are_read(prompts, tmp_path):
  path = tmp_path / "p.jsonl.gz"
  path.write_bytes(gzip.compress(prompts.read_bytes()))
  output = tmp_path / "out.jsonl"
  with TinyEndpoint(_echo) as server:
    assert generate.main(_endpoint(server, path, output)) == 0
  assert len(_rows(output)) == 5
