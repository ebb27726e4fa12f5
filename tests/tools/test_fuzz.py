# SPDX-License-Identifier: Apache-2.0
"""Damaged files load equal or are refused; and the harness sees what fails."""

import pathlib
import random
import re
import sys

import pytest

from ramjax.data import tokenizers
from ramjax.tools import fuzz, fuzz_headers, fuzz_indexes, fuzz_tokenizers

pytestmark = pytest.mark.skipif(
  sys.platform != "linux", reason="the limits are those of Linux"
)

# Readers with a defect each, in place of the one for "headers".
_PLANTED = """
import os, pathlib, sys, time
from ramjax.tools import fuzz_worker
from ramjax.models.tensors import TensorError

def key_error(folder):
  raise KeyError("planted")

def hang(folder):
  time.sleep(60)

def crash(folder):
  os.abort()

def memory(folder):
  bytearray(2**30 + 2**20)

def write(folder):
  (folder / "x").write_text("x")

def native_write(folder):
  import ctypes
  libc = ctypes.CDLL(None)
  file = libc.creat(str(folder / "x").encode(), 0o600)
  if libc.write(file, b"x", 1) != 1:
    raise KeyError("the write was refused")

def accept(folder):
  pass

def refuse(folder):
  raise TensorError("planted")

def wrong_bytes(folder):
  from ramjax.models.safetensors_file import SafetensorsFile
  rows = SafetensorsFile.rows
  SafetensorsFile.rows = lambda *args: rows(*args) * 0
  fuzz_worker.read_model(folder)

fuzz_worker.READERS["headers"] = globals()[sys.argv[1]]
sys.exit(fuzz_worker.main())
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
  """Where the harness puts its inputs."""
  monkeypatch.setattr(fuzz.tempfile, "tempdir", str(tmp_path))
  return tmp_path


def _counts(text):
  """Kind: its numbers of inputs, loaded, typed errors and failures."""
  lines = re.findall(
    r"^(\w+): (\d+) inputs, (\d+) loaded equal, (\d+) typed errors"
    r" \(.*\), (\d+) failures; slowest \d+ ms \(.+\)$",
    text,
    re.MULTILINE,
  )
  return {kind: [int(number) for number in numbers] for kind, *numbers in lines}


def _check(capsys, temporary, **counts):
  arguments = [f"--{kind}={number}" for kind, number in counts.items()]
  assert fuzz.main([*arguments, "--seed=0"]) == 0
  found = _counts(capsys.readouterr().out)
  assert {kind: numbers[0] for kind, numbers in found.items()} == counts
  for inputs, loaded, refused, failures in found.values():
    assert loaded + refused == inputs and failures == 0
    # Damage that only ever gets refused would not test what is read.
    assert loaded and refused
  assert not list(temporary.iterdir())


def test_few_damaged_files_load_equal_or_are_refused(capsys, temporary):
  _check(capsys, temporary, headers=60, indexes=60, tokenizers=60)


@pytest.mark.parametrize(
  ("defect", "reason"),
  [
    ("key_error", "KeyError: 'planted'"),
    ("hang", "Hang: 0.5 s"),
    ("crash", "Crash: exit status -6"),
    ("memory", "MemoryError"),
    ("write", "WriteError: open"),
    ("native_write", "KeyError: 'the write was refused'"),
    ("accept", "loaded, but must be refused"),
    ("refuse", "refused: planted"),
    ("wrong_bytes", "NotEqualError"),
  ],
)
def test_a_planted_failure_is_noticed(capsys, temporary, defect, reason):
  script = temporary / "planted.py"
  script.write_text(_PLANTED)
  # Some mutations must load, most must not: a few inputs have both.
  status = fuzz.main(
    [
      f"--headers={1 if defect == 'hang' else 12}",
      "--indexes=0",
      "--tokenizers=0",
    ],
    worker=(sys.executable, "-B", str(script), defect),
    limit_s=0.5,
  )
  assert status == 1
  text = capsys.readouterr().out
  assert re.search(rf"^FAILED headers: \w+: ({reason})", text, re.MULTILINE)
  # The input is kept, where the report says.
  (kept,) = re.findall(r"inputs are kept in (.+)", text)
  assert kept.startswith(str(temporary))
  folder = re.findall(r"^  (/.+)$", text, re.MULTILINE)[0]
  assert list(pathlib.Path(folder).glob("model.safetensors"))


def test_a_worker_that_does_not_start_is_an_error(temporary):
  with pytest.raises(RuntimeError, match="does not start"):
    fuzz.main(
      ["--headers=1"], worker=(sys.executable, "-c", "raise SystemExit(3)")
    )


@pytest.mark.parametrize(
  "kind", [fuzz_headers, fuzz_indexes], ids=["headers", "indexes"]
)
def test_a_seed_gives_the_same_inputs(tmp_path, kind):
  found = []
  for name in ("a", "b"):
    for number in range(30):
      folder = tmp_path / name / str(number)
      folder.mkdir(parents=True)
      case = kind.make_case(random.Random(number), folder)
      found.append(
        (
          case.mutation,
          case.must_refuse,
          {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.stat().st_size < 2**24
            if path.resolve().is_relative_to(tmp_path)
          },
        )
      )
  assert found[:30] == found[30:]


def test_undamaged_tokenizers_load(tmp_path):
  maker = fuzz_tokenizers.Maker(tmp_path / "trained")
  originals = [("tokenizer.json", spec.encode()) for spec in maker.specs]
  originals += [("tokenizer.model", model) for model in maker.models]
  for name, data in originals:
    (tmp_path / name).write_bytes(data)
    tokenizer = tokenizers.load_tokenizer(tmp_path / name)
    ids = tokenizer.encode("you and I", at_start=True)
    assert tokenizer.decode(ids).strip() == "you and I"
