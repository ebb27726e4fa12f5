# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval ifeval`: the authors' four accuracies, and files they can read."""

import json

import pytest

from ramjax.tools import eval_ifeval

_NO_COMMA = "punctuation:no_comma"
_LOWER = "change_case:english_lowercase"
_RECORDS = [
  {
    "key": 1,
    "prompt": "no commas, please",
    "instruction_id_list": [_NO_COMMA],
    "kwargs": [{}],
  },
  {
    "key": 2,
    "prompt": "no commas and small letters",
    "instruction_id_list": [_NO_COMMA, _LOWER],
    "kwargs": [{}, {}],
  },
]
# The second has a comma, and otherwise what is asked for.
_RESPONSES = ["None here.", "all of this is small, and that is what was asked"]


def _write(path, rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return path


def test_accuracies_count_prompts_and_instructions():
  figures = eval_ifeval.evaluate(_RECORDS, _RESPONSES, model="mine")
  assert figures.figures["prompts"] == 2
  assert figures.figures["prompt_strict, %"] == 50
  assert figures.figures["instruction_strict, %"] == pytest.approx(200 / 3)
  assert figures.tables["by family of instructions"] == [
    {"family": "punctuation", "strict, %": 50, "loose, %": 50},
    {"family": "change_case", "strict, %": 100, "loose, %": 100},
  ]
  assert figures.counted == {"answers are empty": 0}


def test_answers_are_written_as_the_authors_tool_reads_them(tmp_path, capsys):
  data = _write(tmp_path / "input_data.jsonl", _RECORDS)
  made = _write(
    tmp_path / "made.jsonl",
    [
      {**record, "responses": [{"text": text}]}
      for record, text in zip(_RECORDS, _RESPONSES, strict=True)
    ],
  )
  out = tmp_path / "out"
  argv = [f"--data={data}", f"--model={made}", f"--out={out}"]
  assert eval_ifeval.main(argv) == 0
  assert "instruction_strict, %" in capsys.readouterr().out
  lines = (out / "responses.jsonl").read_text().splitlines()
  assert [json.loads(line) for line in lines] == [
    {"prompt": record["prompt"], "response": text}
    for record, text in zip(_RECORDS, _RESPONSES, strict=True)
  ]
  record = json.loads((out / "evaluation.json").read_text())
  assert record["figures"]["prompt_strict, %"] == 50


def test_an_unknown_instruction_is_refused_before_anything_is_answered(
  tmp_path,
):
  records = [
    _RECORDS[0],
    {**_RECORDS[1], "instruction_id_list": ["no:such"] * 2},
  ]
  data = _write(tmp_path / "input_data.jsonl", records)
  with pytest.raises(
    ValueError, match=r"input_data\.jsonl: record 2: .*no:such"
  ):
    eval_ifeval.main([f"--data={data}", f"--model={tmp_path}", "--out=x"])


def test_a_record_without_a_prompt_is_refused(tmp_path):
  record = {k: v for k, v in _RECORDS[0].items() if k != "prompt"}
  data = _write(tmp_path / "input_data.jsonl", [record])
  with pytest.raises(ValueError, match="record 1 has no text 'prompt'"):
    eval_ifeval.main([f"--data={data}", f"--model={tmp_path}", "--out=x"])


def test_answers_are_not_written_over(tmp_path):
  data = _write(tmp_path / "input_data.jsonl", _RECORDS)
  made = _write(
    tmp_path / "responses.jsonl",
    [
      {**record, "responses": [{"text": text}]}
      for record, text in zip(_RECORDS, _RESPONSES, strict=True)
    ],
  )
  before = made.read_bytes()
  with pytest.raises(ValueError, match=r"responses\.jsonl would be written"):
    eval_ifeval.main([f"--data={data}", f"--model={made}", f"--out={tmp_path}"])
  assert made.read_bytes() == before
