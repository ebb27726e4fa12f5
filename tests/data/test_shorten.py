# SPDX-License-Identifier: Apache-2.0
"""What gives way first, and how far, counted letter by letter."""

import pytest
from tiny_letters import Letters

from ramjax.data import shorten
from ramjax.data.encode import Encoded
from ramjax.data.rows import Message


@pytest.mark.parametrize(
  ("max_length", "tokens"), [(9, [1, 2, 3, 4]), (3, [1, 2, 3]), (2, [1, 2])]
)
def test_a_response_loses_its_end(max_length, tokens):
  prompt = Encoded([1, 2], [False, False])
  response = Encoded([3, 4], [True, True])
  kept = shorten.joined(prompt, response, max_length)
  assert kept.tokens == tokens
  assert kept.mask == [token > 2 for token in tokens]


@pytest.mark.parametrize(
  ("num_response", "max_length", "room"),
  [
    (3, 10, 7),  # It has what it needs,
    (5, 10, 5),  # up to half,
    (6, 10, 5),  # and no more while the prompt needs the rest.
    (9, 11, 6),  # An odd token is the prompt's.
    (4, 1, 1),
  ],
)
def test_the_response_is_worth_half_of_the_room(num_response, max_length, room):
  assert shorten.prompt_room(num_response, max_length) == room


@pytest.mark.parametrize("limit", range(3, 12))
def test_the_largest_that_fits(limit):
  tried = []

  def fits(number):
    tried.append(number)
    return number <= limit

  assert shorten.largest(fits, 3, 10) == min(limit, 10)
  assert 3 not in tried and len(tried) <= 3


def test_the_least_is_taken_untried():
  assert shorten.largest(lambda n: False, 2, 7) == 2
  assert shorten.largest(lambda n: 1 / 0 > n, 4, 4) == 4


# "[System: " and "\n" and "User: ", "\nAssistant:": 27 letters of headers with a
# system message, 18 without.
@pytest.mark.parametrize(
  ("room", "system", "user"),
  [(40, "sss", "uuuuu"), (33, "sss", "uuu"), (30, "sss", ""), (29, "ss", "")],
)
def test_the_user_turn_gives_before_the_system_message(room, system, user):
  letters = Letters()
  prompt = [Message("system", "sss"), Message("user", "uuuuu")]
  kept = shorten.cut_prompt(prompt, "plain", letters, room)
  text = f"[System: {system}\nUser: {user}\nAssistant:"
  assert letters.read(kept.tokens) == text
  assert not any(kept.mask)


def test_headers_stay_even_where_they_do_not_fit():
  letters = Letters()
  kept = shorten.cut_prompt([Message("user", "uuuuu")], "plain", letters, 4)
  assert letters.read(kept.tokens) == "[User: \nAssistant:"
