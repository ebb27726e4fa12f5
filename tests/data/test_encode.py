# SPDX-License-Identifier: Apache-2.0
"""Spans to ids: what is encoded as a first word, and what is supervised."""

import pytest
from tiny_letters import Letters

from ramjax.data import encode
from ramjax.data.rows import Message

ASK = Message("user", "hi")
ANSWER = Message("assistant", "yes", True)


def _read(encoded, letters):
  supervised = [token for token, mask in zip(*encoded, strict=True) if mask]
  return letters.read(encoded.tokens), letters.read(supervised)


def test_a_conversation_by_hand():
  letters = Letters()
  encoded = encode.encode((ASK, ANSWER), "plain", letters)
  assert _read(encoded, letters) == ("[User: hi\nAssistant: yes]", " yes]")
  # Special tokens stand for themselves; text is encoded span by span, and only
  # what follows BOS starts with a first word.
  assert letters.encoded == [("User: hi\nAssistant:", True), (" yes", False)]


def test_without_bos_in_the_template_text_at_the_start_follows_a_special():
  letters = Letters()
  encoded = encode.encode((ASK, ANSWER), "chatml", letters)
  assert _read(encoded, letters) == (
    "<user\nhi>\n<assistant\nyes>\n",
    "yes>",
  )
  assert not any(at_start for _, at_start in letters.encoded)


def test_only_marked_answers_are_supervised():
  letters = Letters()
  quiet = Message("assistant", "no")
  encoded = encode.encode((ASK, quiet, ASK, ANSWER), "plain", letters)
  assert _read(encoded, letters)[1] == " yes]"


@pytest.mark.parametrize("template", ["alpaca", "chatml", "llama3", "plain"])
def test_a_prompt_is_what_precedes_every_answer(template):
  letters = Letters()
  prompt = encode.encode_prompt((ASK,), template, letters)
  assert not any(prompt.mask)
  for text in ("yes", "", "no\n"):
    answer = Message("assistant", text, True)
    full = encode.encode((ASK, answer), template, letters)
    n = len(prompt.tokens)
    assert full.tokens[:n] == prompt.tokens
    assert not any(full.mask[:n]) and full.mask[n]


def test_turns_out_of_order_are_refused():
  with pytest.raises(ValueError, match="'user' was due"):
    encode.encode((ANSWER, ASK), "plain", Letters())
  with pytest.raises(ValueError, match="template='latin' is not one of"):
    encode.encode((ASK, ANSWER), "latin", Letters())
