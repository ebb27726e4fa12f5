# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval multiple_choice`: four benchmarks, a tiny model, refusals."""

import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_model_folder

from ramjax.models import heads, llama
from ramjax.tools import eval as eval_command
from ramjax.tools import loaded_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("choices") / "tiny"
  tiny_model_folder.write(path)
  return path


@pytest.fixture(scope="module")
def logp_of(folder):
  """Log-probability of text behind other text, from one padded pass."""
  model = loaded_model.load(folder, template="plain")
  params = jax.device_put(jax.device_get(model.params), jax.devices()[0])

  @jax.jit
  def all_logps(tokens):
    positions = jnp.arange(tokens.shape[1])[None]
    hidden = llama.apply(params, model.config, tokens, positions=positions)
    logits = heads.lm_logits(params, model.config, hidden)
    return jax.nn.log_softmax(logits, axis=-1)[0]

  def logp(context, continuation):
    encode, bos = model.tokenizer.encode, model.tokenizer.bos_id
    before = [bos, *encode(context, at_start=True)]
    whole = [bos, *encode(context + continuation, at_start=True)]
    assert whole[: len(before)] == before
    padded = np.zeros((1, 64), np.int32)
    padded[0, : len(whole)] = whole
    logps = np.asarray(all_logps(padded), np.float64)
    return sum(logps[i - 1, whole[i]] for i in range(len(before), len(whole)))

  return logp


def _jsonl(folder, records, name="data.jsonl"):
  path = folder / name
  path.write_text("".join(json.dumps(record) + "\n" for record in records))
  return path


def _arc(number, key="A"):
  texts = [f"word {number}", "then", "it and it"]
  return {
    "question": f"more {number}?",
    "choices": {"text": texts, "label": ["A", "B", "C"]},
    "answerKey": key,
  }


def _run(tmp_path, folder, format_, data, *argv) -> Any:
  out = tmp_path / f"out-{format_}"
  status = eval_command.main(
    [
      "multiple_choice",
      f"--format={format_}",
      f"--data={data}",
      f"--model={folder}",
      f"--out={out}",
      *argv,
    ]
  )
  if status:
    return None, None
  lines = (out / "records.jsonl").read_text().splitlines()
  found = json.loads((out / "evaluation.json").read_text())
  return found, [json.loads(line) for line in lines]


def test_arc_is_scored_behind_its_prompt(tmp_path, folder, logp_of):
  data = _jsonl(tmp_path, [_arc(1), _arc(2, "B"), _arc(3, "C"), _arc(4)])
  found, records = _run(tmp_path, folder, "arc", data, "--batch-size=5")
  right = []
  for number, record in enumerate(records, 1):
    expected = [
      logp_of(f"Question: more {number}?\nAnswer:", f" {choice}")
      for choice in (f"word {number}", "then", "it and it")
    ]
    assert record["logps"] == pytest.approx(expected, abs=1e-4)
    assert record["chosen"] == int(np.argmax(expected))
    right.append(record["chosen"] == (0, 1, 2, 0)[number - 1])
  figures = found["figures"]
  share = sum(right) / 4
  assert figures["questions"] == 4
  assert figures["acc, %"] == pytest.approx(100 * share)
  assert figures["acc, standard error"] == pytest.approx(
    100 * math.sqrt(share * (1 - share) / 3)
  )
  assert {"acc_norm, %", "acc_bytes, %"} < set(figures)
  assert found["benchmark"] == "multiple_choice, arc"
  assert found["counted"] == {}


def test_examples_are_shown_first_and_long_prompts_are_cut(
  tmp_path, folder, logp_of, capsys
):
  data = _jsonl(tmp_path, [_arc(1)])
  shots = _jsonl(tmp_path, [_arc(8, "B"), _arc(9)], "train.jsonl")
  options = (f"--shots={shots}", "--num-shots=1")
  found, records = _run(tmp_path, folder, "arc", data, *options)
  context = "Question: more 8?\nAnswer: then\n\nQuestion: more 1?\nAnswer:"
  assert records[0]["logps"][1] == pytest.approx(
    logp_of(context, " then"), abs=1e-4
  )
  assert found["figures"]["examples shown"] == 1
  assert set(found["inputs"]) == {str(data), str(shots)}
  assert "draws others" in " ".join(capsys.readouterr().out.split())
  found, _ = _run(tmp_path, folder, "arc", data, *options, "--max-length=20")
  assert found["counted"] == {
    "questions whose prompt was cut on the left to fit the model": 1
  }


