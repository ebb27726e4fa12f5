# SPDX-License-Identifier: Apache-2.0
"""A context and its continuation, split as the harness splits them."""

from typing import Any

import pytest

from ramjax.data import train_tokenizer
from ramjax.data.tokenizers import load_tokenizer
from ramjax.evals.pair_encoding import encode_pair, prefix_id


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  path = tmp_path_factory.mktemp("pairs") / "tokenizer.model"
  texts = [f"word {i} and {i * 7 % 97}, then more of it" for i in range(200)]
  train_tokenizer.train_sentencepiece(texts, path=path, vocab_size=300)
  return load_tokenizer(path)


class _LettersTokenizer:
  """One id a character, but "ab" is one; `specials` are BOS and EOS."""

  path = "letters"

  def __init__(self, bos_id=None, eos_id=None):
    self.bos_id, self.eos_id = bos_id, eos_id

  def encode(self, text, *, at_start):
    del at_start
    return [ord(c) for c in text.replace("ab", "\u0100")]


_Letters: Any = _LettersTokenizer


def test_both_parts_are_those_of_the_whole_text(tokenizer):
  context, continuation = encode_pair(
    "word 3 and", " more of it", tokenizer=tokenizer
  )
  whole = tokenizer.encode("word 3 and more of it", at_start=True)
  assert [*context, *continuation] == [tokenizer.bos_id, *whole]
  assert tokenizer.decode(continuation).strip() == "more of it"


def test_spaces_at_the_end_of_the_context_move_over(tokenizer):
  expected = encode_pair("word 3 and", " \nmore", tokenizer=tokenizer)
  found = encode_pair("word 3 and ", "\nmore", tokenizer=tokenizer)
  assert found == expected
  found = encode_pair("a \n", "b", tokenizer=_Letters(bos_id=1))
  assert found == ([1, ord("a")], [ord(c) for c in " \nb"])


def test_no_context_is_bos_and_else_eos(tokenizer):
  found = encode_pair("", "more of it", tokenizer=tokenizer)
  assert found.context == [tokenizer.bos_id]
  assert found.continuation == tokenizer.encode("more of it", at_start=True)
  letters = _Letters(eos_id=2)
  assert encode_pair("", "x", tokenizer=letters) == ([2], [ord("x")])
  assert encode_pair("  ", "x", tokenizer=letters)[1] == [32, 32, ord("x")]
  assert encode_pair("a", "x", tokenizer=letters).context == [ord("a")]


def test_a_token_across_the_edge_leaves_the_context_as_it_is_alone():
  # The whole is z, "ab", c: what lies beyond the context's two ids is c.
  found = encode_pair("za", "bc", tokenizer=_Letters(bos_id=1))
  assert found == ([1, ord("z"), ord("a")], [ord("c")])


def test_what_has_no_token_of_its_own_is_refused():
  letters = _Letters(bos_id=1)
  with pytest.raises(ValueError, match="nothing follows the context 'a'"):
    encode_pair("a", "", tokenizer=letters)
  with pytest.raises(ValueError, match="'b' adds no token to 'za'"):
    encode_pair("za", "b", tokenizer=letters)


def test_a_tokenizer_without_bos_and_eos_is_refused():
  with pytest.raises(ValueError, match="neither BOS nor EOS"):
    prefix_id(_Letters())
