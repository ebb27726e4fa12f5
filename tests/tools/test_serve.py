# SPDX-License-Identifier: Apache-2.0
"""`ramjax serve`: a process that starts, survives its clients, and ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
import tiny_model_folder
import tiny_server

from ramjax.tools import serve


def _post(url, **body):
  request = urllib.request.Request(
    url, json.dumps(body).encode(), {"Content-Type": "application/json"}
  )
  return urllib.request.urlopen(request, timeout=120)


def _use(process, number):
  """Asks, leaves, asks again; then signals while a stream goes on."""
  assert process.stdout is not None
  line = process.stdout.readline()
  found = re.search(r"serving tiny \(chat template plain\) at (http\S+)", line)
  assert found, line + process.communicate()[1]
  turns = [{"role": "user", "content": "Say a word."}]
  long = dict(messages=turns, max_tokens=8000, **tiny_server.NO_EOS)
  chat = f"{found[1]}/chat/completions"
  for _ in range(3):
    with _post(chat, stream=True, n=2, **long) as response:
      assert response.readline().startswith(b"data: ")
  with _post(chat, messages=turns, max_tokens=2) as response:
    assert json.load(response)["usage"]["completion_tokens"] <= 2
  with _post(chat, stream=True, **long) as response:
    response.readline()
    process.send_signal(number)
    return process.communicate(timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_outlives_its_clients_and_ends_well(tmp_path, number):
  tiny_model_folder.write(tmp_path / "tiny", tiny_server.LONG)
  command = (
    *(sys.executable, "-m", "ramjax.tools.cli", "serve", "--template=plain"),
    *(
      f"--model={tmp_path / 'tiny'}",
      "--port=0",
      "--slots=2",
      "--max-length=8192",
    ),
  )
  with subprocess.Popen(
    command,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=os.environ | {"XLA_FLAGS": ""},
  ) as process:
    try:
      out, err = _use(process, number)
    finally:
      process.kill()
  assert process.returncode == 0, err
  assert out == err == ""


def _refused(capsys, *argv):
  assert serve.main(argv) == 1
  captured = capsys.readouterr()
  assert captured.out == ""
  return captured.err


def test_what_keeps_it_from_starting_is_said(tmp_path, capsys, monkeypatch):
  model = f"--model={tmp_path}"
  assert "holds no model" in _refused(capsys, model, "--port=0")
  monkeypatch.setenv("EMPTY", "")
  said = _refused(capsys, model, "--api-key-env=EMPTY")
  assert "--api-key-env=EMPTY" in said
  with socket.create_server(("127.0.0.1", 0)) as taken:
    port = taken.getsockname()[1]
    assert "already in use" in _refused(capsys, model, f"--port={port}")
  assert "--host=no host" in _refused(capsys, model, "--host=no host")


def test_a_length_beyond_the_models_is_refused(tmp_path, capsys):
  tiny_model_folder.write(tmp_path / "tiny")
  said = _refused(
    capsys,
    *(f"--model={tmp_path / 'tiny'}", "--port=0", "--max-length=65"),
  )
  assert "--max-length=65" in said and "64 positions" in said


@pytest.mark.parametrize("name", ["starlette", "uvicorn"])
def test_a_missing_extra_is_named(capsys, monkeypatch, tmp_path, name):
  monkeypatch.setitem(sys.modules, name, None)
  said = _refused(capsys, f"--model={tmp_path}")
  assert name in said and "pip install 'ramjax[serve]'" in said


@pytest.mark.parametrize(
  "host,key,warns",
  [
    ("0.0.0.0", None, True),
    ("0.0.0.0", "k", False),
    ("127.0.0.1", None, False),
  ],
)
def test_an_open_server_without_a_key_is_warned_of(capsys, host, key, warns):
  with serve._bind(host, 0) as listener:
    is_local = serve._is_loopback(listener)
    serve._announce("tiny", None, listener, is_local, key)
    port = listener.getsockname()[1]
  captured = capsys.readouterr()
  assert f"http://{host}:{port}/v1" in captured.out
  assert ("--api-key-env" in captured.err) == warns


@pytest.mark.parametrize(
  "argument", ["--port=70000", "--slots=0", "--max-length=x", "--model"]
)
def test_wrong_arguments_exit_with_2(argument):
  with pytest.raises(SystemExit) as end:
    serve.main(["--model=x", argument])
  assert end.value.code == 2
