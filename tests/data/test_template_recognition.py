# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.data.template_recognition."""

import pathlib
from typing import Any

import pytest

from ramjax.data import jinja_templates, template_recognition, templates
from ramjax.data.jinja_sandbox import ChatTemplateLimitError, JinjaTemplate
from ramjax.data.rows import Message

TOKENS: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>"}

# In the words of others: what checkpoints carry, written out anew.
CHATML = (
  "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
  "{{ m['content'] }}<|im_end|>\n{% endfor %}"
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MISTRAL = """\
{{ bos_token }}{% for m in messages %}
{% if m.role == 'system' %}{{ raise_exception('no system messages') }}{% endif %}
{% if m.role == 'user' %}{{ ' [INST] ' + m.content + ' [/INST]' }}
{%- else %}{{ ' ' + m.content + eos_token }}{% endif %}
{% endfor %}"""


def recognise(text: str) -> str | None:
  return template_recognition.recognise(text, **TOKENS)


@pytest.mark.parametrize("name", templates.TEMPLATE_NAMES)
def test_our_own_are_recognised(name):
  assert recognise(jinja_templates.JINJA[name]) == name


def test_template_without_bos_is_told_from_one_with():
  text = jinja_templates.JINJA["chatml"]
  assert (
    template_recognition.recognise(text, bos_token="", eos_token="<|im_end|>")
    == "chatml"
  )
  assert recognise("{{ bos_token }}" + text) is None


def test_chatml_in_other_words():
  # A raw newline before a tag would be trimmed; so it is written inside one.
  text = CHATML.replace("\n", "{{ '\\n' }}")
  assert recognise(text) == "chatml"
  assert recognise(text.replace("|>assistant", "|>bot")) is None
  # Qwen2's own has a system message for conversations that have none.
  default = "{% if messages[0].role != 'system' %}You are{% endif %}"
  assert recognise(default + text) is None
  assert recognise(text.replace("m['content']", "m['content'].strip()")) is None


def test_template_that_refuses_system_messages_is_compared_on_the_rest():
  text = "".join(line for line in MISTRAL.splitlines())
  assert recognise(text) == "mistral"
  # It writes the first word's space; one more is another template.
  assert recognise(text.replace("' [INST] '", "'  [INST] '")) is None


@pytest.mark.parametrize(
  "text",
  [
    "",
    "{% if %}",
    "{{ raise_exception('never') }}",
    # Right, but for conversations of one turn alone.
    "{% if messages | length > 1 %}{{ raise_exception('one turn') }}{% endif %}"
    + CHATML.replace("\n", "{{ '\\n' }}"),
    "{{ messages }}",
  ],
)
def test_others_are_not_recognised(text):
  assert recognise(text) is None


def test_limits_are_passed_on():
  with pytest.raises(ChatTemplateLimitError, match="memory"):
    recognise("{{ 'a' * 10 ** 10 }}")


def test_clock_is_that_of_llama3_1():
  text = jinja_templates.JINJA["llama3_1"]
  assert "26 Jul 2024" in text
  clock = "{{- date_string or strftime_now('%d %b %Y') -}}"
  assert recognise(text.replace("26 Jul 2024", f"' -}}}}{clock}{{{{- '")) == (
    "llama3_1"
  )


def test_spelling_by_hand():
  messages = [Message("user", "hi"), Message("assistant", "yes")]
  assert (
    template_recognition.spell(messages, "plain", False, **TOKENS)
    == "<s>User: hi\nAssistant: yes</s>"
  )


@pytest.mark.peers
def test_templates_that_trl_ships_are_recognised():
  trl = pytest.importorskip("trl")
  folder = pathlib.Path(trl.__path__[0], "chat_templates")
  for file, expected in {
    "llama3": "llama3",
    "llama3_training": "llama3",
    "llama3_1": "llama3_1",
    "llama3_2": "llama3_1",
    "qwen3": None,
    "gemma": None,
    "phi3": None,
  }.items():
    text = (folder / f"{file}.jinja").read_text()
    assert recognise(text) == expected, file


@pytest.mark.peers
def test_chatml_is_what_qwen_writes_after_a_system_message():
  trl = pytest.importorskip("trl")
  folder = pathlib.Path(trl.__path__[0], "chat_templates")
  messages = [Message("system", " Be brief.\n"), Message("user", " Hi ")]
  with JinjaTemplate((folder / "qwen2_5.jinja").read_text()) as template:
    for more in ((), (Message("assistant", " Yes\n"),)):
      given = [*messages, *more]
      text = template.render(
        [{"role": m.role, "content": m.content} for m in given],
        add_generation_prompt=not more,
        **TOKENS,
      )
      ours = template_recognition.spell(
        given, "chatml", add_generation_prompt=not more, **TOKENS
      )
      assert text == ours
