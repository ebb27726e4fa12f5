# SPDX-License-Identifier: Apache-2.0
"""Finds which template of ours a checkpoint's own chat template is.

A checkpoint says how it wants its conversations written in a Jinja program.
Instead of trusting that program with every row, it is asked once, in the
sandbox, to write a few conversations; the template of ours that writes the same
is then used in its place.
"""

from collections.abc import Sequence

from ramjax.data import templates
from ramjax.data.jinja_sandbox import (
  ChatTemplateError,
  ChatTemplateLimitError,
  JinjaTemplate,
)
from ramjax.data.rows import Message

_SYSTEM = Message("system", " Be\n brief. ")
_TURNS = (
  Message("user", "\n Translate.\n\n### Input:\nHallo é漢😀 "),
  Message("assistant", " Hello \n"),
  Message("user", " Now\tagain? "),
  Message("assistant", "Hello <again>.\n"),
)
_PROBES = (
  _TURNS[:1],
  _TURNS[2:3],
  _TURNS[:2],
  _TURNS[:3],
  _TURNS,
  (_SYSTEM, *_TURNS[:1]),
  (_SYSTEM, *_TURNS),
)
# The clock of a template that reads one; `llama3_1` names the same day.
_VARIABLES = {"date_string": "26 Jul 2024"}


def recognise(text: str, *, bos_token: str, eos_token: str) -> str | None:
  """The name of the template of ours that a chat template equals.

  Equal means: the same text for every probe that both accept, a conversation
  of several turns among them, with and without the header of an answer to
  come. A template may refuse system messages.

  A space right after BOS counts as none: some chat templates write the space
  that ours leave to the tokenizer.

  Args:
    text: The chat template, in Jinja.
    bos_token: The name of the token that starts a sequence, or "".
    eos_token: The name of the token that ends a sequence, or "".

  Returns:
    One of `templates.TEMPLATE_NAMES`, or None where none is equal.

  Raises:
    ChatTemplateLimitError: The template uses more than it may.
  """
  tokens = {"bos_token": bos_token, "eos_token": eos_token}
  renderings: list[tuple[tuple[Message, ...], bool, str]] = []
  with JinjaTemplate(text) as theirs:
    for probe in _PROBES:
      messages = [{"role": m.role, "content": m.content} for m in probe]
      for add in sorted({False, probe[-1].role == "user"}):
        try:
          rendering = theirs.render(
            messages,
            add_generation_prompt=add,
            variables=_VARIABLES,
            **tokens,
          )
        except ChatTemplateLimitError:
          raise
        except ChatTemplateError:
          continue
        renderings.append(
          (probe, add, _without_first_space(rendering, bos_token))
        )
  if not any(len(probe) > 2 for probe, _, _ in renderings):
    return None
  for name in templates.TEMPLATE_NAMES:
    if all(
      rendering
      == _without_first_space(spell(probe, name, add, **tokens), bos_token)
      for probe, add, rendering in renderings
    ):
      return name
  return None


def spell(
  messages: Sequence[Message],
  template: str,
  add_generation_prompt: bool,
  *,
  bos_token: str,
  eos_token: str,
) -> str:
  """A rendering of ours as one string, special tokens by name."""
  names = {"bos": bos_token, "eos": eos_token}
  spans = templates.render(
    messages, template=template, add_generation_prompt=add_generation_prompt
  )
  return "".join(
    names.get(span.text, span.text) if span.special else span.text
    for span in spans
  )


def _without_first_space(text: str, bos_token: str) -> str:
  return text.replace(f"{bos_token} ", bos_token) if bos_token else text