def test_hellaswag_and_truthfulqa_are_scored(tmp_path, folder, logp_of):
  record = {
    "activity_label": "more",
    "ctx_a": "word 3",
    "ctx_b": "and",
    "endings": ["then", "it", "of it", "more"],
    "label": "2",
  }
  data = _jsonl(tmp_path, [record])
  found, records = _run(tmp_path, folder, "hellaswag", data)
  assert records[0]["logps"][2] == pytest.approx(
    logp_of("more: word 3 And", " of it"), abs=1e-4
  )
  assert found["figures"]["acc, standard error"] is None  # Of one question.
  record = {
    "question": "word 3?",
    "mc1_targets": {"then": 1, "it": 0},
    "mc2_targets": {"then": 1, "it": 0, "more of it": 1},
  }
  found, records = _run(
    tmp_path, folder, "truthfulqa", _jsonl(tmp_path, [record])
  )
  logps = [
    logp_of("Q: word 3?\nA:", f" {choice}")
    for choice in ("then", "it", "more of it")
  ]
  masses = np.exp(logps)
  figures = found["figures"]
  assert figures["mc2 acc, %"] == pytest.approx(
    100 * (masses[0] + masses[2]) / masses.sum(), rel=1e-4
  )
  assert figures["mc1 acc, %"] == 100 * (logps[0] > logps[1])
  assert [record["set"] for record in records] == ["mc1", "mc2"]
  assert any("WARNING" in note for note in found["notes"])


def test_mmlu_is_scored_by_subject(tmp_path, folder):
  test, dev = tmp_path / "test", tmp_path / "dev"
  for place in (test, dev):
    place.mkdir()
  (test / "anatomy_test.csv").write_text("word,1,2,3,4,A\nmore,1,2,3,4,B\n")
  (test / "art_test.csv").write_text("it,1,2,3,4,C\n")
  (dev / "anatomy_dev.csv").write_text("then,1,2,3,4,A\n")
  found, records = _run(tmp_path, folder, "mmlu", test)
  rows = found["tables"]["by subject"]
  assert [(row["subject"], row["questions"]) for row in rows] == [
    ("anatomy", 2),
    ("art", 1),
  ]
  accs = [record["acc"] for record in records]
  assert found["figures"]["acc, %"] == pytest.approx(100 * np.mean(accs))
  assert rows[0]["acc, %"] == 50 * sum(accs[:2])
  assert records[0]["choices"] == ["A", "B", "C", "D"]
  assert "acc_norm, %" not in found["figures"]


def test_examples_of_another_subject_are_refused(tmp_path, folder, capsys):
  data = tmp_path / "art_test.csv"
  data.write_text("it,1,2,3,4,C\n")
  shots = tmp_path / "anatomy_dev.csv"
  shots.write_text("then,1,2,3,4,A\n")
  options = (f"--shots={shots}", "--num-shots=1")
  assert _run(tmp_path, folder, "mmlu", data, *options) == (None, None)
  assert "no examples for 'art'" in capsys.readouterr().err


def test_questions_among_the_examples_or_twice_are_counted(tmp_path, folder):
  again = {**_arc(2), "id": "another"}
  data = _jsonl(tmp_path, [_arc(1), _arc(2), again])
  options = (f"--shots={data}", "--num-shots=1")
  found, _ = _run(tmp_path, folder, "arc", data, *options)
  assert found["counted"] == {
    "questions stand there once more, and count again": 1,
    "questions are among the examples": 1,
  }
  assert any("shown with their answers" in note for note in found["notes"])


def test_too_few_examples_are_refused(tmp_path, folder, capsys):
  data = _jsonl(tmp_path, [_arc(1)])
  options = (f"--shots={data}", "--num-shots=2")
  assert _run(tmp_path, folder, "arc", data, *options) == (None, None)
  assert "holds 1 examples" in capsys.readouterr().err
  assert _run(tmp_path, folder, "arc", data, "--num-shots=2") == (None, None)
  assert "--shots and --num-shots go together" in capsys.readouterr().err


def test_a_folder_or_another_benchmarks_file_is_refused(
  tmp_path, folder, capsys
):
  for format_ in ("arc", "mmlu"):
    assert _run(tmp_path, folder, format_, tmp_path) == (None, None)
    assert "is a folder: name a file" in capsys.readouterr().err
  data = _jsonl(tmp_path, [_arc(1)])
  assert _run(tmp_path, folder, "hellaswag", data) == (None, None)
  assert "data.jsonl:1: endings must be" in capsys.readouterr().err


def test_csv_is_said_to_be_mmlus_format(tmp_path, folder, capsys):
  data = tmp_path / "art_test.csv"
  data.write_text("it,1,2,3,4,C\n")
  assert _run(tmp_path, folder, "arc", data) == (None, None)
  assert ".csv is MMLU's format, and --format=arc reads" in (
    capsys.readouterr().err
  )
