# SPDX-License-Identifier: Apache-2.0
"""MT-Bench's files: what is read, what is refused, what is written back."""

import dataclasses
import gzip
import json
import pathlib

import pytest

from ramjax.evals import bounded_records, mt_bench_files

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/mt_bench"

_QUESTION = {"question_id": 7, "category": "writing", "turns": ["a", "b"]}
_ANSWER = {
  "question_id": 7,
  "answer_id": "x",
  "model_id": "m",
  "choices": [{"index": 0, "turns": ["one", "two"]}],
  "tstamp": 1.5,
}
_PROMPT = {
  "name": "single-v1",
  "type": "single",
  "system_prompt": "s",
  "prompt_template": "{answer}",
  "output_format": "[[rating]]",
}
_GRADE = {
  "question_id": 7,
  "model": "m",
  "judge": ["j", "single-v1"],
  "user_prompt": "u",
  "judgment": "[[8.5]]",
  "score": 8.5,
  "turn": 2,
  "tstamp": 1.5,
}
_PAIR = {
  "question_id": 7,
  "model_1": "m",
  "model_2": "n",
  "g1_winner": "model_1",
  "g2_winner": "tie",
  "judge": ["j", "pair-v2"],
  "g1_user_prompt": "u",
  "g1_judgment": "[[A]]",
  "g2_user_prompt": "v",
  "g2_judgment": "[[C]]",
  "turn": 1,
  "tstamp": 1.5,
}
_READERS = {
  "question": (mt_bench_files.read_questions, _QUESTION),
  "answer": (mt_bench_files.read_answers, _ANSWER),
  "prompt": (mt_bench_files.read_prompts, _PROMPT),
  "grade": (mt_bench_files.read_judgments, _GRADE),
  "pair": (mt_bench_files.read_pair_judgments, _PAIR),
}
_OPTIONAL = {"tstamp", "user_prompt", "g1_user_prompt", "g2_user_prompt"}


def _file(folder, *rows):
  path = folder / "rows.jsonl"
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return path


def test_a_question_is_read_with_its_hints(tmp_path):
  path = _file(tmp_path, {**_QUESTION, "reference": ["h", ""], "source": 1})
  question = mt_bench_files.read_questions(path)[7]
  assert question.turns == ("a", "b")
  assert question.reference == ("h", "")
  assert question.where == "rows.jsonl:1"


def test_the_first_choice_alone_is_the_answer(tmp_path):
  choices = [*_ANSWER["choices"], {"index": 1, "turns": ["three"]}]
  path = _file(tmp_path, {**_ANSWER, "choices": choices})
  assert mt_bench_files.read_answers(path)[7].turns == ("one", "two")


@pytest.mark.parametrize(
  "kind,key",
  [(kind, key) for kind, (_, row) in _READERS.items() for key in row],
)
def test_a_field_that_is_missing_or_wrong_is_named_with_its_row(
  kind, key, tmp_path
):
  reader, row = _READERS[kind]
  missing = {name: value for name, value in row.items() if name != key}
  if key in _OPTIONAL:
    assert reader(_file(tmp_path, missing))
  else:
    with pytest.raises(ValueError, match=rf"rows\.jsonl:1: no '{key}'"):
      reader(_file(tmp_path, missing))
  with pytest.raises(ValueError, match=rf"rows\.jsonl:1: {key} is a boolean"):
    reader(_file(tmp_path, {**row, key: True}))


@pytest.mark.parametrize(
  "kind,change,message",
  [
    ("question", {"turns": ["a", "b", "c"]}, "of 3 texts"),
    ("question", {"turns": []}, "of 0 texts"),
    ("question", {"turns": ["a", 1]}, "turns is a list, .* a list of texts"),
    ("question", {"category": "a\x1b[2J"}, "category is .* printable"),
    ("question", {"category": ""}, "category is '', .* printable"),
    ("question", {"question_id": "7"}, "question_id is '7', .* whole number"),
    ("answer", {"choices": []}, "choices is a list"),
    ("answer", {"choices": [{"index": 0}]}, r"choices\[0\] is an object"),
    (
      "answer",
      {"choices": [{"turns": "a"}]},
      r"choices\[0\].turns is 'a', .* a list",
    ),
    ("prompt", {"type": "double"}, "type is 'double', .* single, pairwise"),
    (
      "prompt",
      {"output_format": "[[A]]"},
      r"output_format is .* \[\[rating\]\]",
    ),
    ("grade", {"turn": 3}, "turn is the number 3, .* 1 or 2"),
    ("grade", {"turn": 1.0}, "turn is the number 1.0, .* whole number"),
    ("grade", {"score": "8"}, "score is '8', .* a number"),
    ("grade", {"score": None}, "score is null"),
    ("grade", {"judge": "gpt-4"}, "judge is 'gpt-4'"),
    ("grade", {"judge": ["gpt-4"]}, "judge is a list"),
    ("pair", {"g1_winner": "A"}, "g1_winner is 'A', .* model_1, model_2, tie"),
    ("pair", {"model_2": "m"}, "model_1 and model_2 are both 'm'"),
  ],
)
def test_a_value_that_is_not_allowed_is_refused(
  kind, change, message, tmp_path
):
  reader, row = _READERS[kind]
  with pytest.raises(ValueError, match=r"rows\.jsonl:1: .*" + message):
    reader(_file(tmp_path, {**row, **change}))


@pytest.mark.parametrize("kind", ["question", "answer", "prompt"])
def test_what_would_count_twice_is_refused(kind, tmp_path):
  reader, row = _READERS[kind]
  with pytest.raises(ValueError, match=r"rows\.jsonl:2: .* rows\.jsonl:1, too"):
    reader(_file(tmp_path, row, row))


