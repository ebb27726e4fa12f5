# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.evals.ifeval_lengths."""

import pytest

from ramjax.evals import ifeval_lengths as lengths


def test_numbers_of_words_and_sentences_are_held_to_a_relation():
  text = "One two. Three four."
  assert lengths.has_num_words(text, num_words=4, relation="at least")
  assert not lengths.has_num_words(text, num_words=4, relation="less than")
  assert lengths.has_num_sentences(text, num_sentences=3, relation="less than")
  assert not lengths.has_num_sentences(
    text, num_sentences=3, relation="at least"
  )


@pytest.mark.parametrize(
  ("text", "count"),
  [
    ("a", 1),
    ("a\n\nb", 1),
    ("a\n***\nb", 2),
    ("***a***b***", 2),
    ("a *** b *** c", 3),
    ("***", 0),
  ],
)
def test_dividers_part_paragraphs(text, count):
  for number in range(5):
    assert lengths.has_num_paragraphs(text, num_paragraphs=number) == (
      number == count
    )


def test_blank_paragraph_between_dividers_is_never_right():
  for number in range(4):
    assert not lengths.has_num_paragraphs("a *** *** b", num_paragraphs=number)


@pytest.mark.parametrize(
  ("text", "follows"),
  [
    ("One.\n\nWord, and more.", True),
    ("One.\n\n  'word' here", True),
    ('One.\n\n"WORD."', True),
    ("One.\n\nWords here", False),
    ("One.\n\nword-play", False),
    ("One.\nWord.", False),
    ("One.\n\nWord.\n\nThree.", False),
    ("Word.\n\nTwo.", False),
    # The blank paragraph is not counted, but the second is the blank one.
    ("One.\n\n\n\nWord.", False),
    ("One.\n\nWord.\n\n", True),
  ],
)
def test_second_of_two_paragraphs_begins_with_a_word(text, follows):
  assert follows == lengths.has_paragraph_first_word(
    text, num_paragraphs=2, nth_paragraph=2, first_word="Word"
  )


@pytest.mark.parametrize("nth", [0, 3])
def test_paragraph_that_cannot_be_has_no_first_word(nth):
  assert not lengths.has_paragraph_first_word(
    "One.\n\nTwo.", num_paragraphs=2, nth_paragraph=nth, first_word="two"
  )
