# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.evals.ifeval_formats."""

import functools

import pytest

from ramjax.evals import ifeval_formats as formats


def _largest(check, text, argument):
  """The largest number, up to 9, with which the check says yes."""
  return max(n for n in range(10) if check(text, **{argument: n}))


@pytest.mark.parametrize(
  ("text", "count"),
  [
    ("none", 0),
    ("[a] and [b c]", 2),
    ("[]", 1),
    ("[[a]]", 1),
    ("[a\nb]", 0),
    ("[a] [b", 1),
    ("] [", 0),
  ],
)
def test_placeholders_are_in_square_brackets_within_a_line(text, count):
  check = formats.has_placeholders
  assert _largest(check, text, "num_placeholders") == count


@pytest.mark.parametrize(
  ("text", "marker", "follows"),
  [
    ("Bye.\n\nP.S. Write.", "P.S.", True),
    ("Bye. p. s. write", "P.S.", True),
    ("Bye.\nPS: write", "P.S.", False),
    ("Bye.\nP.P.S Write.", "P.P.S", True),
    ("Bye.\nP. P. S. Write.", "P.P.S", True),
    ("Bye.\nP.S. Write.", "P.P.S", False),
    ("Bye.\nnote: write", "Note:", True),
    ("Bye.\nnotes", "note.", False),
  ],
)
def test_postscript_has_its_marker(text, marker, follows):
  assert formats.has_postscript(text, postscript_marker=marker) == follows


@pytest.mark.parametrize(
  ("text", "count"),
  [
    ("no list", 0),
    ("* a\n* b", 2),
    ("- a\n  - b\n\n* c", 3),
    ("**bold**\n*x*", 1),
    ("1. a\n2. b", 0),
    ("a * b - c", 0),
    ("---", 1),
  ],
)
def test_bullets_are_counted_exactly(text, count):
  for number in range(5):
    assert formats.has_bullets(text, num_bullets=number) == (number == count)


def test_constrained_answer_is_one_of_three():
  assert formats.has_constrained_answer("My answer is maybe.")
  assert formats.has_constrained_answer("Well. My answer is yes. Really.")
  assert not formats.has_constrained_answer("my answer is yes.")
  assert not formats.has_constrained_answer("My answer is yes")


@pytest.mark.parametrize(
  ("text", "count"),
  [
    ("none", 0),
    ("*a* and *b*", 2),
    ("**a**", 1),
    ("**a** *b*", 2),
    ("* a\n* b", 0),
    ("** ** * *", 0),
    ("*a\nb*", 0),
  ],
)
def test_highlights_are_not_blank_and_within_a_line(text, count):
  assert _largest(formats.has_highlights, text, "num_highlights") == count


def test_sections_have_a_marker_and_a_number():
  check = functools.partial(formats.has_sections, section_spliter="Section ")
  assert _largest(check, "Section 1\na\nSection 2\nb", "num_sections") == 2
  assert _largest(check, "SECTION 1 section 2", "num_sections") == 0
  assert _largest(check, "Section one, Section\n12", "num_sections") == 1
  check = functools.partial(formats.has_sections, section_spliter="Q.")
  assert _largest(check, "Q.1 Qx2 Q. 3", "num_sections") == 2


@pytest.mark.parametrize(
  ("text", "follows"),
  [
    ('{"a": 1}', True),
    (' ```json\n{"a": [1, 2.5]}\n``` ', True),
    ("```JSON\n[]\n```", True),
    ("```\nnull\n```", True),
    ('Here it is: {"a": 1}', False),
    ('{"a": 1', False),
    ("", False),
    ("[" + "9" * 10_000 + "]", True),
    ("[" * 500_000, False),
    ("[" * 500_000 + "]" * 500_000, False),
    ('{"\ud800": 1}', True),
  ],
)
def test_json_is_one_value_in_a_fence_or_not(text, follows):
  assert formats.is_json(text) == follows


@pytest.mark.parametrize(
  ("text", "follows"),
  [
    ("<<a title>>\ntext", True),
    ("text <<a>> <<>>", True),
    ("<<>>", False),
    ("<< >>", False),
    ("<<a\nb>>", False),
    ("<a>", False),
    (">>a<<", False),
    ("<<<b>>>", True),
    ("<<<>>>", False),
  ],
)
def test_title_is_in_double_angular_brackets(text, follows):
  assert formats.has_title(text) == follows


@pytest.mark.parametrize(
  ("text", "follows"),
  [
    ("a\n******\nb", True),
    ("******a******b******", True),
    ("a", False),
    ("a ****** a", False),
    ("a ****** b ****** c", False),
    ("a ****** ****** b", False),
    ("a ***** b", False),
  ],
)
def test_two_responses_differ(text, follows):
  assert formats.has_two_responses(text) == follows


def test_prompt_is_repeated_first():
  prompt = " Say hello. "
  assert formats.repeats_prompt("say HELLO. Hello!", prompt_to_repeat=prompt)
  assert not formats.repeats_prompt("Sure: say hello.", prompt_to_repeat=prompt)


def test_ending_may_be_quoted():
  check = functools.partial(formats.has_ending, end_phrase="Any questions? ")
  assert check('"So it is. ANY questions?" ')
  assert not check("Any questions? Ask.")
  assert not check("Any questions")


def test_quotation_marks_are_around_all_of_it():
  assert formats.is_quoted(' "a" and "b" ')
  assert not formats.is_quoted('"')
  assert not formats.is_quoted('"a" b')
  assert not formats.is_quoted("\u201ca\u201d")


def test_comma_is_the_latin_one():
  assert formats.has_no_comma("a; b\uff0c c\u060c")
  assert not formats.has_no_comma("a, b")


@pytest.mark.parametrize(
  "part", ["[", "<<", "*", "**a", "\n", " ", "\n *", "P.", "Section ", '"', "`"]
)
def test_hostile_text_is_judged_in_linear_time(part):
  # Quadratic time would be hours.
  text = part * 300_000
  verdicts = [
    formats.has_placeholders(text, num_placeholders=1),
    formats.has_postscript(text, postscript_marker="P.P.S"),
    formats.has_bullets(text, num_bullets=1),
    formats.has_highlights(text, num_highlights=1),
    formats.has_sections(text, section_spliter="Section", num_sections=1),
    formats.has_title(text),
    formats.has_two_responses(text),
    formats.is_json(text),
  ]
  # Only "**a**" is what any of them asks for: a highlighted section.
  asked_for = [3] if part == "**a" else []
  assert [i for i, held in enumerate(verdicts) if held] == asked_for
