# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.data.tokenize_rows."""

import json
import random
import shutil

import numpy as np
import pytest
from tiny_letters import Letters

from ramjax.data import templates, tokenize_rows, tokenizers
from ramjax.data.rows import ChatRow, Message, TextRow

KINDS = ("llama3_json", "llama2_json", "llama2_model")
SYSTEM = Message("system", "Be brief.")
FIRST = (Message("user", "What is 2 + 2?"), Message("assistant", "4.", True))
SECOND = (Message("user", "And 3?"), Message("assistant", " It's 5! ", True))

HEADERS = {
  "alpaca": "\n\n### Response:",
  "chatml": "<|im_start|>assistant\n",
  "llama2": " [/INST]",
  "llama3": "<|start_header_id|>assistant<|end_header_id|>\n\n",
  "llama3_1": "<|start_header_id|>assistant<|end_header_id|>\n\n",
  "mistral": " [/INST]",
  "plain": "\nAssistant:",
}

every_template = pytest.mark.parametrize("template", templates.TEMPLATE_NAMES)


@pytest.fixture(scope="module")
def loaded(tokenizer_paths):
  return {
    kind: tokenizers.load_tokenizer(tokenizer_paths[kind]) for kind in KINDS
  }


def tokenize(row, max_length, template="plain"):
  """By letters: (text with BOS "[" and EOS "]", supervised text, num_truncated)."""
  letters = Letters()
  example = tokenize_rows.tokenize_row(
    row,
    template=template,
    tokenizer=letters,  # pyright: ignore[reportArgumentType]
    max_length=max_length,
  )
  assert example.tokens.dtype == np.int32
  assert example.response_mask.dtype == np.bool_
  assert example.tokens.shape == example.response_mask.shape
  assert len(example.tokens) <= max_length
  return (
    letters.read(example.tokens),
    letters.read(example.tokens[example.response_mask]),
    example.num_truncated,
  )


def test_conversation_by_hand():
  row = ChatRow((Message("user", "hi"), Message("assistant", "yes", True)))
  # BOS, "User: ", "hi\n", "Assistant:", " yes", EOS:
  # 1 + 6 + 3 + 10 + 4 + 1 = 25 tokens.
  text = "[User: hi\nAssistant: yes]"
  assert tokenize(row, 25) == (text, " yes]", 0)


def test_unsupervised_answers_are_not_trained_on():
  row = ChatRow(
    (
      Message("user", "a"),
      Message("assistant", "b"),
      Message("user", "c"),
      Message("assistant", "d", True),
      Message("user", "e"),
      Message("assistant", "f", True),
    )
  )
  assert tokenize(row, 999)[1] == " d] f]"


def test_oldest_exchanges_go_first_and_the_system_message_stays():
  def row(*questions):
    turns = [Message("system", "S")]
    for question in questions:
      turns += [Message("user", question), Message("assistant", "ok", True)]
    return ChatRow(tuple(turns))

  two, _, _ = tokenize(row("c", "d"), 999)
  one, _, _ = tokenize(row("d"), 999)
  four, supervised, _ = tokenize(row("a", "b", "c", "d"), 999)
  assert supervised == " ok] ok] ok] ok]"
  cut = tokenize(row("a", "b", "c", "d"), len(two))
  assert cut == (two, " ok] ok]", len(four) - len(two))
  cut = tokenize(row("a", "b", "c", "d"), len(two) - 1)
  assert cut == (one, " ok]", len(four) - len(one))


def test_what_follows_the_last_supervised_turn_goes_first():
  turns = (Message("user", "a"), Message("assistant", "b", True))
  tail = (Message("user", "c" * 50), Message("assistant", "d"))
  assert tokenize(ChatRow(turns + tail), 40) == (
    "[User: a\nAssistant: b]",
    " b]",
    len("\nUser: \nAssistant: d]") + 50,
  )


def long_row(num_system: int, num_user: int, num_answer: int) -> ChatRow:
  turns = [Message("user", "u" * num_user)]
  turns.append(Message("assistant", "a" * num_answer, True))
  if num_system:
    turns.insert(0, Message("system", "s" * num_system))
  return ChatRow(tuple(turns))


# The headers of an exchange are 18 tokens, "[User: ", "\n", "Assistant:"; those
# of a system message 9, "System: " and "\n". An answer starts with a space.
def exchange(user: str, answer: str) -> str:
  return f"[User: {user}\nAssistant:{answer}"


