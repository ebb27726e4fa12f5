# SPDX-License-Identifier: Apache-2.0
"""A conversation as one text: closed, open for an answer, and with one begun."""

import pytest

from ramjax.data import template_recognition, templates, train_tokenizer
from ramjax.data.rows import Message
from ramjax.data.tokenizers import load_tokenizer
from ramjax.evals.chat_text import chat_text
from ramjax.evals.spelled_specials import SpelledTokenizer

_CHAT = (
  Message("system", "Be brief."),
  Message("user", "word 3 and"),
  Message("assistant", "more"),
  Message("user", "word 5 "),
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  path = tmp_path_factory.mktemp("chat") / "tokenizer.model"
  texts = [f"word {i} and more of it" for i in range(100)]
  train_tokenizer.train_sentencepiece(texts, path=path, vocab_size=290)
  return SpelledTokenizer(load_tokenizer(path))


@pytest.mark.parametrize("template", templates.TEMPLATE_NAMES)
def test_it_is_spelled_as_everywhere_else(tokenizer, template):
  names = {"bos_token": "<s>", "eos_token": "</s>"}
  for end, open_end in ((4, True), (2, True), (3, False), (4, False)):
    assert chat_text(
      _CHAT[:end], template=template, tokenizer=tokenizer, open_end=open_end
    ) == template_recognition.spell(_CHAT[:end], template, open_end, **names)


@pytest.mark.parametrize(
  "template, content, expected",
  [
    ("plain", "It is", "Assistant: It is"),
    ("plain", "It is  ", "Assistant: It is  "),
    ("llama2", " It is ", "[/INST] It is "),
    ("llama2", "It is", "[/INST] It is"),
    ("chatml", "It is", "assistant\nIt is"),
    ("llama3", "It is\n", "<|end_header_id|>\n\nIt is"),
  ],
)
def test_an_answer_that_is_begun_stays_open(
  tokenizer, template, content, expected
):
  def text(messages):
    return chat_text(
      messages, template=template, tokenizer=tokenizer, open_end=True
    )

  begun = text([_CHAT[1], Message("assistant", content)])
  assert begun.endswith(expected)
  assert begun.startswith(text(_CHAT[1:2]))


def test_turns_out_of_order_are_refused(tokenizer):
  with pytest.raises(ValueError, match="alternation"):
    chat_text(_CHAT[2:], template="plain", tokenizer=tokenizer, open_end=True)
