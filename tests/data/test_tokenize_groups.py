# SPDX-License-Identifier: Apache-2.0
"""A prompt and its answers: one prompt for all, cut once, and how far."""

import random

import numpy as np
import pytest
from tiny_letters import Letters

from ramjax.data import templates, tokenize_groups, tokenize_rows, tokenizers
from ramjax.data.rows import ChatRow, Message, TextRow

KINDS = ("llama3_json", "llama2_json", "llama2_model")
SYSTEM = Message("system", "Be brief.")
ASK = Message("user", "What is 2 + 2?")
ANSWERS = (
  (Message("assistant", "4.", True),),
  (
    Message("assistant", " Let me see", True),
    Message("user", "Well?"),
    Message("assistant", "It's 5!\n", True),
  ),
  (Message("assistant", "</s>", True),),
)

every_template = pytest.mark.parametrize("template", templates.TEMPLATE_NAMES)


@pytest.fixture(scope="module")
def loaded(tokenizer_paths):
  return {
    kind: tokenizers.load_tokenizer(tokenizer_paths[kind]) for kind in KINDS
  }


def said(text: str) -> tuple[Message, ...]:
  return (Message("assistant", text, True),)


def tokenize(prompt, answers, max_length=999, template="plain", **changes):
  options = {"features": {}, "tokenizer": Letters(), **changes}
  return tokenize_groups.tokenize_group(
    prompt, answers, template=template, max_length=max_length, **options
  )


def read(prompt, answers, max_length=999, template="plain", **changes):
  """By letters: (prompt, answers, num_truncated)."""
  group = tokenize(prompt, answers, max_length, template, **changes)
  letters = Letters()
  (kept,) = group.prompts
  answers = [letters.read(answer) for answer in group.responses]
  return letters.read(kept), answers, group.num_truncated


def test_a_pair_by_hand():
  group = tokenize(
    (Message("user", "hi"),),
    [said("yes"), said("no")],
    features={"margins": [1.5], "ratings": [2, float("nan")]},
  )
  letters = Letters()
  assert letters.read(group.prompts[0]) == "[User: hi\nAssistant:"
  assert [letters.read(x) for x in group.responses] == [" yes]", " no]"]
  assert [m.tolist() for m in group.response_masks] == [[True] * 5, [True] * 4]
  assert group.prompts[0].dtype == group.responses[0].dtype == np.int32
  assert group.response_masks[0].dtype == bool
  assert group.num_truncated == 0 and group.size == 2
  # 20 of prompt, twice.
  assert group.num_tokens == 20 + 5 + 20 + 4
  np.testing.assert_array_equal(group.features["margins"], [1.5])
  np.testing.assert_array_equal(group.features["ratings"], [2, np.nan])
  assert {x.dtype for x in group.features.values()} == {np.dtype("float32")}


def test_later_user_turns_of_an_answer_are_not_supervised():
  group = tokenize((ASK,), ANSWERS[1:2])
  letters = Letters()
  whole = " Let me see]\nUser: Well?\nAssistant: It's 5!\n]"
  assert letters.read(group.responses[0]) == " " + whole
  supervised = group.responses[0][group.response_masks[0]]
  assert letters.read(supervised) == "  Let me see] It's 5!\n]"


@pytest.mark.parametrize("bos_id", [1, None])
def test_raw_text_by_hand(bos_id):
  bos = "[" if bos_id else ""
  letters = Letters(bos_id)
  found = read("abc", ["xyz", "", "x"], tokenizer=letters)
  assert found == (bos + "abc", ["xyz]", "]", "x]"], 0)
  at_start = {text: start for text, start in letters.encoded if text}
  assert at_start == {"abc": True, "xyz": False, "x": False}
  # Without a prompt the answer begins with a first word.
  letters = Letters(bos_id)
  assert read("", ["xyz"], tokenizer=letters) == (bos, ["xyz]"], 0)
  assert ("xyz", True) in letters.encoded


