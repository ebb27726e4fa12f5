# SPDX-License-Identifier: Apache-2.0
"""Official files of questions, by hand, and what is none."""

import functools
import json

import pytest

from ramjax.evals import bounded_records, choice_files

_ARC = {
  "id": "Mercury_1",
  "question": {
    "stem": "Which is hot?",
    "choices": [
      {"text": "ice", "label": "A"},
      {"text": "the sun", "label": "B"},
      {"text": "snow", "label": "C"},
    ],
  },
  "answerKey": "B",
}
_ARC_FLAT = {
  "id": "Mercury_1",
  "question": "Which is hot?",
  "choices": {"text": ["ice", "the sun", "snow"], "label": ["1", "2", "3"]},
  "answerKey": "2",
}
_HELLASWAG = {
  "ind": 3,
  "activity_label": "Baking",
  "ctx_a": "[header] How to bake [title] Heat it up.",
  "ctx_b": "then THE cook",
  "ctx": "unused",
  "endings": ["eats  it.", " [substeps] sleeps [title] Rest.", "runs", "is"],
  "label": 1,
}
_TRUTHFUL = {
  "question": "Is it so?",
  "mc1_targets": {"No.": 1, "Yes.": 0},
  "mc2_targets": {"No.": 1, "Not at all.": 1, "Yes.": 0},
}
_TRUTHFUL_FLAT = {
  "question": "Is it so?",
  "mc1_targets": {"choices": ["No.", "Yes."], "labels": [1, 0]},
  "mc2_targets": {
    "choices": ["No.", "Not at all.", "Yes."],
    "labels": [1, 1, 0],
  },
}

_mc1 = functools.partial(choice_files.read_truthfulqa, targets="mc1")
_mc2 = functools.partial(choice_files.read_truthfulqa, targets="mc2")


def _write(folder, *records):
  path = folder / "data.jsonl"
  path.write_text("".join(json.dumps(record) + "\n" for record in records))
  return path


@pytest.mark.parametrize("record", [_ARC, _ARC_FLAT])
def test_arc_is_read_in_both_forms(tmp_path, record):
  (question,) = choice_files.read_arc(_write(tmp_path, record))
  assert question.prompt == "Question: Which is hot?\nAnswer:"
  assert question.choices == ("ice", "the sun", "snow")
  assert question.right == (False, True, False)
  assert question.where == "data.jsonl:1"


@pytest.mark.parametrize("label", [1, "1"])
def test_hellaswag_is_cleaned_as_the_harness_does(tmp_path, label):
  path = _write(tmp_path, {**_HELLASWAG, "label": label})
  (question,) = choice_files.read_hellaswag(path)
  # A mark leaves the space before it, " [title]" becomes a full stop, two
  # spaces become one once, and of the second part all but one letter is small.
  assert question.prompt == ("Baking: How to bake. Heat it up. Then the cook")
  assert question.choices == ("eats it.", " sleeps. Rest.", "runs", "is")
  assert question.gold == 1


@pytest.mark.parametrize("record", [_TRUTHFUL, _TRUTHFUL_FLAT])
def test_truthfulqa_is_read_in_both_forms(tmp_path, record):
  path = _write(tmp_path, record)
  (one,), (many,) = _mc1(path), _mc2(path)
  assert one.prompt == many.prompt == "Q: Is it so?\nA:"
  assert (one.choices, one.right) == (("No.", "Yes."), (True, False))
  assert many.choices == ("No.", "Not at all.", "Yes.")
  assert many.right == (True, True, False)


def test_truthfulqa_examples_have_an_answer_each(tmp_path):
  path = _write(tmp_path, {"question": "Why?", "answer": "So."})
  (shot,) = choice_files.read_truthfulqa_shots(path)
  assert (shot.prompt, shot.choices) == ("Q: Why?\nA:", ("So.",))


def test_mmlu_asks_for_a_letter(tmp_path):
  path = tmp_path / "high_school_biology_test.csv"
  path.write_text('" What, now?\n",one,"two, or ""so""",,four,C\n')
  (question,) = choice_files.read_mmlu(path)
  assert question.prompt == (
    'What, now?\nA. one\nB. two, or "so"\nC. \nD. four\nAnswer:'
  )
  assert question.choices == ("A", "B", "C", "D")
  assert question.gold == 2
  assert question.group == "high school biology"
  assert choice_files.mmlu_description(question.group) == (
    "The following are multiple choice questions (with answers) about high"
    " school biology.\n\n"
  )


