# SPDX-License-Identifier: Apache-2.0
"""A model is written whole, with what belongs to it, or not at all."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest

from ramjax.models import carried_files, tensors
from ramjax.models.hf_folder import HFFolder
from ramjax.models.open_model import open_model
from ramjax.tools import write_model

_LAYOUTS = (write_model.HF, write_model.RUN)
_DTYPES = ("float32", "bfloat16", "float16")
_NAMES = (
  *("1", "2_70b", "3_1", "3_2", "linear", "mistral", "qwen2", "qwen2_untied"),
  *("llama_reward", "llama_3_labels", "mistral_reward", "mistral_3_labels"),
  *("qwen2_reward", "qwen2_3_labels"),
)
# One shape in each dtype, and every shape in one.
_TRIPS = [
  *(("3", dtype) for dtype in _DTYPES),
  *((name, _DTYPES[i % 3]) for i, name in enumerate(_NAMES)),
]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
  """Most tensors span several blocks; 1500 bytes leave partial last chunks."""
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 1500)


@pytest.fixture
def like(tmp_path):
  """A folder of carried files, beside which nothing else lies."""
  folder = tmp_path / "like"
  folder.mkdir()
  (folder / "tokenizer.json").write_bytes(b"{\xff}")
  (folder / "LICENSE").write_text("free")
  return folder


def _write(source, target, layout, like, **options):
  return write_model.write_model(
    source,
    target,
    layout=layout,
    like=like,
    provenance={"source": "theirs"},
    **options,
  )


def test_every_shape_makes_the_trip(shapes):
  assert {name for name, _ in _TRIPS} == set(shapes)


@pytest.mark.parametrize("name,dtype", _TRIPS)
def test_there_and_back_is_the_same_to_the_byte(
  tiny, source_of, tmp_path, like, name, dtype
):
  source = source_of(name, dtype)
  hf, run, back = (tmp_path / x for x in ("hf", "run", "back"))
  total = _write(source, hf, write_model.HF, like)
  assert total == sum(x.nbytes for x in source.arrays.values())
  _write(open_model(hf), run, write_model.RUN, hf)
  opened = open_model(run)
  assert opened.config == source.config
  _write(opened, back, write_model.HF, run, shard_bytes=20_000)
  end = open_model(back)
  assert end.config == source.config
  assert tiny.read_bytes(end) == tiny.read_bytes(source)
  assert (back / "tokenizer.json").read_bytes() == b"{\xff}"
  assert (back / "LICENSE").read_text() == "free"


def test_config_of_the_origin_comes_back(tiny, shapes, state_of, tmp_path):
  hf = tiny.write_hf(
    tmp_path / "hf",
    shapes["mistral_3_labels"],
    state_of("mistral_3_labels"),
    id2label={"0": "a", "1": "b", "2": "c"},
    label2id={"a": 0, "b": 1, "c": 2},
    eos_token_id=[5, 6],
    pad_token_id=3,
  )
  source = HFFolder(hf)
  _write(source, tmp_path / "run", write_model.RUN, hf)
  run = open_model(tmp_path / "run")
  _write(run, tmp_path / "back", write_model.HF, tmp_path / "run")
  back = json.loads((tmp_path / "back/config.json").read_text())
  assert back == source.raw_config


def test_run_keeps_carried_files_apart(source_of, tmp_path, like):
  _write(source_of("3"), tmp_path / "run", write_model.RUN, like)
  assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
    "checkpoints",
    "hf",
    "model.json",
    "provenance.json",
  ]
  kept = tmp_path / "run" / carried_files.FOLDER
  assert sorted(p.name for p in kept.iterdir()) == ["LICENSE", "tokenizer.json"]


def test_provenance_stands_in_the_folder_and_on_the_card(
  source_of, tmp_path, like
):
  for layout in _LAYOUTS:
    _write(source_of("3"), tmp_path / layout, layout, like)
    stored = (tmp_path / layout / "provenance.json").read_text()
    assert json.loads(stored) == {"source": "theirs"}
  card = (tmp_path / write_model.HF / "README.md").read_text()
  assert '"source": "theirs"' in card and "# hf" in card


def _check_nothing_left(tmp_path):
  assert [p.name for p in tmp_path.iterdir()] == ["like"]


@pytest.mark.parametrize("layout", _LAYOUTS)
@pytest.mark.parametrize("num_blocks", [0, 1, 40])
def test_failure_half_way_leaves_nothing(
  source_of, tmp_path, like, layout, num_blocks
):
  source = source_of("3", fail_after=num_blocks)
  with pytest.raises(OSError, match="the disk went away"):
    _write(source, tmp_path / "new", layout, like)
  assert len(source.reads) == num_blocks
  _check_nothing_left(tmp_path)


@pytest.mark.parametrize("layout", _LAYOUTS)
@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite_stops_and_leaves_nothing(
  source_of, tmp_path, like, layout, dtype, value
):
  source = source_of("3", dtype)
  # The last value of the last tensor.
  source.arrays["lm_head.weight"][-1, -1] = value
  with pytest.raises(ValueError, match=r"'lm_head\.weight' has NaN or inf"):
    _write(source, tmp_path / "new", layout, like)
  _check_nothing_left(tmp_path)


@pytest.mark.parametrize("layout", _LAYOUTS)
@pytest.mark.parametrize("dtype", _DTYPES)
def test_allowed_values_pass_to_the_byte(
  tiny, source_of, tmp_path, like, layout, dtype
):
  source = source_of("3", dtype)
  source.arrays["lm_head.weight"][-1, :2] = np.nan, -np.inf
  _write(source, tmp_path / "new", layout, like, allow_nonfinite=True)
  opened = open_model(tmp_path / "new")
  assert tiny.read_bytes(opened) == tiny.read_bytes(source)


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_overflow_of_a_cast_stops(source_of, tmp_path, like, layout):
  source = source_of("3", "bfloat16")
  source.arrays["model.norm.weight"][3] = 70_000  # Above float16's 65,504.
  with pytest.raises(ValueError, match="overflowed in a cast to float16"):
    cast = tensors.Cast(source, "float16")
    _write(cast, tmp_path / "new", layout, like)
  _check_nothing_left(tmp_path)


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_existing_folder_is_refused_before_anything_is_read(
  source_of, tmp_path, like, layout
):
  source = source_of("3")
  (tmp_path / "new").mkdir()
  (tmp_path / "new" / "mine").write_text("x")
  with pytest.raises(ValueError, match="exists already"):
    _write(source, tmp_path / "new", layout, like)
  assert not source.reads
  assert [p.name for p in (tmp_path / "new").iterdir()] == ["mine"]


def test_full_disk_is_refused_before_anything_is_read(
  source_of, tmp_path, like, monkeypatch
):
  source = source_of("3")
  total = sum(x.nbytes for x in source.arrays.values())
  usage = namedtuple("usage", "free")
  monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(total - 1))
  with pytest.raises(ValueError, match="MB free"):
    _write(source, tmp_path / "new", write_model.RUN, like)
  assert not source.reads
  _check_nothing_left(tmp_path)


def test_shape_that_cannot_be_exported_leaves_nothing(
  tiny, shapes, source_of, tmp_path, like
):
  source = source_of("qwen2")
  fields = vars(source.config) | {"sliding_window": 4}
  source.config = type(source.config)(**fields)
  with pytest.raises(ValueError, match="no architecture"):
    _write(source, tmp_path / "new", write_model.HF, like)
  _check_nothing_left(tmp_path)


_SLOW_WRITE = """
import pathlib, sys, time
from ramjax.models import tensors
from ramjax.models.hf_folder import HFFolder
from ramjax.tools import write_model
tensors.BLOCK_BYTES = 900
source = HFFolder(sys.argv[1])
rows, count = source.rows, 0
def slow(*args):
  global count
  count += 1
  if count == 40:
    print("half-way", flush=True)
    time.sleep(600)
  return rows(*args)
