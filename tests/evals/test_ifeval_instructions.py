# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.evals.ifeval_instructions."""

import inspect
import re

import pytest

from ramjax.evals import ifeval_instructions
from ramjax.evals.ifeval_instructions import check_record, follows

# Of each instruction: arguments, a response that follows it, one that does not.
_CASES = {
  "keywords:existence": ({"keywords": ["tea"]}, "Tea!", "Milk!"),
  "keywords:frequency": (
    {"keyword": "tea", "frequency": 2, "relation": "at least"},
    "Tea, tea.",
    "Tea.",
  ),
  "keywords:forbidden_words": ({"forbidden_words": ["tea"]}, "Team.", "Tea."),
  "keywords:letter_frequency": (
    {"letter": "t", "let_frequency": 2, "let_relation": "less than"},
    "Tea.",
    "Tart.",
  ),
  "language:response_language": (
    {"language": "de"},
    "Das ist der Tee und nicht die Milch.",
    "This is the tea and not the milk.",
  ),
  "length_constraints:number_sentences": (
    {"num_sentences": 2, "relation": "at least"},
    "Tea. Milk.",
    "Tea, milk.",
  ),
  "length_constraints:number_paragraphs": (
    {"num_paragraphs": 2},
    "Tea\n***\nMilk",
    "Tea\n\nMilk",
  ),
  "length_constraints:number_words": (
    {"num_words": 3, "relation": "less than"},
    "Two words",
    "Now three words",
  ),
  "length_constraints:nth_paragraph_first_word": (
    {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "milk"},
    "Tea\n\nMilk",
    "Milk\n\nTea",
  ),
  "detectable_content:number_placeholders": (
    {"num_placeholders": 1},
    "Dear [name]",
    "Dear name",
  ),
  "detectable_content:postscript": (
    {"postscript_marker": "P.S."},
    "Tea.\nP.S. Milk.",
    "Tea. Milk.",
  ),
  "detectable_format:number_bullet_lists": (
    {"num_bullets": 1},
    "* tea",
    "* tea\n* milk",
  ),
  "detectable_format:constrained_response": (
    {},
    "My answer is no.",
    "No.",
  ),
  "detectable_format:number_highlighted_sections": (
    {"num_highlights": 1},
    "*tea*",
    "tea",
  ),
  "detectable_format:multiple_sections": (
    {"section_spliter": "Part", "num_sections": 2},
    "Part 1 tea Part 2 milk",
    "Part 1 tea",
  ),
  "detectable_format:json_format": ({}, '{"tea": 1}', "tea"),
  "detectable_format:title": ({}, "<<tea>>", "tea"),
  "combination:two_responses": ({}, "tea ****** milk", "tea"),
  "combination:repeat_prompt": (
    {"prompt_to_repeat": "Tea?"},
    "tea? Yes.",
    "Yes.",
  ),
  "startend:end_checker": ({"end_phrase": "The end."}, "Tea. The end.", "Tea."),
  "startend:quotation": ({}, '"tea"', "tea"),
  "change_case:capital_word_frequency": (
    {"capital_frequency": 1, "capital_relation": "at least"},
    "TEA",
    "Tea",
  ),
  "change_case:english_capital": ({}, "THE TEA IS HOT", "The tea is hot"),
  "change_case:english_lowercase": ({}, "the tea is hot", "The tea is hot"),
  "punctuation:no_comma": ({}, "tea; milk", "tea, milk"),
}


def _record(*instructions):
  ids, kwargs = zip(*instructions, strict=True)
  return {"instruction_id_list": list(ids), "kwargs": list(kwargs)}


def test_all_instructions_of_the_benchmark_are_there():
  assert set(ifeval_instructions.INSTRUCTIONS) == set(_CASES)
  assert len(_CASES) == 25


@pytest.mark.parametrize("name", _CASES)
def test_instruction_is_followed_or_not(name):
  kwargs, good, bad = _CASES[name]
  assert follows(name, good, kwargs)
  assert not follows(name, bad, kwargs)
  for blank in ("", " \n"):
    assert not follows(name, blank, kwargs)