@every_template
@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_is_tokenised_as_training_on_it_would(
  loaded, template, kind
):
  given = dict(template=template, tokenizer=loaded[kind], max_length=9999)
  history = (Message("user", "Hello"), Message("assistant", "there"))
  for prompt in ((ASK,), (SYSTEM, ASK), (SYSTEM, *history, ASK)):
    group = tokenize_groups.tokenize_group(
      prompt, ANSWERS, features={}, **given
    )
    alone = tokenize_rows.tokenize_prompt(
      prompt, template=template, tokenizer=loaded[kind]
    )
    np.testing.assert_array_equal(group.prompts[0], alone)
    assert len(group.prompts) == 1 and group.num_truncated == 0
    for k, answer in enumerate(ANSWERS):
      expected = tokenize_rows.tokenize_row(
        ChatRow((*prompt, *answer)), **given
      )
      tokens = np.concatenate([group.prompts[0], group.responses[k]])
      np.testing.assert_array_equal(tokens, expected.tokens)
      mask = np.r_[np.zeros(len(alone), bool), group.response_masks[k]]
      np.testing.assert_array_equal(mask, expected.response_mask)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prompt", ["Hel", "", " a\n"])
def test_raw_text_is_tokenised_as_training_on_it_would(loaded, kind, prompt):
  given = dict(template="plain", tokenizer=loaded[kind])
  answers = ["lo there", " x", "<s>"]
  for max_length in (999, 6, 3, 2):
    for answer in answers:
      group = tokenize_groups.tokenize_group(
        prompt, [answer], features={}, max_length=max_length, **given
      )
      expected = tokenize_rows.tokenize_row(
        TextRow(prompt, answer), max_length=max_length, **given
      )
      tokens = np.concatenate([group.prompts[0], group.responses[0]])
      np.testing.assert_array_equal(tokens, expected.tokens)
      assert group.response_masks[0].sum() == expected.response_mask.sum()
      assert group.num_truncated == expected.num_truncated


@pytest.mark.parametrize("num_system", [0, 12])
@pytest.mark.parametrize("num_user", [0, 5, 60])
@pytest.mark.parametrize("num_answer", [1, 25, 80])
def test_one_exchange_is_cut_as_for_training(num_system, num_user, num_answer):
  prompt = (Message("user", "u" * num_user),)
  if num_system:
    prompt = (Message("system", "s" * num_system), *prompt)
  answer = said("a" * num_answer)
  for max_length in (29, 30, 41, 60, 61, 90, 200):
    group = tokenize(prompt, [answer], max_length)
    expected = tokenize_rows.tokenize_row(
      ChatRow((*prompt, *answer)),
      template="plain",
      tokenizer=Letters(),  # pyright: ignore[reportArgumentType]
      max_length=max_length,
    )
    tokens = np.concatenate([group.prompts[0], group.responses[0]])
    np.testing.assert_array_equal(tokens, expected.tokens)
    assert group.num_truncated == expected.num_truncated


def test_the_prompt_is_cut_once_for_the_longest_answer():
  # Headers of 18 letters; 50 of question; answers of 1 + 28 + 1 and 1 + 2 + 1.
  prompt = (Message("user", "u" * 50),)
  kept, answers, num_truncated = read(
    prompt, [said("a" * 28), said("bb")], max_length=60
  )
  # The longest takes half of 60; the prompt is cut by 38 for either.
  assert kept == f"[User: {'u' * 12}\nAssistant:"
  assert answers == [" " + "a" * 28 + "]", " bb]"]
  assert num_truncated == 2 * 38
  # 40 letters of answer more: its end goes, 11 and EOS, the other's does not.
  kept, answers, num_truncated = read(
    prompt, [said("bb"), said("a" * 40)], max_length=60
  )
  assert kept == f"[User: {'u' * 12}\nAssistant:"
  assert answers == [" bb]", " " + "a" * 29]
  assert num_truncated == 2 * 38 + 12


def test_oldest_exchanges_go_first_and_the_system_message_stays():
  turns = [Message("system", "S")]
  for question in "abc":
    turns += [Message("user", question), Message("assistant", "ok")]
  prompt = (*turns, Message("user", "d" * 9))
  answers = [said("yes"), said("n")]

  def text(*questions):
    exchanges = "".join(f"User: {q}\nAssistant: ok]\n" for q in questions)
    return f"[System: S\n{exchanges}User: {'d' * 9}\nAssistant:"

  full = len(text(*"abc"))
  for kept in ("abc", "bc", "c", ""):
    least = len(text(*kept)) + 5
    found = read(prompt, answers, max_length=least)
    assert found == (
      text(*kept),
      [" yes]", " n]"],
      2 * (full - len(text(*kept))),
    )
  # Then the end of the question, and then the system message.
  headers = len("[System: \nUser: \nAssistant:")
  found = read(prompt, answers, max_length=headers + 3 + 5)
  assert found[0] == "[System: S\nUser: dd\nAssistant:"
  found = read(prompt, answers, max_length=headers + 5)
  assert found[0] == "[System: \nUser: \nAssistant:"
  assert found[1] == [" yes]", " n]"]