@pytest.mark.parametrize(
  ("lengths", "max_length", "kept"),
  [
    # Space, answer and EOS fit in the half of 60: the prompt gives, to 40 ...
    ((50, 18), 60, (22, " " + "a" * 18 + "]")),
    # ... and to 30.
    ((50, 28), 60, (12, " " + "a" * 28 + "]")),
    # One more, and the answer is cut to 30, losing its EOS.
    ((50, 29), 60, (12, " " + "a" * 29)),
    ((50, 99), 60, (12, " " + "a" * 29)),
    # The prompt is short already, 23: only the answer is cut, to 37.
    ((5, 99), 60, (5, " " + "a" * 36)),
    # It loses its EOS first.
    ((5, 36), 60, (5, " " + "a" * 36)),
    ((5, 35), 60, (5, " " + "a" * 35 + "]")),
    # Headers alone are more than half: the answer has the rest.
    ((50, 99), 20, (0, " a")),
    ((50, 1), 21, (0, " a]")),
    ((50, 0), 20, (0, " ]")),
    ((50, 0), 19, (0, " ")),
    # An odd length: the answer keeps 61 // 2.
    ((50, 99), 61, (13, " " + "a" * 29)),
  ],
)
def test_last_exchange_is_cut_by_hand(lengths, max_length, kept):
  num_user, answer = kept
  text = exchange("u" * num_user, answer)
  full = len(exchange("u" * lengths[0], " " + "a" * lengths[1] + "]"))
  row = long_row(0, *lengths)
  assert tokenize(row, max_length) == (text, answer, full - len(text))


def test_system_message_gives_after_the_user_turn():
  # 27 of headers and 6 of answer leave 17 of 50 to the system message.
  text, supervised, _ = tokenize(long_row(40, 40, 4), 50)
  assert supervised == " aaaa]"
  assert text == f"[System: {'s' * 17}\n" + exchange("", " aaaa]")[1:]
  # Ten more and the whole system message and ten of the user's fit.
  text, _, _ = tokenize(long_row(17, 40, 4), 60)
  assert text == f"[System: {'s' * 17}\n" + exchange("u" * 10, " aaaa]")[1:]


@pytest.mark.parametrize("max_length", [-1, 0, 1, 18])
def test_headers_that_do_not_fit_are_refused(max_length):
  with pytest.raises(
    ValueError,
    match=rf"max_length={max_length} .*'plain'.* need max_length=19\.",
  ):
    tokenize(long_row(0, 50, 50), max_length)
  with pytest.raises(ValueError, match=r"need max_length=28\."):
    tokenize(long_row(9, 50, 50), max_length)


def test_text_row_by_hand():
  row = TextRow("abc", "xyz")
  assert tokenize(row, 8) == ("[abcxyz]", "xyz]", 0)
  # The prompt gives way at its start, as long as the answer (here 4 tokens)
  # has less than max_length // 2: of 8, 4; of 7, 3.
  assert tokenize(TextRow("abcdef", "xyz"), 8) == ("[defxyz]", "xyz]", 3)
  assert tokenize(row, 7) == ("[abcxyz", "xyz", 1)
  assert tokenize(row, 6) == ("[bcxyz", "xyz", 2)
  assert tokenize(row, 5) == ("[bcxy", "xy", 3)
  assert tokenize(row, 4) == ("[cxy", "xy", 4)
  assert tokenize(row, 3) == ("[cx", "x", 5)
  assert tokenize(row, 2) == ("[x", "x", 6)
  with pytest.raises(ValueError, match=r"max_length=1 .* need max_length=2"):
    tokenize(row, 1)


def test_text_row_without_prompt_or_completion():
  assert tokenize(TextRow("", "xyz"), 9) == ("[xyz]", "xyz]", 0)
  assert tokenize(TextRow("abc", ""), 9) == ("[abc]", "]", 0)
  assert tokenize(TextRow("abc", ""), 3) == ("[c]", "]", 2)


def test_row_that_supervises_nothing_is_refused():
  row = ChatRow((Message("user", "a"), Message("assistant", "b")))
  with pytest.raises(ValueError, match="supervises no token"):
    tokenize(row, 99)


@every_template
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", ["4.", " 4", "\n\n4", "", "</s>"])
def test_prompt_is_a_token_prefix(loaded, template, kind, answer):
  tokenizer = loaded[kind]
  messages = (SYSTEM, *FIRST, *SECOND[:1], Message("assistant", answer, True))
  full = tokenize_rows.tokenize_row(
    ChatRow(messages),
    template=template,
    tokenizer=tokenizer,
    max_length=10_000,
  )
  for num_messages in (2, 4):
    prompt = tokenize_rows.tokenize_prompt(
      messages[:num_messages], template=template, tokenizer=tokenizer
    )
    assert prompt.dtype == np.int32
    n = len(prompt)
    assert full.tokens[:n].tolist() == prompt.tolist()
    # Up to here nothing was the answer, and from here on the answer is.
    assert not full.response_mask[n - 1] and full.response_mask[n]
  assert full.num_truncated == 0


