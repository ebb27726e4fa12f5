# SPDX-License-Identifier: Apache-2.0
"""`ramjax chat` with lines from a pipe: turns, commands, two models, Ctrl-C."""

import dataclasses
import io
import json
import os
import signal

import pytest
import tiny_server

from ramjax.models import sampler
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools import chat, chat_commands, loaded_model
from ramjax.tools.chat_speaker import Speaker
from ramjax.tools.chat_terminal import Terminal

_OPTIONS = SamplingOptions(max_tokens=10, logit_bias={2: -1e6})


@pytest.fixture(scope="module")
def models(tmp_path_factory):
  folder = tmp_path_factory.mktemp("models")
  return [
    tiny_server.write_model(folder / f"m{seed}", seed=seed) for seed in (0, 1)
  ]


@pytest.fixture(scope="module")
def speakers(models):
  return [Speaker(f"m{i}", model, _OPTIONS) for i, model in enumerate(models)]


@pytest.fixture
def fresh(speakers):
  """Two models without a history; their programs are compiled once."""
  for speaker in speakers:
    speaker.stop()
    speaker.turns.clear()
    speaker.system = ""
  return speakers


def _talk(monkeypatch, speakers, *lines, seed=0, screen=None):
  stdin = io.StringIO("".join(f"{line}\n" for line in lines))
  monkeypatch.setattr("sys.stdin", stdin)
  screen = screen or io.StringIO()
  chat._chat(speakers, Terminal(screen), seed)
  return screen.getvalue()


def _shown(text):
  screen = io.StringIO()
  Terminal(screen).write(text)
  return screen.getvalue()


def test_lines_of_a_pipe_are_turns_and_answers_plain_lines(monkeypatch, fresh):
  one = fresh[:1]
  out = _talk(monkeypatch, one, "Hello", "", "And?")
  assert [m.role for m in one[0].turns] == ["user", "assistant"] * 2
  assert [m.content for m in one[0].turns[::2]] == ["Hello", "And?"]
  answers = [m.content for m in one[0].turns[1::2]]
  assert out == "".join(f"{_shown(answer)}\n" for answer in answers)


def test_a_seed_makes_a_chat_repeatable(monkeypatch, fresh):
  outs = []
  for seed in (1, 1, 2):
    fresh[0].turns.clear()
    outs.append(_talk(monkeypatch, fresh[:1], "Hello", "Hello", seed=seed))
  assert outs[0] == outs[1] != outs[2]
  first, second = fresh[0].turns[1].content, fresh[0].turns[3].content
  assert first != second


def test_two_models_answer_each_with_its_own_history(monkeypatch, fresh):
  out = _talk(monkeypatch, fresh, "Hello", "And?")
  answers = [[m.content for m in s.turns[1::2]] for s in fresh]
  assert answers[0] != answers[1]
  expected = [
    f"[m{i}]\n{_shown(answers[i][turn])}\n" for turn in (0, 1) for i in (0, 1)
  ]
  assert out == "".join(expected)
  # Alone, each says what it says beside the other.
  fresh[1].turns.clear()
  _talk(monkeypatch, fresh[1:], "Hello", "And?")
  assert [m.content for m in fresh[1].turns[1::2]] == answers[1]


class _Wide(io.StringIO):
  encoding = "utf-8"

  def isatty(self):
    return True


def test_on_a_wide_terminal_they_stand_in_two_columns(monkeypatch, fresh):
  monkeypatch.setattr(
    "shutil.get_terminal_size", lambda _: os.terminal_size((100, 24))
  )
  monkeypatch.setenv("NO_COLOR", "1")
  out = _talk(monkeypatch, fresh, "Hello", screen=_Wide())
  rows = [line.rpartition("\r")[2] for line in out.split("\n")]
  left, right = ("".join(r.split(" | ")[i] for r in rows[1:-1]) for i in (0, 1))
  for column, speaker in zip((left, right), fresh, strict=True):
    shown = _shown(speaker.turns[1].content)
    assert "".join(column.split()) == "".join(shown.split())


