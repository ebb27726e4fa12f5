# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.data.tokenizer_probe."""

import json
import textwrap

import pytest

from ramjax.data import tokenizer_probe


@pytest.mark.parametrize("kind", ["llama3_json", "llama2_model", "ours"])
def test_good_tokenizers_pass(tokenizer_paths, kind):
  tokenizer_probe.probe_tokenizer(tokenizer_paths[kind])


def test_folder_is_searched(tokenizer_paths, monkeypatch):
  folder = tokenizer_paths["llama3_json"].parent
  monkeypatch.chdir(folder.parent)
  tokenizer_probe.probe_tokenizer(folder.name)


def test_refusals_come_through(tmp_path):
  with pytest.raises(ValueError, match="is a directory with neither"):
    tokenizer_probe.probe_tokenizer(tmp_path)
  path = tmp_path / "tokenizer.json"
  path.write_text("{")
  with pytest.raises(ValueError, match=r"tokenizer\.json is not valid JSON"):
    tokenizer_probe.probe_tokenizer(path)


def probe_with(monkeypatch, tmp_path, code: str) -> None:
  """Probes with a program of the test's in place of the worker."""
  worker = tmp_path / "worker.py"
  worker.write_text(textwrap.dedent(code))
  monkeypatch.setattr(tokenizer_probe, "_WORKER", worker)
  tokenizer_probe.probe_tokenizer("some/tokenizer.json")


def bomb() -> str:
  """A tokenizer.json whose normaliser makes 8 GiB of one letter."""
  grow = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 2000}
  return json.dumps(
    {
      "version": "1.0",
      "added_tokens": [],
      "normalizer": {"type": "Sequence", "normalizers": [grow] * 3},
      "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
    }
  )


@pytest.mark.parametrize(
  ("code", "message"),
  [
    # What the allow-list stops: the library itself aborts.
    (
      """
      import tokenizers
      tokenizers.Tokenizer.from_str(BOMB).encode("a")
      """,
      "ended by signal 6",
    ),
    ("import os; os.abort()", "ended by signal 6"),
    ("import os; os.kill(os.getpid(), 11)", "ended by signal 11"),
    ("bytearray(2**30)", "ended with status 1"),
    ("raise SystemExit(3)", "ended with status 3"),
    ("print('[]')", "ended with status 0"),
    ("", "ended with status 0"),
    ("open(__file__, 'ab', buffering=0).write(b'#')", "ended with status 1"),
  ],
)
def test_crashes_are_reported_and_survived(
  monkeypatch, tmp_path, code, message
):
  monkeypatch.setattr(tokenizer_probe, "MAX_MEMORY_BYTES", 2**29)
  code = code.replace("BOMB", repr(bomb()))
  with pytest.raises(ValueError, match=rf"some/tokenizer\.json.*{message}"):
    probe_with(monkeypatch, tmp_path, code)


def test_endless_loading_is_stopped(monkeypatch, tmp_path):
  monkeypatch.setattr(tokenizer_probe, "MAX_SECONDS", 1)
  with pytest.raises(ValueError, match=r"ended by signal 24.* 1 s"):
    probe_with(monkeypatch, tmp_path, "while True: pass")


def test_waiting_is_stopped(monkeypatch, tmp_path):
  monkeypatch.setattr(tokenizer_probe, "_MAX_WAIT_SECONDS", 0.05)
  with pytest.raises(ValueError, match="ended by signal 9"):
    probe_with(monkeypatch, tmp_path, "import time; time.sleep(60)")