@pytest.mark.parametrize(
  "read, record, message",
  [
    (choice_files.read_arc, _HELLASWAG, "question must be a string"),
    (
      choice_files.read_arc,
      {**_ARC, "answerKey": "D"},
      "answerKey='D' must be",
    ),
    (choice_files.read_arc, {**_ARC_FLAT, "choices": ["a"]}, "have the lists"),
    (
      choice_files.read_arc,
      {**_ARC_FLAT, "choices": {"text": ["a", "b"], "label": ["2"]}},
      "label must be a list of two",
    ),
    (choice_files.read_hellaswag, _ARC, "endings must be a list"),
    (
      choice_files.read_hellaswag,
      {**_HELLASWAG, "label": ""},
      "test set has no",
    ),
    (
      choice_files.read_hellaswag,
      {**_HELLASWAG, "label": 4},
      "label=4 must be",
    ),
    (
      choice_files.read_hellaswag,
      {**_HELLASWAG, "ctx_b": None},
      "ctx_b must be",
    ),
    (_mc1, _ARC, "no TruthfulQA mc task"),
    (_mc1, {**_TRUTHFUL, "mc1_targets": {"a": 1, "b": 1}}, "it must be one"),
    (_mc2, {**_TRUTHFUL, "mc2_targets": {"a": 0, "b": 0}}, "and 1 for some"),
    (_mc2, {**_TRUTHFUL, "mc2_targets": {"a": 1, "b": True}}, "say 0 or 1"),
    (choice_files.read_truthfulqa_shots, _TRUTHFUL, "answer must be a string"),
  ],
)
def test_another_form_is_refused_by_file_and_row(
  tmp_path, read, record, message
):
  with pytest.raises(ValueError, match=message) as caught:
    read(_write(tmp_path, record))
  assert str(caught.value).startswith("data.jsonl:1: ")


def test_a_record_that_stands_twice_is_refused(tmp_path):
  path = _write(tmp_path, _ARC, _ARC_FLAT, _ARC)
  with pytest.raises(
    ValueError, match=r"jsonl:3: the same record as data\.jsonl:1"
  ):
    choice_files.read_arc(path)


def test_a_file_without_questions_is_refused(tmp_path):
  with pytest.raises(ValueError, match="holds no records"):
    choice_files.read_arc(_write(tmp_path))
  with pytest.raises(ValueError, match="jsonl:1 is no JSON object"):
    choice_files.read_arc(_write(tmp_path, [1]))
  path = tmp_path / "x.csv"
  path.write_text("")
  with pytest.raises(ValueError, match="holds no questions"):
    choice_files.read_mmlu(path)


@pytest.mark.parametrize(
  "text, message",
  [
    (b"q,a,b,c,d,A\nq,a,b,c,A\n", r"row 2 has 5 columns that end in \['A'\]"),
    (b"question,A,B,C,D,answer\n", "row 1 has 6 columns"),
    (b'q,"a"b,b,c,d,A\n', "line 1 is no CSV"),
    (b"q,\xff,b,c,d,A\n", "is not UTF-8 at byte 2"),
  ],
)
def test_what_is_no_csv_of_mmlu_is_refused(tmp_path, text, message):
  path = tmp_path / "anatomy_test.csv"
  path.write_bytes(text)
  with pytest.raises(ValueError, match=message):
    choice_files.read_mmlu(path)


@pytest.mark.parametrize(
  "read,record",
  [
    (choice_files.read_arc, {**_ARC_FLAT, "question": "\ud800?"}),
    (
      choice_files.read_arc,
      {
        **_ARC_FLAT,
        "choices": {
          "text": ["ice", "\udc00", "snow"],
          "label": ["1", "2", "3"],
        },
      },
    ),
    (
      choice_files.read_hellaswag,
      {**_HELLASWAG, "endings": ["a", "b", "c", "\ud800"]},
    ),
    (_mc1, {**_TRUTHFUL, "mc1_targets": {"No.": 1, "\ud800": 0}}),
    (
      choice_files.read_truthfulqa_shots,
      {"question": "Is it so?", "answer": "\ud800"},
    ),
  ],
)
def test_a_text_that_encodes_no_character_is_refused_by_row(
  tmp_path, read, record
):
  with pytest.raises(ValueError, match=r"^data.jsonl:1: .* lone surrogate"):
    read(_write(tmp_path, record))


def test_a_file_that_is_too_large_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(bounded_records, "MAX_ROWS", 1)
  path = _write(tmp_path, _ARC, {**_ARC, "id": "2"})
  with pytest.raises(ValueError, match="more than 1 records"):
    choice_files.read_arc(path)
  monkeypatch.setattr(choice_files, "_MAX_CSV_BYTES", 11)
  subject = tmp_path / "art_test.csv"
  subject.write_text("it,1,2,3,C\n")
  with pytest.raises(ValueError, match="row 1 has 5 columns"):
    choice_files.read_mmlu(subject)
  subject.write_text("it,1,2,3,4,C\n")
  with pytest.raises(ValueError, match=r"larger than 11 bytes.*split"):
    choice_files.read_mmlu(subject)
