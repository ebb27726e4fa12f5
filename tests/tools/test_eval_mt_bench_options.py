# SPDX-License-Identifier: Apache-2.0
"""What `ramjax eval mt_bench` refuses before anything is asked or loaded."""

import pytest
import tiny_model_folder
import tiny_mt_bench
from tiny_endpoint import TinyEndpoint

from ramjax.tools import eval as eval_command
from ramjax.tools import loaded_model


@pytest.fixture
def bench(tmp_path):
  return tiny_mt_bench.Bench(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  folder = tmp_path_factory.mktemp("models") / "tiny"
  tiny_model_folder.write(folder)
  return folder


def _refused(bench, capsys, *words):
  assert bench.run(*words) == 1
  out, err = capsys.readouterr()
  assert out == "" and err.count("\n") == 1
  assert not bench.files()
  return err


def test_a_mistake_is_one_line_before_anything_is_asked_or_loaded(
  bench, model, monkeypatch, capsys
):
  monkeypatch.setattr(loaded_model, "load", None)
  monkeypatch.delenv("JUDGE_KEY", raising=False)
  answers = tiny_mt_bench.answer_file(bench.folder / "m.jsonl", "m")
  others = tiny_mt_bench.answer_file(bench.folder / "o.jsonl", "o", [81, 7])
  few = tiny_mt_bench.answer_file(bench.folder / "f.jsonl", "f", [81])
  by_file, local = f"--model={answers}", tiny_mt_bench.local(model)
  with TinyEndpoint(tiny_mt_bench.grade) as server:
    judge = tiny_mt_bench.judge(server)
    for words, message in (
      ([*judge], "--model is missing"),
      ([by_file, *judge[:1]], "needs --judge-name, the server's name"),
      ([f"--model={server.url}", *judge], "needs --model-name"),
      ([f"--model={others}", *judge], "question_id=7 is none of the 3"),
      ([f"--model={few}", *judge], "2 of the 3 questions have no answer"),
      ([*local, *judge, f"--baseline={few}"], "have no answer of 'f'"),
      ([f"--model={model}/none", *judge], "there is no folder or file"),
      ([by_file, *judge, "--model-slots=2"], "--model-slots go with a model"),
      ([by_file, *judge, "--seed=2"], "--seed go with a model that is"),
      ([by_file, *judge, "--judge-step=2"], "--judge-step is for a FOLDER"),
      ([*local, *judge, "--model-timeout=2"], "--model-timeout is for a URL"),
      ([*local, *judge, "--mode=pair"], "--baseline=FILE, the answers to"),
      (
        [by_file, *judge, "--mode=single", f"--baseline={few}"],
        "--baseline=FILE, the answers to",
      ),
      ([by_file, *judge, f"--baseline={answers}"], "Name the model with"),
      (
        [*local, *judge, "--model-name=m", f"--baseline={answers}"],
        "Name the model with --model-name",
      ),
      ([*local, *judge, "--model-name=cache"], "would share the folder"),
      ([*local, *judge, "--model-max-tokens=62"], "(--model-max-tokens)"),
      ([*local, *judge, "--seed=-1"], "seed=-1 must be in"),
      (
        [by_file, *judge, "--judge-key-env=JUDGE_KEY"],
        "JUDGE_KEY is not set",
      ),
      ([by_file, f"--judge={bench.folder}"], "holds no model"),
      (
        [f"--model={model}", "--model-step=3", *judge],
        "has no steps",
      ),
    ):
      assert message in _refused(bench, capsys, *words), words
    assert not server.asked


def test_files_that_the_judge_needs_are_missed_before_anything_is_asked(
  bench, model, capsys
):
  with TinyEndpoint(tiny_mt_bench.grade) as server:
    words = [
      *("mt_bench", *tiny_mt_bench.local(model), *tiny_mt_bench.judge(server)),
      *(f"--questions={bench.questions}", f"--out={bench.out}"),
    ]
    prompts = f"--judge-prompts={bench.prompts}"
    references = f"--references={bench.references}"
    few = tiny_mt_bench.jsonl(
      bench.folder / "few.jsonl", list(tiny_mt_bench.prompt_rows())[:1]
    )
    for more, message in (
      ([references], "--judge-prompts is missing"),
      ([prompts], "question 111 of category 'math' is judged beside"),
      ([prompts], "--references=not given"),
      ([references, f"--judge-prompts={few}"], "no judge prompt 'single-v1-m"),
      ([references, "--judge-prompts=none.jsonl"], "does not exist"),
    ):
      assert eval_command.main([*words, *more]) == 1
      assert message in capsys.readouterr().err
    assert not server.asked
  assert not bench.files()


def test_a_recorded_judge_takes_no_options_of_one_that_judges(bench, capsys):
  for words, message in (
    (["--judge=x.jsonl"], "--judge-prompts, --references go with a judge"),
    (["--judge=x.jsonl", "--model-slots=2"], "--model-slots go with"),
    (["--judge=x.jsonl", "--seed=0", "--model-step=0"], "--seed, --model-step"),
  ):
    assert message in _refused(bench, capsys, *words)
