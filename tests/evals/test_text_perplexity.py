# SPDX-License-Identifier: Apache-2.0
"""Perplexity by word, byte and token, from values worked out by hand."""

import math

import pytest

from ramjax.evals.text_perplexity import (
  TextLogp,
  num_bytes,
  num_words,
  text_perplexity,
)


def test_words_and_bytes_are_counted_as_the_harness_counts():
  assert num_words("one") == 1
  assert num_words("one two\n three") == 3
  assert num_words(" one ") == 3  # With an empty one at each end.
  assert num_bytes("añ€") == 1 + 2 + 3


def test_sums_are_divided_and_not_averages_averaged():
  texts = [
    TextLogp("ab cd", -10 * math.log(2), 4),  # 5 bytes, 2 words.
    TextLogp("x", -2 * math.log(2), 2),  # 1 byte, 1 word.
  ]
  found = text_perplexity(texts)
  assert found == pytest.approx(
    {
      "word_perplexity": 2 ** (12 / 3),
      "byte_perplexity": 2 ** (12 / 6),
      "bits_per_byte": 12 / 6,
      "token_ppl": 2 ** (12 / 6),
    }
  )


def test_bytes_that_are_all_as_likely_have_a_perplexity_of_256():
  text = "äöü and more"
  logp = -num_bytes(text) * math.log(256)
  found = text_perplexity([TextLogp(text, logp, num_bytes(text))])
  assert found["byte_perplexity"] == pytest.approx(256)
  assert found["bits_per_byte"] == pytest.approx(8)
  assert found["token_ppl"] == pytest.approx(256)


def test_a_figure_that_overflows_is_left_out():
  found = text_perplexity([TextLogp("x" * 1000, -2000.0, 500)])
  assert found["word_perplexity"] is None
  assert found["byte_perplexity"] == pytest.approx(math.exp(2))


@pytest.mark.parametrize("texts", [[], [TextLogp("", 0.0, 0)]])
def test_no_text_is_refused(texts):
  with pytest.raises(ValueError, match="at least one text"):
    text_perplexity(texts)
