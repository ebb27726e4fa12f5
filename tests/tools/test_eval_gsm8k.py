# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval gsm8k`: the last number counts, and examples come first."""

import json

import pytest
import tiny_model_folder

from ramjax.tools import eval_gsm8k

_RECORDS = [
  {"question": "2 + 2?", "answer": "It is four.\n#### 4"},
  {"question": "3 * 400?", "answer": "#### 1,200"},
  {"question": "6 / 4?", "answer": "#### 1.5"},
  {"question": "5 - 9?", "answer": "#### -4"},
]
_RESPONSES = ["4 plus 0 is 4.", "$1200", "1 1/2", "four below zero"]


def _write(path, rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return path


def _made(path, records=_RECORDS, responses=_RESPONSES):
  return _write(
    path,
    [
      {**record, "responses": [{"text": text}]}
      for record, text in zip(records, responses, strict=True)
    ],
  )


def test_numbers_are_compared_and_not_their_spelling():
  evaluation = eval_gsm8k.evaluate(_RECORDS, _RESPONSES, model="mine", shots=2)
  assert evaluation.figures["problems"] == 4
  assert evaluation.figures["examples shown"] == 2
  # 4 and 1,200 are right; "1 1/2" ends in 1/2, and the last has no number.
  assert evaluation.figures["accuracy, %"] == 50
  low = evaluation.figures["accuracy, 95 % from"]
  high = evaluation.figures["accuracy, 95 % to"]
  # Wilson's interval of 2 in 4, by hand: (0.5 + 0.4802) / 1.9604 +- 0.3499.
  assert low == pytest.approx(15.004, abs=0.01)
  assert high == pytest.approx(84.996, abs=0.01)
  assert evaluation.counted == {"answers have no number": 1}


def test_a_file_of_answers_is_evaluated(tmp_path, capsys):
  data = _write(tmp_path / "test.jsonl", _RECORDS)
  made = _made(tmp_path / "made.jsonl")
  out = tmp_path / "out"
  assert (
    eval_gsm8k.main([f"--data={data}", f"--model={made}", f"--out={out}"]) == 0
  )
  shown = capsys.readouterr().out
  assert "50.0000" in shown
  assert shown.endswith(f"written: {out / 'evaluation.json'}\n")
  record = json.loads((out / "evaluation.json").read_text())
  assert record["figures"]["accuracy, %"] == 50
  assert list(record["inputs"]) == [str(data), str(made)]


def test_examples_are_earlier_turns_of_what_a_model_is_asked(tmp_path):
  folder, out = tmp_path / "model", tmp_path / "out"
  tiny_model_folder.write(folder)
  # Few characters: the model has 64 positions, and its tokens are bytes.
  data = _write(
    tmp_path / "test.jsonl",
    [
      {"question": "6/4", "answer": "#### 1.5"},
      {"question": "5-9", "answer": "-4"},
    ],
  )
  shots = _write(
    tmp_path / "train.jsonl", [{"question": "2+2", "answer": "4"}, _RECORDS[0]]
  )
  argv = [
    f"--data={data}",
    f"--shots={shots}",
    "--num-shots=1",
    f"--model={folder}",
    f"--out={out}",
    "--template=plain",
    "--max-tokens=4",
    "--slots=2",
  ]
  assert eval_gsm8k.main(argv) == 0
  rows = [
    json.loads(x) for x in (out / "answers.jsonl").read_text().splitlines()
  ]
  assert [turn["content"] for turn in rows[0]["prompt"]] == [
    "2+2",
    "4",
    "6/4",
  ]
  assert rows[1]["prompt"][-1] == {"role": "user", "content": "5-9"}
  found = json.loads((out / "evaluation.json").read_text())
  assert found["figures"]["examples shown"] == 1
  assert list(found["inputs"]) == [
    str(data),
    str(shots),
    str(out / "answers.jsonl"),
  ]
  assert found["model_identity"]["model"]["fingerprint"]


@pytest.mark.parametrize(
  ("records", "problem"),
  [
    ([{"answer": "#### 4"}], "record 1 has no text 'question'"),
    ([_RECORDS[0], {"question": "?", "answer": "none"}], "record 2 has no num"),
    ([{"question": "?"}], "record 1 has no number in 'answer'"),
  ],
)
def test_a_file_of_another_format_is_refused(tmp_path, records, problem):
  data = _write(tmp_path / "test.jsonl", records)
  with pytest.raises(ValueError, match=problem):
    eval_gsm8k.main([f"--data={data}", f"--model={tmp_path}"])


def test_problems_that_are_shown_as_examples_are_refused(tmp_path):
  data = _write(tmp_path / "test.jsonl", _RECORDS)
  argv = [f"--data={data}", f"--shots={data}", f"--model={tmp_path}"]
  argv += [f"--out={tmp_path / 'out'}"]
  with pytest.raises(ValueError, match="problem 1 is one of the --shots"):
    eval_gsm8k.main([*argv, "--num-shots=2"])
  with pytest.raises(ValueError, match="has 4 examples"):
    eval_gsm8k.main([*argv, "--num-shots=5"])
  with pytest.raises(ValueError, match="--shots and --num-shots go together"):
    eval_gsm8k.main(argv)


def test_the_problems_are_not_written_over(tmp_path):
  data = _write(tmp_path / "prompts.jsonl", _RECORDS)
  before = data.read_bytes()
  shots = _write(tmp_path / "train.jsonl", [{"question": "2+2", "answer": "4"}])
  argv = [f"--data={data}", f"--shots={shots}", "--num-shots=1"]
  with pytest.raises(ValueError, match=r"prompts\.jsonl would be written"):
    eval_gsm8k.main([*argv, f"--model={tmp_path / 'm'}", f"--out={tmp_path}"])
  assert data.read_bytes() == before


def test_figures_are_written_though_nobody_reads_them(tmp_path, monkeypatch):
  data = _write(tmp_path / "test.jsonl", _RECORDS)
  made = _made(tmp_path / "made.jsonl")

  def closed(*unused):
    raise BrokenPipeError

  monkeypatch.setattr("builtins.print", closed)
  with pytest.raises(BrokenPipeError):
    eval_gsm8k.main([f"--data={data}", f"--model={made}", f"--out={tmp_path}"])
  assert (tmp_path / "evaluation.json").is_file()
