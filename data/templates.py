# SPDX-License-Identifier: Apache-2.0
"""Chat templates: how a conversation becomes text and special tokens.

A template is a plain Python function chosen by name, not a Jinja program: it
cannot be supplied by a stranger's file, and it says which parts are special
tokens and which are supervised instead of leaving both to be guessed from a
string.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ramjax.data.rows import Message


class Span(NamedTuple):
  """The unit of tokenisation: no token ever crosses the edge of a span.

  Attributes:
    text: Ordinary text, never parsed for special tokens; or, where `special`,
      the name of one special token: literal ("<|eot_id|>") or one of the
      symbolic "bos" and "eos", which the tokenizer resolves.
    special: Whether `text` names a special token.
    supervised: Whether the span's tokens are trained on.
  """

  text: str
  special: bool = False
  supervised: bool = False


_BOS = Span("bos", special=True)


def _answer(text: str, end_of_turn: str, supervised: bool) -> Iterator[Span]:
  """The content of an assistant turn, and the token that ends it.

  The content is a span of its own whether supervised or not: at generation
  time, too, it was sampled after the header's last token.
  """
  yield Span(text, supervised=supervised)
  yield Span(end_of_turn, special=True, supervised=supervised)


def _llama2(
  messages: Sequence[Message], add_generation_prompt: bool
) -> Iterator[Span]:
  """Llama 2 Chat: each exchange is a sequence of its own, BOS to EOS.

  https://github.com/meta-llama/llama/blob/main/llama/generation.py
  The prompt ends at "[/INST]" with or without `add_generation_prompt`.
  """
  del add_generation_prompt
  system = ""
  for message in messages:
    if message.role == "system":
      system = f"<<SYS>>\n{message.content}\n<</SYS>>\n\n"
    elif message.role == "user":
      yield _BOS
      yield Span(f"[INST] {(system + message.content).strip()} [/INST]")
      system = ""
    else:
      text = f" {message.content.strip()} "
      yield from _answer(text, "eos", message.supervised)


def _llama3_header(role: str, content: str = "") -> Iterator[Span]:
  yield Span("<|start_header_id|>", special=True)
  yield Span(role)
  yield Span("<|end_header_id|>", special=True)
  yield Span("\n\n" + content)


def _llama3(
  messages: Sequence[Message], add_generation_prompt: bool
) -> Iterator[Span]:
  """Llama 3 Instruct (8B and 70B of April 2024).

  https://www.llama.com/docs/model-cards-and-prompt-formats/meta-llama-3/
  """
  yield _BOS
  for message in messages:
    content = message.content.strip()
    if message.role == "assistant":
      yield from _llama3_header("assistant")
      yield from _answer(content, "<|eot_id|>", message.supervised)
    else:
      yield from _llama3_header(message.role, content)
      yield Span("<|eot_id|>", special=True)
  if add_generation_prompt:
    yield from _llama3_header("assistant")


# The date that the official template falls back on. A template that read the
# clock would render a row differently tomorrow.
_LLAMA3_1_DATES = (
  "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
)


def _llama3_1(
  messages: Sequence[Message], add_generation_prompt: bool
) -> Iterator[Span]:
  """Llama 3.1, 3.2 and 3.3 Instruct without tools: a system turn, always.

  https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1/
  """
  system = ""
  if messages and messages[0].role == "system":
    system, messages = messages[0].content.strip(), messages[1:]
  # The dates end in two newlines, which strip() would take from an empty
  # system turn; so the turn is rendered here and not by `_llama3`.
  yield _BOS
  yield from _llama3_header("system", _LLAMA3_1_DATES + system)
  yield Span("<|eot_id|>", special=True)
  rest = _llama3(messages, add_generation_prompt)
  next(rest)  # Its BOS.
  yield from rest


_ALPACA_PREAMBLE = (
  "Below is an instruction that describes a task. Write a response that"
  " appropriately completes the request.\n\n"
)
_ALPACA_PREAMBLE_INPUT = (
  "Below is an instruction that describes a task, paired with an input that"
  " provides further context. Write a response that appropriately completes"
  " the request.\n\n"
)
_ALPACA_INPUT = "\n\n### Input:\n"


def _alpaca(
  messages: Sequence[Message], add_generation_prompt: bool
) -> Iterator[Span]:
  r"""Stanford Alpaca's two prompts; later turns repeat the two headings.

  https://github.com/tatsu-lab/stanford_alpaca/blob/main/train.py
  An instruction with an input is written "instruction\n\n### Input:\ninput".
  A system message takes the place of the preamble. Nothing is stripped.
  """
  yield _BOS
  before = None  # What precedes the next "### Instruction:".
  text = ""
  for message in messages:
    if message.role == "system":
      before = f"{message.content}\n\n" if message.content else ""
    elif message.role == "user":
      if before is None:
        has_input = _ALPACA_INPUT in message.content
        before = _ALPACA_PREAMBLE_INPUT if has_input else _ALPACA_PREAMBLE
      text = f"{before}### Instruction:\n{message.content}\n\n"
    else:
      yield Span(f"{text}### Response:")
      yield from _answer(message.content, "eos", message.supervised)
      before, text = "\n\n", ""
  if add_generation_prompt:
    text += "### Response:"
  if text:
    yield Span(text)


def _plain(
  messages: Sequence[Message], add_generation_prompt: bool
) -> Iterator[Span]:
  """Ours, for models trained from scratch: only BOS and EOS are special.

  Every turn follows its heading after one space, so that a word at the start
  of an answer is the same token as inside a sentence: a small vocabulary has
  room for one of the two. Nothing is stripped.
  """
  yield _BOS
  text = ""
  for message in messages:
    if message.role == "assistant":
      yield Span(f"{text}Assistant:")
      yield from _answer(f" {message.content}", "eos", message.supervised)
      text = "\n"
    else:
      text += f"{message.role.capitalize()}: {message.content}\n"
  if add_generation_prompt:
    text += "Assistant:"
  if messages and messages[-1].role != "assistant":
    yield Span(text)


def _chatml(
  messages: Sequence[Message], add_generation_prompt: bool
) -> Iterator[Span]:
  """ChatML, as Qwen2 has it: no BOS, and a newline after every turn.

  https://qwen.readthedocs.io/en/latest/getting_started/concepts.html
  Qwen2's own template puts a default system message before a conversation
  that has none; this one does not. Nothing is stripped.
  """
  for message in messages:
    yield Span("<|im_start|>", special=True)
    if message.role == "assistant":
      yield Span("assistant\n")
      yield from _answer(message.content, "<|im_end|>", message.supervised)
    else:
      yield Span(f"{message.role}\n{message.content}")
      yield Span("<|im_end|>", special=True)
    yield Span("\n")
  if add_generation_prompt:
    yield Span("<|im_start|>", special=True)
    yield Span("assistant\n")


def _mistral(
  messages: Sequence[Message], add_generation_prompt: bool
) -> Iterator[Span]:
  """Mistral Instruct v0.1 and v0.2, the format that Mistral calls V1.

  https://docs.mistral.ai/cookbook/concept-deep-dive-tokenization-templates
  A system message stands before the first user turn's text. The space that
  the page shows between BOS and "[INST]" is the one that the tokenizer puts
  before the first word, so none is written here. Nothing is stripped. The
  prompt ends at "[/INST]" with or without `add_generation_prompt`.
  """
  del add_generation_prompt
  yield _BOS
  before = "[INST] "
  for message in messages:
    if message.role == "system":
      before += f"{message.content}\n\n"
    elif message.role == "user":
      yield Span(f"{before}{message.content} [/INST]")
      before = " [INST] "
    else:
      yield from _answer(f" {message.content}", "eos", message.supervised)


class _Template(NamedTuple):
  spans: Callable[[Sequence[Message], bool], Iterator[Span]]
  end_of_turn: tuple[str, ...]


# Llama 3's pretraining text ended in <|end_of_text|>, and Qwen2's in
# <|endoftext|>, which their chat models still emit now and then: their published
# settings stop at both.
_TEMPLATES = {
  "alpaca": _Template(_alpaca, ("eos",)),
  "chatml": _Template(_chatml, ("<|im_end|>", "eos")),
  "llama2": _Template(_llama2, ("eos",)),
  "llama3": _Template(_llama3, ("<|eot_id|>", "eos")),
  "llama3_1": _Template(_llama3_1, ("<|eot_id|>", "eos")),
  "mistral": _Template(_mistral, ("eos",)),
  "plain": _Template(_plain, ("eos",)),
}

TEMPLATE_NAMES = tuple(sorted(_TEMPLATES))


def _template(name: str) -> _Template:
  if name not in _TEMPLATES:
    raise ValueError(
      f"template={name!r} is not one of the known chat templates:"
      f" {', '.join(TEMPLATE_NAMES)}."
    )
  return _TEMPLATES[name]


def _check_roles(
  messages: Sequence[Message], add_generation_prompt: bool
) -> None:
  """Refuses what some template cannot say: turns out of order."""
  turns = (
    messages[1:] if messages and messages[0].role == "system" else messages
  )
  for index, message in enumerate(turns):
    expected = ("user", "assistant")[index % 2]
    if message.role != expected:
      raise ValueError(
        f"messages[{len(messages) - len(turns) + index}] has"
        f" role={message.role!r} where {expected!r} was due: a conversation is"
        " one optional system message, then user and assistant turns in"
        " alternation, user first. Join neighbouring turns of one role."
      )
    if message.supervised and message.role != "assistant":
      raise ValueError(
        f"a message with role={message.role!r} is supervised=True: only"
        " assistant turns are trained on."
      )
  if not turns:
    raise ValueError("messages holds no user turn: there is nothing to render.")
  if add_generation_prompt and turns[-1].role != "user":
    raise ValueError(
      f"add_generation_prompt=True, but the last message has"
      f" role={turns[-1].role!r}: a prompt ends with a user turn."
    )


def render(
  messages: Sequence[Message],
  *,
  template: str,
  add_generation_prompt: bool = False,
) -> list[Span]:
  """Renders a conversation.

  BOS comes first and nowhere else; except in `llama2`, whose published format
  starts every exchange with one, and `chatml`, which has none. Supervised are the content of each
  supervised assistant turn and the token that ends it; never a header.

  Args:
    messages: An optional system message, then user and assistant turns in
      alternation.
    template: One of `TEMPLATE_NAMES`.
    add_generation_prompt: Whether to end with the header of an assistant turn,
      ready for its content; the last message must be the user's.

  Returns:
    The spans. For a conversation ending with an assistant turn, the first of
    them are exactly the prompt, `render(messages[:-1],
    add_generation_prompt=True)`: checked here, on every call.

  Raises:
    ValueError: Unknown template, or turns out of order.
    RuntimeError: A template whose prompt is not a prefix.
  """
  function = _template(template).spans
  _check_roles(messages, add_generation_prompt)
  spans = list(function(messages, add_generation_prompt))
  if messages[-1].role == "assistant":
    prompt = list(function(messages[:-1], True))
    if spans[: len(prompt)] != prompt:
      raise RuntimeError(
        f"template={template!r} is at fault: the prompt it renders for"
        " generation is not how its rendering of the whole conversation"
        " begins, so a model would be trained on prompts it never sees."
      )
  return spans


def end_of_turn_tokens(template: str) -> tuple[str, ...]:
  """The names of the special tokens at which generation stops."""
  return _template(template).end_of_turn


_PROBE = (
  Message("system", " Be brief. "),
  Message("user", " Translate.\n\n### Input:\nHallo "),
  Message("assistant", " Hello \n"),
  Message("user", "Now\tagain? "),
  Message("assistant", "Hello.", supervised=True),
)


@functools.cache
def template_digest(template: str) -> str:
  """The SHA-256 of what the template does to fixed probe conversations.

  It changes when the template's behaviour does, and not when its source is
  merely rearranged.
  """
  renderings = [
    render(_PROBE, template=template),
    render(_PROBE[1:], template=template),
    render(_PROBE[1:4], template=template, add_generation_prompt=True),
    render(_PROBE[3:], template=template),
    end_of_turn_tokens(template),
  ]
  return hashlib.sha256(json.dumps(renderings).encode()).hexdigest()
