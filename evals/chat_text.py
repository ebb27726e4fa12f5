# SPDX-License-Identifier: Apache-2.0
"""A conversation as one text, as programs pass it on that know only strings."""

import dataclasses
from collections.abc import Sequence

from ramjax.data import template_recognition, templates
from ramjax.data.rows import Message
from ramjax.evals.spelled_specials import SpelledTokenizer


def chat_text(
  messages: Sequence[Message],
  *,
  template: str,
  tokenizer: SpelledTokenizer,
  open_end: bool,
) -> str:
  """Renders a conversation, with special tokens by name.

  Args:
    messages: An optional system message, then user and assistant turns in
      alternation.
    template: One of `templates.TEMPLATE_NAMES`.
    tokenizer: Names BOS and EOS.
    open_end: Whether an answer is to follow: behind a user's turn the header of
      one, and behind an answer that is begun nothing.

  Returns:
    The text.

  Raises:
    ValueError: Unknown template, or turns out of order.
  """
  names = {
    "bos_token": tokenizer.name(tokenizer.bos_id) or "",
    "eos_token": tokenizer.name(tokenizer.eos_id) or "",
  }
  begun = bool(messages) and messages[-1].role == "assistant"
  if not open_end or not begun:
    return template_recognition.spell(messages, template, open_end, **names)
  answer = dataclasses.replace(messages[-1], supervised=True)
  spans = templates.render([*messages[:-1], answer], template=template)
  text = next(span.text for span in spans if span.supervised)
  prompt = template_recognition.spell(messages[:-1], template, True, **names)
  return prompt + _without_end(text, answer.content)


def _without_end(text: str, content: str) -> str:
  """A turn's text without what the template puts behind its content.

  Its own spaces are kept if the template keeps them, as transformers'
  `continue_final_message` has it.
  """
  core = content.strip()
  end = text.rindex(core) + len(core)
  spaces = content[len(content.rstrip()) :]
  return (
    text[: end + len(spaces)] if text[end:].startswith(spaces) else text[:end]
  )
