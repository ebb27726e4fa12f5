# SPDX-License-Identifier: Apache-2.0
"""Text of an answer while it grows: pieces, stop texts, unfinished ends."""

import random

import pytest

from ramjax.evals.answer_text import AnswerText


class _Bytes:
  """One token a byte; 0 is special and has no text."""

  def decode(self, ids):
    return bytes(i for i in map(int, ids) if i).decode("utf-8", "replace")


def _pieces(tokens, **options):
  answer = AnswerText(_Bytes(), ends=(0,), **options)
  whole = answer.whole(tokens)
  cuts = [*range(1, len(tokens)), len(tokens)]
  return whole, [answer.piece(tokens[:n], ended=n == len(tokens)) for n in cuts]


def test_no_piece_ends_inside_a_character():
  tokens = list("aé漢😀b".encode())
  whole, pieces = _pieces(tokens)
  assert whole == "aé漢😀b"
  assert [p for p in pieces if p] == ["a", "é", "漢", "😀", "b"]


def test_a_begun_character_at_the_end_is_shown_in_the_last_piece():
  whole, pieces = _pieces([*b"a", 0xE6, 0xBC])
  assert pieces == ["a", "", whole[1:]]
  assert whole == "a\ufffd"


def test_what_may_begin_a_stop_text_is_held_back_until_it_does_not():
  _, pieces = _pieces(list(b"a<b</s"), stop=("</x>", "<b>"))
  assert pieces == ["a", "", "", "<b", "", "</s"]


def test_a_stop_text_is_never_shown():
  whole, pieces = _pieces(list(b"one END"), stop=("END", "Never"))
  assert whole == "one " == "".join(pieces)


def test_the_earliest_of_several_stop_texts_counts():
  whole, _ = _pieces(list(b"one two"), stop=("wo", "e"))
  assert whole == "on"


@pytest.mark.parametrize("text,count", [("abXcX", 3), ("abc", None), ("X", 1)])
def test_a_cut_keeps_the_fewest_tokens_with_the_stop_text(text, count):
  answer = AnswerText(_Bytes(), ends=(), stop=("X",))
  assert answer.cut(list(text.encode())) == count


def test_without_stop_texts_nothing_is_cut():
  assert AnswerText(_Bytes(), ends=()).cut([1, 2]) is None


def test_white_space_around_an_answer_is_left_out_and_kept_inside():
  whole, pieces = _pieces(list(b" \n a b \n"), strip=True)
  assert whole == "a b" == "".join(pieces)
  assert pieces == ["", "", "", "a", "", " b", "", ""]


def test_the_token_that_ends_an_answer_is_no_part_of_it():
  whole, pieces = _pieces([*b"ab", 0])
  assert whole == "ab" == "".join(pieces)


@pytest.mark.parametrize("strip", [True, False])
def test_pieces_make_the_whole_however_they_are_cut(strip):
  rng = random.Random(0)
  for _ in range(300):
    tokens = [rng.choice(b"ab \n\xc3\xa9\xe6\xbc\xa2") for _ in range(12)]
    answer = AnswerText(
      _Bytes(), ends=(0,), stop=("ab", "b b", "\u00e9a"), strip=strip
    )
    end = answer.cut(tokens) or len(tokens)
    at = sorted(rng.sample(range(1, end), min(3, end - 1)))
    pieces = [answer.piece(tokens[:n], ended=False) for n in at]
    pieces.append(answer.piece(tokens[:end], ended=True))
    assert "".join(pieces) == answer.whole(tokens[:end])