source.rows = slow
write_model.write_model(source, pathlib.Path(sys.argv[2]), layout=sys.argv[3],
  like=pathlib.Path(sys.argv[1]), provenance={})
"""


@pytest.mark.slow
@pytest.mark.parametrize("layout", _LAYOUTS)
def test_kill_leaves_only_the_partial_folder(
  tiny, shapes, state_of, tmp_path, layout
):
  hf = tiny.write_hf(tmp_path / "hf", shapes["3"], state_of("3"))
  target = tmp_path / "out" / "new"
  process = subprocess.Popen(
    [sys.executable, "-c", _SLOW_WRITE, str(hf), str(target), layout],
    stdout=subprocess.PIPE,
    env={**os.environ, "JAX_PLATFORMS": "cpu"},
  )
  assert process.stdout is not None
  try:
    assert process.stdout.readline() == b"half-way\n"
    process.send_signal(signal.SIGKILL)
  finally:
    process.kill()
    process.wait()
    process.stdout.close()
  (left,) = (tmp_path / "out").iterdir()
  assert left.name.startswith(".new.partial-")
  with pytest.raises((FileNotFoundError, ValueError)):
    open_model(left)
  # The next try is not in its way.
  _write(HFFolder(hf), target, layout, hf)
  assert tiny.read_bytes(open_model(target)) == tiny.read_bytes(HFFolder(hf))