@pytest.mark.parametrize("kind", ["grade", "pair"])
def test_repeated_judgments_are_all_read(kind, tmp_path):
  reader, row = _READERS[kind]
  assert len(reader(_file(tmp_path, row, row))) == 2


def test_answers_of_two_models_are_refused(tmp_path):
  other = {**_ANSWER, "question_id": 8, "model_id": "n"}
  with pytest.raises(ValueError, match=r"rows\.jsonl:2: model_id='n'"):
    mt_bench_files.read_answers(_file(tmp_path, _ANSWER, other))


@pytest.mark.parametrize("kind", _READERS)
def test_an_empty_file_and_a_row_that_is_no_object_are_refused(kind, tmp_path):
  reader, row = _READERS[kind]
  with pytest.raises(ValueError, match="is empty"):
    reader(_file(tmp_path))
  with pytest.raises(ValueError, match=r"rows\.jsonl:2 is a list"):
    reader(_file(tmp_path, row, [row]))
  path = tmp_path / "rows.jsonl"
  path.write_text('{"question_id": NaN}\n')
  with pytest.raises(ValueError, match=r"rows\.jsonl:1: NaN is not JSON"):
    reader(path)


def test_the_kind_of_judgments_is_told_by_the_first_row(tmp_path):
  assert mt_bench_files.mode_of(_file(tmp_path, _GRADE)) == "single"
  assert mt_bench_files.mode_of(_file(tmp_path, _PAIR)) == "pair"


def test_a_file_of_another_benchmark_is_refused(tmp_path):
  alpaca = {"instruction": "i", "output_1": "a", "preference": 1.0}
  with pytest.raises(ValueError, match=r"instruction.* no MT-Bench judgment"):
    mt_bench_files.mode_of(_file(tmp_path, alpaca))


def test_judgments_on_other_questions_are_refused(tmp_path):
  one_turn = {**_QUESTION, "question_id": 8, "turns": ["a"]}
  questions = mt_bench_files.read_questions(
    _file(tmp_path, _QUESTION, one_turn)
  )
  good = mt_bench_files.read_judgments(_file(tmp_path, _GRADE))[0]
  mt_bench_files.check_questions([good], questions)
  for change, message in (
    ({"question_id": 9}, "question_id=9 is none of the 2 questions"),
    ({"question_id": 8}, "turn=2, and question 8 has 1"),
  ):
    row = dataclasses.replace(good, **change)
    with pytest.raises(ValueError, match=r"rows\.jsonl:1: " + message):
      mt_bench_files.check_questions([row], questions)


@pytest.mark.parametrize("kind", ["grade", "pair"])
def test_judgments_are_written_as_they_were_read(kind, tmp_path):
  reader, row = _READERS[kind]
  short = {key: row[key] for key in row if key not in _OPTIONAL}
  path = _file(tmp_path, row, {**short, "other": [1], "price": None})
  target = tmp_path / "written.jsonl"
  mt_bench_files.write_judgments(target, reader(path))
  # To the byte: the keys stand in the order of the authors' tool.
  assert target.read_bytes() == path.read_bytes()
  assert sorted(file.name for file in tmp_path.iterdir()) == [
    "rows.jsonl",
    "written.jsonl",
  ]


def test_the_official_files_are_read_and_written_back(tmp_path):
  if not _DATA.is_dir():
    pytest.skip("the MT-Bench files are not here")
  questions = mt_bench_files.read_questions(_DATA / "question.jsonl")
  assert len(questions) == 80
  prompts = mt_bench_files.read_prompts(_DATA / "judge_prompts.jsonl")
  assert len(prompts) == 8
  references = mt_bench_files.read_answers(
    _DATA / "reference_answer/gpt-4.jsonl"
  )
  assert len(references) == 30
  for path in (_DATA / "model_answer").iterdir():
    assert mt_bench_files.read_answers(path).keys() == questions.keys()
  path = _DATA / "judgments_gpt-4_single.jsonl.gz"
  judgments = mt_bench_files.read_judgments(path)
  mt_bench_files.check_questions(judgments, questions)
  target = tmp_path / "written.jsonl"
  mt_bench_files.write_judgments(target, judgments)
  with gzip.open(path, "rt", encoding="utf-8") as file:
    given = [json.loads(line) for line in file]
  written = [json.loads(line) for line in target.read_text().splitlines()]
  assert written == given


@pytest.mark.parametrize(
  "kind,change",
  [
    ("question", {"turns": ["a", "\ud800"]}),
    ("answer", {"choices": [{"index": 0, "turns": ["\udc00"]}]}),
    ("prompt", {"prompt_template": "\ud800"}),
    ("grade", {"judgment": "\ud800"}),
    ("pair", {"g2_user_prompt": "\ud800"}),
  ],
)
def test_a_text_that_encodes_no_character_is_refused(kind, change, tmp_path):
  reader, row = _READERS[kind]
  with pytest.raises(ValueError, match=r"^rows.jsonl:1: .* lone surrogate"):
    reader(_file(tmp_path, {**row, **change}))


@pytest.mark.parametrize("kind", _READERS)
def test_a_file_of_too_many_rows_is_refused(kind, tmp_path, monkeypatch):
  monkeypatch.setattr(bounded_records, "MAX_ROWS", 1)
  reader, row = _READERS[kind]
  key = "name" if kind == "prompt" else "question_id"
  other = {**row, key: "other" if kind == "prompt" else 8}
  reader(_file(tmp_path, row))
  with pytest.raises(ValueError, match="more than 1 records"):
    reader(_file(tmp_path, row, other))