@every_template
def test_history_is_encoded_alike_whether_trained_on_or_not(loaded, template):
  quiet = tuple(Message(m.role, m.content) for m in FIRST)
  tokens = [
    tokenize_rows.tokenize_prompt(
      (*history, SECOND[0]),
      template=template,
      tokenizer=loaded["llama2_model"],
    ).tolist()
    for history in (FIRST, quiet)
  ]
  assert tokens[0] == tokens[1]


@every_template
@pytest.mark.parametrize("kind", KINDS)
def test_supervised_tokens_decode_to_the_answer_and_its_end(
  loaded, template, kind
):
  tokenizer = loaded[kind]
  example = tokenize_rows.tokenize_row(
    ChatRow((SYSTEM, *FIRST)),
    template=template,
    tokenizer=tokenizer,
    max_length=999,
  )
  supervised = example.tokens[example.response_mask]
  assert tokenizer.decode(supervised).strip() == "4."
  end = templates.end_of_turn_tokens(template)[0]
  assert supervised[-1] == tokenizer.special_id(end)


@pytest.mark.parametrize("kind", ["llama2_json", "llama2_model"])
def test_every_bos_is_followed_by_a_first_word(loaded, kind):
  tokenizer = loaded[kind]
  row = ChatRow((*FIRST, *SECOND))
  example = tokenize_rows.tokenize_row(
    row, template="llama2", tokenizer=tokenizer, max_length=999
  )
  expected = []
  for question, answer in (("What is 2 + 2?", "4."), ("And 3?", "It's 5!")):
    expected += [tokenizer.bos_id]
    expected += tokenizer.encode(f"[INST] {question} [/INST]", at_start=True)
    expected += tokenizer.encode(f" {answer} ", at_start=False)
    expected += [tokenizer.eos_id]
  assert example.tokens.tolist() == expected
  # The second exchange's first word has its space too.
  assert tokenizer.decode(expected, keep_special=True) == (
    "<s>[INST] What is 2 + 2? [/INST] 4. </s><s>[INST] And 3? [/INST] It's 5!"
    " </s>"
  )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prompt", ["Hel", ""])
def test_completion_continues_its_prompt(loaded, kind, prompt):
  tokenizer = loaded[kind]
  example = tokenize_rows.tokenize_row(
    TextRow(prompt, "lo there"),
    template="plain",
    tokenizer=tokenizer,
    max_length=99,
  )
  assert tokenizer.decode(example.tokens) == prompt + "lo there"
  expected = tokenizer.encode("lo there", at_start=not prompt)
  supervised = example.tokens[example.response_mask].tolist()
  assert supervised == [*expected, tokenizer.eos_id]


def test_mistral_ids_are_those_of_its_pieces(loaded):
  # As Mistral's own code encodes them: every turn on its own, each with the
  # space of a first word.
  tokenizer = loaded["llama2_model"]
  example = tokenize_rows.tokenize_row(
    ChatRow((*FIRST, SECOND[0], Message("assistant", "5.", True))),
    template="mistral",
    tokenizer=tokenizer,
    max_length=999,
  )
  expected = [tokenizer.bos_id]
  for question, answer in (("What is 2 + 2?", "4."), ("And 3?", "5.")):
    for text in (f"[INST] {question} [/INST]", answer):
      expected += tokenizer.encode(text, at_start=True)
    expected.append(tokenizer.eos_id)
  assert example.tokens.tolist() == expected


