# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.data.jinja_sandbox: hostile templates, and honest ones."""

import os
import pathlib
import re
import signal
from typing import Any

import pytest

from ramjax.data import jinja_sandbox
from ramjax.data.jinja_sandbox import (
  ChatTemplateError,
  ChatTemplateLimitError,
  JinjaTemplate,
)

MESSAGES = [
  {"role": "user", "content": "hi <b>"},
  {"role": "assistant", "content": "yes"},
]
TOKENS: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
  """Time is short only where a test says so: the machine may be slow."""
  monkeypatch.setattr(jinja_sandbox, "MAX_SECONDS", 60.0)


def render(text: str, messages=MESSAGES, **given) -> str:
  arguments = {"add_generation_prompt": False, **TOKENS, **given}
  with JinjaTemplate(text) as template:
    return template.render(messages, **arguments)


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    # As Hugging Face renders: blocks take their line's space along.
    (
      "{{ bos_token }}\n  {% for m in messages %}\n{{ m['role'] }}\n"
      "  {% endfor %}\n{{ eos_token }}",
      "<s>\nuser\nassistant\n</s>",
    ),
    (
      "{{ messages[0] | tojson }}",
      '{"role": "user", "content": "hi <b>"}',
    ),
    ("{% for m in messages %}{{ m.role }}{% break %}{% endfor %}", "user"),
    ("{{ 'tools' if tools is not none else 'no tools' }}", "no tools"),
    ("{{ 'p' if add_generation_prompt }}", ""),
    ("{% generation %}{{ 1 + 1 }}{% endgeneration %}", "2"),
    ("{% set n = namespace(a=1) %}{% set n.a = 5 %}{{ n.a }}", "5"),
    ("{{ dict(a=1).a }}", "1"),
    ("{{ undefined_name }}", ""),
    ("é漢😀\x00", "é漢😀\x00"),
  ],
)
def test_renders_as_hugging_face_does(text, expected):
  assert render(text) == expected


def test_variables_and_the_clock():
  assert re.fullmatch(r"\d{4}", render("{{ strftime_now('%Y') }}"))
  text = "{{ date_string }}{{ add_generation_prompt }}"
  given = {"variables": {"date_string": "26 Jul 2024"}}
  assert render(text, add_generation_prompt=True, **given) == "26 Jul 2024True"


@pytest.mark.parametrize(
  "text",
  [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ raise_exception.__globals__ }}",
    "{{ (''|attr('__class__')).__mro__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ self._TemplateReference__context.environment.globals.clear() }}",
    "{{ '{0.__class__.__mro__}'.format(1) }}",
    "{{ messages.append(1) }}",
    "{% set n = namespace(__class__=1) %}{{ n.__init__ }}",
    "{% set n = namespace() %}{% set n.__class__ = 1 %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
  ],
)
def test_ways_out_are_barred(text):
  try:
    rendered = render(text)
  except ChatTemplateError:
    return
  assert not re.search("uid=|class '|root:|built-in", rendered)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (
      "{% for a in range(9999) %}{% for b in range(9999) %}"
      "{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
      "took longer than 0.5 s",
    ),
    # Folded when the template is compiled; no Python code runs in between.
    ("{{ 10 ** (10 ** 10) }}", "took longer than 0.5 s"),
    ("{{ 'a' * 10 ** 10 }}", "bytes of memory"),
    ("{{ 'a'.center(3000000000) }}", "bytes of memory"),
    ("{{ messages | tojson(indent=3000000000) }}", "bytes of memory"),
    ("{{ 'a' * (5 * 2 ** 20) }}", "gave more than 4,194,304 bytes"),
    ("{{ '€' * (2 ** 21) }}", "gave more than 4,194,304 bytes"),
    (
      "{% for a in range(9999) %}{% for b in range(9999) %}abcdefgh"
      "{% endfor %}{% endfor %}",
      "gave more than|took longer",
    ),
    (
      "{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
      "RecursionError|took longer|made the process",
    ),
    ("{{ range(10 ** 9) | list }}", "OverflowError"),
    ("{% if %}", "TemplateSyntaxError"),
    ("{{ 'open }}", "TemplateSyntaxError"),
    ("{{ raise_exception('only users!') }}", "TemplateError: only users!"),
    ("{{ raise_exception('a\x1b[2Jb') }}", r"TemplateError: a \[2Jb\. "),
    ("{{ 1 / 0 }}", "ZeroDivisionError"),
    ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "Error|made the process"),
  ],
)
def test_excess_and_errors_are_reported(monkeypatch, text, message):
  # Memory is filled at the same speed whatever the limit, so it stays short.
  if "took longer" in message:
    monkeypatch.setattr(jinja_sandbox, "MAX_SECONDS", 0.5)
  with pytest.raises(ChatTemplateError, match=message) as error:
    render(text)
  assert "data.template" in str(error.value)


def test_time_that_the_process_does_not_get_is_told_as_such(monkeypatch):
  monkeypatch.setattr(jinja_sandbox, "_MAX_WAIT_SECONDS", 0.1)
  loop = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3
  with pytest.raises(ChatTemplateLimitError, match=r"not rendered within 0\.1"):
    render(loop)


def test_each_rendering_has_its_own_time(monkeypatch):
  monkeypatch.setattr(jinja_sandbox, "MAX_SECONDS", 1.0)
  # Some 20 ms each on a core of 2024.
  text = "{% for a in range(99999) %}{% endfor %}"
  with JinjaTemplate(text) as template:
    for _ in range(5000):
      template.render(MESSAGES, add_generation_prompt=False, **TOKENS)
      if _processor_seconds(template._process.pid) > 1.5:
        break
    else:
      raise AssertionError("all together took less than one may")