def test_raw_text_gives_way_at_its_start():
  assert read("abcdef", ["xyz", "x"], 8) == ("[def", ["xyz]", "x]"], 6)
  assert read("abcdef", ["xyz", "x"], 7) == ("[def", ["xyz", "x]"], 7)
  assert read("abcdef", ["xyz", "x"], 2) == ("[", ["x", "x"], 12 + 3 + 1)
  assert read("ab", ["xyz"], 3, tokenizer=Letters(None)) == ("ab", ["x"], 3)


@every_template
def test_too_little_room_is_refused_with_the_least_that_does(loaded, template):
  given = dict(template=template, tokenizer=loaded["llama2_model"], features={})
  prompt, answers = (
    (Message("user", "a b " * 50),),
    [said("c " * 50), said("d")],
  )
  headers = len(
    tokenize_rows.tokenize_prompt(
      [Message("user", "")],
      template=template,
      tokenizer=loaded["llama2_model"],
    )
  )
  for max_length in (-1, 0, 1, headers):
    with pytest.raises(
      ValueError,
      match=rf"max_length={max_length} .*{template}.*max_length={headers + 1}\.",
    ):
      tokenize_groups.tokenize_group(
        prompt, answers, max_length=max_length, **given
      )
  group = tokenize_groups.tokenize_group(
    prompt, answers, max_length=headers + 1, **given
  )
  assert len(group.prompts[0]) == headers
  assert [len(answer) for answer in group.responses] == [1, 1]


def test_raw_text_without_room_is_refused():
  with pytest.raises(ValueError, match=r"max_length=1 .* need max_length=2"):
    tokenize("abc", ["xyz"], 1)


def test_a_prompt_that_an_answer_changes_is_refused(monkeypatch):
  real = tokenize_groups.encode

  def other(messages, *rest):
    encoded = real(messages, *rest)
    return encoded._replace(tokens=[99, *encoded.tokens[1:]])

  monkeypatch.setattr(tokenize_groups, "encode", other)
  with pytest.raises(ValueError, match="renders the prompt of a row diff"):
    tokenize((ASK,), [said("x")])


def words(rng: random.Random, longest: int) -> str:
  known = ["the", "quick", " fox", "\n", "é", "漢", "😀", "12", " ", "</s>"]
  return " ".join(rng.choices(known, k=rng.randint(0, longest)))


@every_template
@pytest.mark.parametrize("kind", KINDS)
def test_truncation_keeps_what_it_promises(loaded, template, kind):
  tokenizer = loaded[kind]
  rng = random.Random(f"{template} {kind}")
  given = dict(template=template, tokenizer=tokenizer, features={})
  for _ in range(12):
    prompt = (Message("user", words(rng, 40)),)
    for _ in range(rng.randint(0, 3)):
      before = Message("user", words(rng, 20))
      prompt = (before, Message("assistant", words(rng, 20)), *prompt)
    if rng.random() < 0.5:
      prompt = (Message("system", words(rng, 20)), *prompt)
    answers = [said(words(rng, 40)) for _ in range(rng.randint(1, 3))]
    full = tokenize_groups.tokenize_group(
      prompt, answers, max_length=99_999, **given
    )
    empty = [Message("user", "")]
    if prompt[0].role == "system":
      empty = [Message("system", ""), *empty]
    headers = len(
      tokenize_rows.tokenize_prompt(
        empty, template=template, tokenizer=tokenizer
      )
    )
    max_length = rng.randint(headers + 1, headers + 120)
    group = tokenize_groups.tokenize_group(
      prompt, answers, max_length=max_length, **given
    )
    kept = len(group.prompts[0])
    lengths = [len(answer) for answer in full.responses]
    assert group.num_truncated == full.num_tokens - group.num_tokens
    fits = len(full.prompts[0]) + max(lengths) <= max_length
    assert (group.num_truncated == 0) == fits
    for k, length in enumerate(lengths):
      left = len(group.responses[k])
      assert kept + left <= max_length and group.response_masks[k][0]
      assert left >= min(length, max_length // 2, max_length - headers)
      np.testing.assert_array_equal(
        group.responses[k], full.responses[k][:left]
      )
    # The header of the answer is whole.
    shown = tokenizer.decode(group.prompts[0], keep_special=True)
    whole = tokenizer.decode(full.prompts[0], keep_special=True)
    assert shown[-7:] == whole[-7:]
