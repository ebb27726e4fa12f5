# SPDX-License-Identifier: Apache-2.0
"""Two real processes, of which one fails or finds damage: none waits for ever."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import pytest
import tiny_compile
import tiny_model_folder

pytestmark = pytest.mark.slow

_START = """
import json, pathlib, sys
import jax
jax.distributed.initialize(sys.argv[2], 2, int(sys.argv[1]))
index, root = jax.process_index(), pathlib.Path(sys.argv[3])
"""

# Weights of which each process holds, saves and restores one half.
_RESTORE = """
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec
from tiny_checkpoints import PROGRESS, Position
from ramjax.models import sharding
from ramjax.models.saved_digests import Damaged
from ramjax.trainers.checkpoints import Checkpoints
from ramjax.trainers.state import init_state

mesh = sharding.make_mesh({"fsdp": 2})
jax.set_mesh(mesh)
checkpoints = Checkpoints(root / "run", keep=5, keep_every=0)
def at(step):
  weight = np.random.default_rng(step).standard_normal((256, 64), np.float32)
  split = NamedSharding(mesh, PartitionSpec("fsdp"))
  params = jax.make_array_from_callback((256, 64), split, weight.__getitem__)
  return init_state(
    {"weight": params}, optax.sgd(0.1), mesh=mesh, seed=0, with_ema=False
  )
def save(step):
  checkpoints.save(step, at(step), Position(step), PROGRESS)
  checkpoints.wait()
class Beside(Position):
  # As where one process reads a damaged rollout beside step 3.
  def set_state(self, state):
    if state["next_index"] == 3 and sys.argv[4] == f"beside-{index}":
      raise Damaged("the rollout is gone")
    super().set_state(state)
found = None
if sys.argv[4] == "save":
  for step in (1, 2, 3):
    save(step)
else:
  batches = Beside()
  continued = checkpoints.restore_latest(at(9), batches)
  for one, other in zip(
    continued.state.params["weight"].addressable_shards,
    at(continued.step).params["weight"].addressable_shards,
    strict=True,
  ):
    np.testing.assert_array_equal(one.data, other.data)
  found = [continued.step, batches.at, continued.notes]
  save(2)  # They are at one place again.
checkpoints.close()
print(json.dumps(found))
"""

# Each reads rows of its own folder, under one name.
_LOAD = """
import os
import tiny_processes
from ramjax.trainers import processes, sft
os.chdir(root / str(index))
job = tiny_processes.Job("sft", str(root / "run"), {
  "data.sources.main.path": "rows.jsonl", "data.max_length": 64,
})
found = []
for _ in range(2):  # The second time, all are at one place again.
  try:
    sft.main(tiny_processes._config(job, root), root / "run")
  except (FileNotFoundError, ValueError) as error:
    found.append(str(error))
left = processes._client().key_value_dir_get("ramjax/0/gathered/")
print(json.dumps([found, sorted({key.split("/")[3] for key, _ in left})]))
"""


# The first process alone makes the local folder, and finds that it cannot.
_CLAIM = """
import contextlib
from ramjax.trainers import local_tier, processes
found = []
for name in ("fast", "file", "fast"):
  with contextlib.ExitStack() as held:
    try:
      found.append(str(local_tier.claim(str(root / name), root / "run", held)))
    except (OSError, ValueError) as error:
      found.append(str(error))
