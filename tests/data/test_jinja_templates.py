# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.data.jinja_templates: Jinja and Python say the same."""

import random
from typing import Any

import pytest

from ramjax.data import jinja_templates, templates
from ramjax.data.jinja_sandbox import ChatTemplateError, JinjaTemplate
from ramjax.data.rows import Message
from ramjax.data.template_recognition import spell

TOKENS: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>"}
PIECES = (
  *("hello", " ", "\n", "\t", "\n\n### Input:\n", "é漢字😀", "\u00a0\u2003"),
  *("{{ 1 }}", "{% if %}", "<b>&amp;", "</s>", "<|eot_id|>", "'\"\\n", "x"),
)
NAMES = {"s": "system", "u": "user", "a": "assistant"}

every_template = pytest.mark.parametrize("name", templates.TEMPLATE_NAMES)


def conversations() -> list[list[Message]]:
  """Up to five turns, with and without a system message, of odd content."""
  rng = random.Random(0)
  found = []
  for _ in range(60):
    roles = ["user", "assistant"] * 3
    roles = roles[: rng.randint(1, 5)]
    if rng.random() < 0.5:
      roles.insert(0, "system")
    found.append(
      [
        Message(role, "".join(rng.choices(PIECES, k=rng.randint(0, 5))))
        for role in roles
      ]
    )
  return found


def as_given(messages):
  return [{"role": m.role, "content": m.content} for m in messages]


def test_every_template_has_its_jinja():
  assert tuple(sorted(jinja_templates.JINJA)) == templates.TEMPLATE_NAMES
  for name, text in jinja_templates.JINJA.items():
    assert jinja_templates.jinja_template(name) == text
  with pytest.raises(ValueError, match="known chat templates"):
    jinja_templates.jinja_template("none")


@every_template
def test_jinja_renders_what_python_renders(name):
  with JinjaTemplate(jinja_templates.JINJA[name]) as template:
    for messages in conversations():
      for add in sorted({False, messages[-1].role == "user"}):
        text = template.render(
          as_given(messages), add_generation_prompt=add, **TOKENS
        )
        assert text == spell(messages, name, add, **TOKENS)


@every_template
def test_jinja_refuses_what_python_refuses(name):
  with JinjaTemplate(jinja_templates.JINJA[name]) as template:
    for roles in ("", "s", "a", "uu", "suaa", "usa", "ss", "ut"):
      messages = [
        Message(NAMES.get(role, "tool"), "some text") for role in roles
      ]
      with pytest.raises(ValueError, match=r"was due|no user turn"):
        templates.render(messages, template=name)
      with pytest.raises(ChatTemplateError, match=r"alternate|no user turn"):
        template.render(
          as_given(messages), add_generation_prompt=False, **TOKENS
        )
    with pytest.raises(ChatTemplateError, match="ends with a user turn"):
      template.render(
        [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}],
        add_generation_prompt=True,
        **TOKENS,
      )


@pytest.mark.peers
@every_template
def test_transformers_renders_the_jinja_alike(name):
  chat = pytest.importorskip("transformers.utils.chat_template_utils")
  for messages in conversations()[:20]:
    add = messages[-1].role == "user"
    rendered, _ = chat.render_jinja_template(
      conversations=[as_given(messages)],
      chat_template=jinja_templates.JINJA[name],
      add_generation_prompt=add,
      **TOKENS,
    )
    assert rendered == [spell(messages, name, add, **TOKENS)]