@pytest.mark.parametrize("name", _CASES)
def test_arguments_of_the_table_are_those_of_the_check(name):
  check, kinds = ifeval_instructions.INSTRUCTIONS[name]
  assert list(inspect.signature(check).parameters)[1:] == list(kinds)
  assert set(kinds) == set(_CASES[name][0])


@pytest.mark.parametrize("name", _CASES)
def test_missing_argument_is_named(name):
  kwargs = _CASES[name][0]
  for missing in kwargs:
    for rest in (
      {key: kwargs[key] for key in kwargs if key != missing},
      kwargs | {missing: None},
      kwargs | {missing: {}},
    ):
      with pytest.raises(ValueError, match=rf"kwargs\[0\]\['{missing}'\]"):
        check_record(_record((name, rest)))


def test_nulls_and_other_instructions_arguments_are_passed_over():
  every = {key: None for kwargs, _, _ in _CASES.values() for key in kwargs}
  record = _record(
    ("punctuation:no_comma", every),
    ("keywords:existence", every | {"keywords": ["tea"]}),
  )
  assert check_record(record) == [
    ("punctuation:no_comma", {}),
    ("keywords:existence", {"keywords": ["tea"]}),
  ]


def test_counts_may_be_whole_floats():
  kwargs = {"num_paragraphs": 2.0, "nth_paragraph": 2.0, "first_word": "milk"}
  name = "length_constraints:nth_paragraph_first_word"
  assert follows(name, "Tea\n\nMilk", kwargs)


@pytest.mark.parametrize(
  ("name", "argument", "value"),
  [
    ("number_words", "num_words", -1),
    ("number_words", "num_words", 2.5),
    ("number_words", "num_words", float("nan")),
    ("number_words", "num_words", float("inf")),
    ("number_words", "num_words", 10**30),
    ("number_words", "num_words", True),
    ("number_words", "num_words", "3"),
    ("number_words", "relation", "at most"),
  ],
)
def test_wrong_number_or_relation_is_refused(name, argument, value):
  name = f"length_constraints:{name}"
  with pytest.raises(ValueError, match=argument):
    follows(name, "text", _CASES[name][0] | {argument: value})


@pytest.mark.parametrize(
  ("name", "kwargs"),
  [
    ("keywords:existence", {"keywords": []}),
    ("keywords:existence", {"keywords": "tea"}),
    ("keywords:existence", {"keywords": ["tea", ""]}),
    ("keywords:existence", {"keywords": ["tea"] * 101}),
    ("keywords:existence", {"keywords": ["t" * 201]}),
    ("startend:end_checker", {"end_phrase": "x" * 10_001}),
    ("language:response_language", {"language": "tlh"}),
  ],
)
def test_argument_that_no_response_could_be_held_to_is_refused(name, kwargs):
  with pytest.raises(ValueError, match=re.escape(next(iter(kwargs)))):
    check_record(_record((name, kwargs)))


@pytest.mark.parametrize(
  ("record", "field"),
  [
    ({}, "instruction_id_list is missing"),
    (
      {"instruction_id_list": "a:b", "kwargs": []},
      "instruction_id_list is 'a:b'",
    ),
    ({"instruction_id_list": [], "kwargs": []}, "instruction_id_list has 0"),
    ({"instruction_id_list": ["a:b"]}, "kwargs is missing"),
    ({"instruction_id_list": ["a:b"], "kwargs": []}, "kwargs has 0 entries"),
    ({"instruction_id_list": ["a:b"], "kwargs": [{}]}, "has 'a:b'"),
    ({"instruction_id_list": [["a"]], "kwargs": [{}]}, "has a list"),
    (
      {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [None]},
      r"kwargs\[0\] is missing",
    ),
  ],
)
def test_unusable_record_is_refused_by_field(record, field):
  with pytest.raises(ValueError, match=field):
    check_record(record)


@pytest.mark.parametrize(
  "part", ["a", "A ", ".", ",", "\n", "*", "\ud800", "😀"]
)
def test_hostile_text_is_judged_by_every_instruction(part):
  for name, (kwargs, _, _) in _CASES.items():
    assert isinstance(follows(name, part * 50_000, kwargs), bool), name


def test_longest_arguments_are_looked_for_in_bounded_time():
  kwargs = {"forbidden_words": ["a" * 200] * 5}
  assert follows("keywords:forbidden_words", "a" * 50_000, kwargs)
