# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.evals.ifeval_keywords."""

from ramjax.evals import ifeval_keywords as keywords


def test_relations_differ_at_the_threshold():
  assert keywords.has_relation(2, "less than", 3)
  assert not keywords.has_relation(3, "less than", 3)
  assert keywords.has_relation(3, "at least", 3)
  assert not keywords.has_relation(2, "at least", 3)


def test_every_keyword_must_be_there_in_any_case_also_inside_words():
  text = "The Rocket flew."
  assert keywords.has_keywords(text, keywords=["rock", "FLEW"])
  assert not keywords.has_keywords(text, keywords=["rock", "sank"])


def test_keyword_is_text_and_no_regular_expression():
  assert not keywords.has_keywords("abc", keywords=["a.c"])
  assert keywords.has_keywords("in C++", keywords=["c++"])


def test_keyword_frequency_counts_all_occurrences():
  def check(relation, frequency):
    return keywords.has_keyword_frequency(
      "Tea, teapot and steak.",
      keyword=" tea ",
      frequency=frequency,
      relation=relation,
    )

  assert check("at least", 3) and not check("at least", 4)
  assert check("less than", 4) and not check("less than", 3)


def test_forbidden_word_inside_another_is_allowed():
  def lacks(text, *words):
    return keywords.lacks_forbidden_words(text, forbidden_words=words)

  assert lacks("The rocket flew.", "rock", "flow")
  assert not lacks("A ROCK, there.", "rock")
  assert not lacks("on_rock rock-hard", "rock")
  assert lacks("on_rock rocks", "rock")
  assert not lacks("stop it now", "sing", "stop it")
  assert not lacks("I like C++ best", "c++")


def test_letter_frequency_ignores_case_and_takes_symbols():
  def check(letter, relation, frequency):
    return keywords.has_letter_frequency(
      "Ab#a!#",
      letter=letter,
      let_frequency=frequency,
      let_relation=relation,
    )

  assert check("A", "at least", 2) and not check("a", "at least", 3)
  assert check("#", "less than", 3) and not check("#", "less than", 2)