def test_tokenizer_without_bos(tokenizer_paths, tmp_path):
  # As Qwen2's: null in the file beside it.
  shutil.copy(tokenizer_paths["llama3_json"], tmp_path / "tokenizer.json")
  (tmp_path / "tokenizer_config.json").write_text(
    json.dumps({"bos_token": None, "eos_token": "<|im_end|>"})
  )
  tokenizer = tokenizers.load_tokenizer(tmp_path)
  given = {"tokenizer": tokenizer, "max_length": 99}
  assert tokenizer.bos_id is None
  example = tokenize_rows.tokenize_row(
    ChatRow(FIRST), template="chatml", **given
  )
  start = tokenizer.special_id("<|im_start|>")
  newline = tokenizer.encode("\n", at_start=False)
  answer = [*tokenizer.encode("4.", at_start=False), tokenizer.eos_id]
  assert example.tokens.tolist() == [
    start,
    *tokenizer.encode("user\nWhat is 2 + 2?", at_start=False),
    tokenizer.eos_id,
    *newline,
    start,
    *tokenizer.encode("assistant\n", at_start=False),
    *answer,
    *newline,
  ]
  assert example.tokens[example.response_mask].tolist() == answer
  # Raw text starts at once.
  example = tokenize_rows.tokenize_row(
    TextRow("What is", " 2"), template="plain", **given
  )
  assert example.tokens.tolist() == [
    *tokenizer.encode("What is", at_start=True),
    *tokenizer.encode(" 2", at_start=False),
    tokenizer.eos_id,
  ]
  with pytest.raises(ValueError, match=r"no special token 'bos', which temp"):
    tokenize_rows.tokenize_row(ChatRow(FIRST), template="plain", **given)


def random_words(rng: random.Random, longest: int) -> str:
  words = [
    "the",
    "quick",
    " fox",
    "\n",
    "é",
    "漢",
    "😀",
    "12",
    " ",
    "</s>",
    "<s>",
  ]
  return " ".join(rng.choices(words, k=rng.randint(0, longest)))


def random_row(rng: random.Random) -> ChatRow:
  turns = (
    [Message("system", random_words(rng, 30))] if rng.random() < 0.5 else []
  )
  for _ in range(rng.randint(1, 4)):
    turns.append(Message("user", random_words(rng, 40)))
    answer = random_words(rng, 40)
    turns.append(Message("assistant", answer, rng.random() < 0.7))
  supervised = any(message.supervised for message in turns)
  if not supervised:
    turns[-1] = Message("assistant", turns[-1].content, True)
  return ChatRow(tuple(turns))


@every_template
@pytest.mark.parametrize("kind", KINDS)
def test_truncation_keeps_what_it_promises(loaded, template, kind):
  tokenizer = loaded[kind]
  rng = random.Random(f"{template} {kind}")
  given = {"template": template, "tokenizer": tokenizer}
  empty = [Message("user", "")]
  with_system = [Message("system", ""), *empty]
  for _ in range(25):
    row = random_row(rng)
    full = tokenize_rows.tokenize_row(row, max_length=100_000, **given)
    has_system = row.messages[0].role == "system"
    headers = tokenize_rows.tokenize_prompt(
      with_system if has_system else empty, **given
    )
    max_length = rng.randint(len(headers) + 1, len(headers) + 150)
    example = tokenize_rows.tokenize_row(row, max_length=max_length, **given)
    assert len(example.tokens) <= max_length
    assert example.num_truncated == len(full.tokens) - len(example.tokens)
    assert (example.num_truncated == 0) == (len(full.tokens) <= max_length)
    assert example.response_mask.any()
    # BOS: first, and once; in Llama 2's format once an exchange; in ChatML
    # never.
    bos_places = np.flatnonzero(example.tokens == tokenizer.bos_id).tolist()
    if template == "llama2":
      assert bos_places[0] == 0
    else:
      assert bos_places == ([] if template == "chatml" else [0])
    # The header of the first supervised answer is whole.
    start = int(np.flatnonzero(example.response_mask)[0])
    prompt = tokenizer.decode(example.tokens[:start], keep_special=True)
    assert prompt.endswith(HEADERS[template])
    # The last supervised answer has its due.
    unsupervised = np.flatnonzero(~full.response_mask[: last_supervised(full)])
    num_answer = last_supervised(full) - unsupervised[-1] - 1
    due = min(num_answer, max_length // 2, max_length - len(headers))
    assert example.response_mask.sum() >= due


def last_supervised(example: tokenize_rows.Example) -> int:
  """One after the last supervised token."""
  return int(np.flatnonzero(example.response_mask)[-1]) + 1


@every_template
def test_empty_headers_plus_one_token_is_the_least(loaded, template):
  tokenizer = loaded["llama2_model"]
  given = {"template": template, "tokenizer": tokenizer}
  headers = len(tokenize_rows.tokenize_prompt([Message("user", "")], **given))
  row = ChatRow(
    (Message("user", "a b " * 99), Message("assistant", "c d " * 99, True))
  )
  example = tokenize_rows.tokenize_row(row, max_length=headers + 1, **given)
  assert len(example.tokens) == headers + 1
  assert example.response_mask.tolist() == [False] * headers + [True]
  with pytest.raises(ValueError, match=f"max_length={headers + 1}"):
    tokenize_rows.tokenize_row(row, max_length=headers, **given)