def _processor_seconds(pid: int) -> float:
  """Of a process; fields 14 and 15 of `proc_pid_stat(5)`."""
  stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2]
  return sum(map(int, stat.split()[11:13])) / os.sysconf("SC_CLK_TCK")


def test_a_parent_that_ignores_or_blocks_the_signal_changes_nothing(
  monkeypatch,
):
  monkeypatch.setattr(jinja_sandbox, "MAX_SECONDS", 0.1)
  loop = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3
  before = signal.signal(signal.SIGPROF, signal.SIG_IGN)
  signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPROF])
  try:
    with pytest.raises(ChatTemplateLimitError, match=r"longer than 0\.1 s"):
      render(loop)
  finally:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])
    signal.signal(signal.SIGPROF, before)


def test_template_that_is_too_long_is_refused_unread():
  assert render("x" * 2**16) == "x" * 2**16
  with pytest.raises(ChatTemplateLimitError, match=r"65,538 bytes; at most"):
    JinjaTemplate("é" * (2**15 + 1))


def test_longest_output_comes_through():
  assert len(render("{{ '\\x00' * (4 * 2 ** 20) }}")) == 4 * 2**20
  content = "long " * 400_000
  assert render("{{ messages[0].content }}", [{"content": content}]) == content


def process_of(template: JinjaTemplate) -> int:
  assert template._process is not None
  return template._process.pid


def is_running(pid: int) -> bool:
  return pathlib.Path(f"/proc/{pid}").exists()


def test_one_process_serves_and_ends_with_the_block():
  given = {"add_generation_prompt": False, **TOKENS}
  with JinjaTemplate("{{ messages[0].content }}") as template:
    assert template._process is None
    assert template.render([{"content": "a"}], **given) == "a"
    pid = process_of(template)
    assert template.render([{"content": "b"}], **given) == "b"
    # An error of the template's own does no harm to it.
    with pytest.raises(ChatTemplateError, match="UndefinedError"):
      template.render([], **given)
    assert process_of(template) == pid and is_running(pid)
  assert not is_running(pid)
  with pytest.raises(RuntimeError, match="closed"):
    template.render([{"content": "a"}], **given)


def test_rendering_goes_on_after_a_limit_was_passed():
  given = {"add_generation_prompt": False, **TOKENS}
  with JinjaTemplate("{{ 'a' * messages[0].n }}") as template:
    assert template.render([{"n": 2}], **given) == "aa"
    pid = process_of(template)
    with pytest.raises(ChatTemplateLimitError, match="memory"):
      template.render([{"n": 10**10}], **given)
    assert not is_running(pid) and template._process is None
    assert template.render([{"n": 3}], **given) == "aaa"
    assert process_of(template) != pid


def test_process_that_was_killed_is_started_again():
  given = {"add_generation_prompt": False, **TOKENS}
  with JinjaTemplate("x") as template:
    assert template.render(MESSAGES, **given) == "x"
    os.kill(process_of(template), 9)
    with pytest.raises(ChatTemplateLimitError, match="made the process"):
      template.render(MESSAGES, **given)
    assert template.render(MESSAGES, **given) == "x"


def test_reply_is_checked_where_it_arrives(monkeypatch, tmp_path):
  worker = tmp_path / "worker.py"
  monkeypatch.setattr(jinja_sandbox, "_WORKER", worker)
  monkeypatch.setattr(jinja_sandbox, "_MAX_REPLY_BYTES", 2**17)
  monkeypatch.setattr(jinja_sandbox, "MAX_OUTPUT_BYTES", 9)
  for reply in ("'{\"text\": \"' + 'x' * 10 + '\"}'", "'x' * 2**20"):
    worker.write_text(
      f'print(\'{{"ready": ""}}\', flush=True); input(); print({reply})'
    )
    with pytest.raises(ChatTemplateLimitError, match="gave more than 9 bytes"):
      render("x")


@pytest.mark.parametrize(
  "reply", ["x", "[]", '{"text": 1}', "{}\n{}", "[" * 9999, '{"limit": "x"}']
)
def test_reply_of_another_kind_is_refused(monkeypatch, tmp_path, reply):
  worker = tmp_path / "worker.py"
  worker.write_text(
    f'print(\'{{"ready": ""}}\', flush=True); input(); print({reply!r})'
  )
  monkeypatch.setattr(jinja_sandbox, "_WORKER", worker)
  with pytest.raises(ChatTemplateLimitError, match="made the process"):
    render("x")


@pytest.mark.parametrize(
  ("code", "message"),
  [
    ("", "could not be started with"),
    ('print(\'{"failed": "no jinja2"}\')', "no jinja2.* jinja2 installed"),
  ],
)
def test_process_that_does_not_start_is_reported(
  monkeypatch, tmp_path, code, message
):
  worker = tmp_path / "worker.py"
  worker.write_text(code)
  monkeypatch.setattr(jinja_sandbox, "_WORKER", worker)
  with pytest.raises(RuntimeError, match=message):
    render("x")


def test_worker_sees_no_secrets(monkeypatch, tmp_path):
  monkeypatch.setenv("RAMJAX_TEST_KEY", "secret")
  worker = tmp_path / "worker.py"
  worker.write_text(
    "import json, os; print(json.dumps({'failed': str(dict(os.environ))}))"
  )
  monkeypatch.setattr(jinja_sandbox, "_WORKER", worker)
  with pytest.raises(RuntimeError) as error:
    render("x")
  assert "PATH" in str(error.value)
  assert "secret" not in str(error.value)