def test_commands_change_the_conversation(monkeypatch, fresh, tmp_path):
  file = tmp_path / "chat.jsonl"
  out = _talk(
    monkeypatch,
    fresh,
    *("/system Be brief.", "One", "Two", "/undo", f"/save {file}", "/help"),
    *("/nonsense", f"/save {file}", "/save", "//sent", "/quit", "never"),
  )
  rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
  assert [
    [(m["role"], m["content"]) for m in row["messages"]][:2] for row in rows
  ] == [[("system", "Be brief."), ("user", "One")]] * 2
  assert [len(row["messages"]) for row in rows] == [3, 3]
  assert chat_commands.HELP in out
  for said in ("/nonsense is no command", "exists", "needs the name"):
    assert said in out
  assert fresh[0].turns[-2].content == "/sent"
  assert "never" not in out
  out = _talk(monkeypatch, fresh, "/reset", "/undo", "/save x", "/system")
  assert "Nothing to undo" in out and "nothing to save" in out
  assert not fresh[0].messages


def test_a_line_that_ends_in_a_backslash_goes_on(monkeypatch, fresh):
  _talk(monkeypatch, fresh[:1], "one\\", "two")
  assert fresh[0].turns[0].content == "one\ntwo"


def test_a_conversation_that_no_longer_fits_stays_as_it_was(monkeypatch, fresh):
  out = _talk(monkeypatch, fresh, "x" * 9000, "Hello")
  assert "8,192 positions: /undo or /reset" in out
  assert [len(s.turns) for s in fresh] == [2, 2]


def test_a_turn_that_is_no_text_is_not_sent(monkeypatch, fresh):
  out = _talk(monkeypatch, fresh, "\udcff")
  assert "not UTF-8" in out and not fresh[0].turns


@pytest.mark.parametrize("wide", [True, False])
def test_ctrl_c_stops_the_answer_and_not_the_chat(monkeypatch, fresh, wide):
  advance, calls = sampler.ContinuousBatch.advance, []

  def interrupted(self, most_tokens=None):
    calls.append(self)
    if len(calls) == 2:
      os.kill(os.getpid(), signal.SIGINT)
    return advance(self, most_tokens)

  monkeypatch.setattr(sampler.ContinuousBatch, "advance", interrupted)
  before = signal.getsignal(signal.SIGINT)
  screen = _Wide() if wide else None
  out = _talk(monkeypatch, fresh, "Hello", "Again", screen=screen)
  assert signal.getsignal(signal.SIGINT) is before
  assert "(stopped)" in out
  assert [len(s.turns) for s in fresh] == [4, 4]
  cut, whole = (len(fresh[0].turns[i].content) for i in (1, 3))
  assert cut < whole


def test_a_second_ctrl_c_interrupts():
  with pytest.raises(KeyboardInterrupt):
    with chat._interruptible() as stopped:
      os.kill(os.getpid(), signal.SIGINT)
      assert stopped()
      os.kill(os.getpid(), signal.SIGINT)


def test_the_command_opens_both_models(models, monkeypatch, capsys):
  by_name = dict(zip(("a", "b"), models, strict=True))
  monkeypatch.setattr(
    loaded_model, "load", lambda folder, **_: by_name[folder.name]
  )
  monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n"))
  argv = ["--model=a", "--against=b", "--max-tokens=2", "--seed=1"]
  assert chat.main([*argv, "--temperature=0"]) == 0
  out = capsys.readouterr().out
  assert out.startswith("[a]\n") and "\n[b]\n" in out


@pytest.mark.parametrize(
  "argv,said",
  [
    (["--model=/nowhere"], "holds no model"),
    (["--model=/nowhere", "--temperature=-1"], "temperature=-1"),
    (["--model=/nowhere", "--step-against=1"], "--against"),
  ],
)
def test_what_cannot_be_opened_is_said(capsys, argv, said):
  assert chat.main(argv) == 1
  assert said in capsys.readouterr().err


def test_a_model_without_a_template_needs_one_named(models):
  bare = dataclasses.replace(models[0], template=None)
  with pytest.raises(ValueError, match="--template"):
    Speaker("bare", bare, _OPTIONS)
