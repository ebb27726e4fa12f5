# SPDX-License-Identifier: Apache-2.0
"""Prompts with a judgement: where it goes, and in which words."""

from ramjax.data.judged_prompts import judged_prompt
from ramjax.data.rows import Message

SYSTEM = Message("system", "Be brief.")
ASK = Message("user", "2+2?")
ANSWER = Message("assistant", "5")
AGAIN = Message("user", "Really?")


def test_the_judgement_is_appended_to_the_last_user_turn():
  prompt = judged_prompt((SYSTEM, ASK, ANSWER, AGAIN), "It is 4.")
  wanted = "Really?\n\n### Judgement of the answer:\nIt is 4."
  assert prompt == (SYSTEM, ASK, ANSWER, Message("user", wanted))


def test_a_raw_prompt_is_set_apart_from_the_answer():
  wanted = "2+2?\n\n### Judgement of the answer:\nIt is 4.\n\n"
  assert judged_prompt("2+2?", "It is 4.") == wanted


def test_without_a_judgement_the_prompt_stays():
  assert judged_prompt("2+2?", "") == "2+2?"
  assert judged_prompt((SYSTEM, ASK), "") == (SYSTEM, ASK)