print(json.dumps(found))
"""


def _run(program, *arguments):
  """What both processes print; all of it takes seconds, or one waits."""
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    address = f"localhost:{probe.getsockname()[1]}"
  tiny = pathlib.Path(__file__).parent.parent / "tiny"
  environment = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": tiny_compile.quick(1),
    "PYTHONPATH": str(tiny),
  }
  running = [
    subprocess.Popen(
      [
        *(sys.executable, "-c", _START + program),
        *(str(index), address, *map(str, arguments)),
      ],
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      env=environment,
    )
    for index in range(2)
  ]
  try:
    told = [process.communicate(timeout=200) for process in running]
  finally:
    for process in running:
      process.kill()
  for process, (_, err) in zip(running, told, strict=True):
    assert process.returncode == 0, err[-4000:]
  return [json.loads(out.splitlines()[-1]) for out, _ in told]


@pytest.fixture(name="saved", scope="module")
def _saved(tmp_path_factory):
  root = tmp_path_factory.mktemp("saved")
  assert _run(_RESTORE, root, "save") == [None, None]
  return root


@pytest.mark.parametrize("process", [1, 0])
def test_damage_in_what_one_process_reads_is_rejected_by_both(
  saved, tmp_path, process
):
  root = tmp_path / "copy"
  shutil.copytree(saved, root)

  def numbers(step):
    of_step = root / "run/checkpoints" / str(step)
    written = of_step / f"params/ocdbt.process_{process}/d"
    path = max(written.iterdir(), key=lambda file: file.stat().st_size)
    assert path.stat().st_size > 10_000  # The numbers, and not their index.
    return path, bytearray(path.read_bytes())

  path, data = numbers(3)
  data[len(data) // 2] ^= 4  # Decodes to another number, in both.
  path.write_bytes(data)
  path, data = numbers(2)
  path.write_bytes(data[: len(data) // 2])  # Fails in one of them.
  first, second = _run(_RESTORE, root, "restore")
  assert first == second
  step, position, notes = first
  assert (step, position) == (1, 1)
  print(f"T10: process {process}: {notes}")
  flipped, cut = notes
  assert flipped.startswith(
    "checkpoint of step 3 rejected: the digest of params"
  )
  assert cut.startswith("checkpoint of step 2 rejected: cannot be read: ")
  steps = {path.name for path in (root / "run/checkpoints").iterdir()}
  assert {"1", "2", "2.rejected", "3.rejected"} <= steps


@pytest.mark.parametrize("process", [1, 0])
def test_damage_beside_a_step_that_one_process_finds_is_rejected_by_both(
  saved, tmp_path, process
):
  root = tmp_path / "copy"
  shutil.copytree(saved, root)
  first, second = _run(_RESTORE, root, f"beside-{process}")
  assert first == second
  step, position, notes = first
  assert (step, position) == (2, 2)
  moved = root / "run/checkpoints/3.rejected"
  assert notes == [
    f"checkpoint of step 3 rejected: the rollout is gone; it is now {moved}"
  ]


def test_both_use_one_local_folder_and_both_say_why_there_is_none(tmp_path):
  (tmp_path / "run").mkdir()
  (tmp_path / "file").write_text("not a folder")
  first, second = _run(_CLAIM, tmp_path)
  run_id = (tmp_path / "run/run_id").read_text().strip()
  assert first[0] == first[2] == str(tmp_path / "fast" / run_id)
  why = f"checkpoint.local_dir='{tmp_path}/file' cannot be used: "
  assert first[1].startswith(why)
  assert second == [first[0], f"process 0 failed: {first[1]}", first[2]]


@pytest.mark.parametrize("process", [0, 1])
def test_rows_that_one_process_has_not_end_both_with_the_message(
  tmp_path, process
):
  tiny_model_folder.write(tmp_path / "model", tiny_model_folder.CONFIG)
  rows = [{"prompt": f"word {i}", "completion": "two"} for i in range(20)]
  for index in range(2):
    (tmp_path / str(index)).mkdir()
    if index != process:
      text = "".join(f"{json.dumps(row)}\n" for row in rows)
      (tmp_path / str(index) / "rows.jsonl").write_text(text)
  told = _run(_LOAD, tmp_path)
  (own, _), (other, left) = told[process], told[1 - process]
  assert "path='rows.jsonl' does not exist" in own[0]
  assert other == [f"process {process} failed: {why}" for why in own]
  assert len(own) == 2 and own[0] == own[1]
  # Of what was gathered before, the last alone is kept.
  assert len(left) == 1
