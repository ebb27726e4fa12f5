# SPDX-License-Identifier: Apache-2.0
"""SIGKILL while checkpoints are written: what is listed afterwards is whole."""

import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from ramjax.data import wilson

pytestmark = pytest.mark.slow

# Each is a kill and a start, 5 s of a core; a soak sets RAMJAX_KILL_ROUNDS=500.
_ROUNDS = int(os.environ.get("RAMJAX_KILL_ROUNDS", "5"))

# Where a kill in a window did not come, its process ends after this many steps.
_MOST_STEPS = 200

# Saves a state that says its step in every element, over and over.
_WRITER = """
import itertools, pathlib, sys
sys.path.insert(0, sys.argv[2])
import jax
import numpy as np
import tiny_checkpoints
from tiny_checkpoints import PROGRESS, Position
from ramjax.trainers.checkpoints import Checkpoints

workdir = pathlib.Path(sys.argv[1])
{patch}

def at(step):
  state = tiny_checkpoints.state(step)
  big = np.full((2048, 8192), step, np.float32)
  state.carried["big"] = jax.device_put(big, state.step.sharding)
  return state

checkpoints = Checkpoints(workdir, keep=2, keep_every=0)
position = Position()
found = checkpoints.restore_latest(at(0), position)
step = found.step or 0
assert not found.notes, found.notes
assert (np.asarray(found.state.carried["big"]) == step).all()
assert position.at == step
print("resumed", step, flush=True)
for step in itertools.islice(itertools.count(step + 1), {most_steps}):
  checkpoints.save(step, at(step), Position(step), PROGRESS)
  print("saving", step, flush=True)
  {after_save}
"""

# Where a kill comes: what is replaced, and the step at which it kills.
_WINDOWS = {
  "during the copy to the host": """
from orbax.checkpoint._src.serialization import replica_slices
def killed(*args, **kwargs):
  on_host = transfer(*args, **kwargs)
  if step == 4:
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
  return on_host
transfer = replica_slices.transfer_arrays_to_host
replica_slices.transfer_arrays_to_host = killed
""",
  "after the data, before the commit": """
from orbax.checkpoint._src.path import atomicity
async def killed(self, *args, **kwargs):
  if self.get_final().name == "4":
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
  return await finalize(self, *args, **kwargs)
finalize = atomicity.AtomicRenameTemporaryPath.finalize
atomicity.AtomicRenameTemporaryPath.finalize = killed
""",
  "while an old step is deleted": """
from orbax.checkpoint._src.path import deleter
def killed(self, steps):
  if 2 in steps:
    import os, shutil, signal
    shutil.rmtree(workdir / "checkpoints" / "2" / "params")
    os.kill(os.getpid(), signal.SIGKILL)
  return delete_steps(self, steps)
delete_steps = deleter.StandardCheckpointDeleter.delete_steps
deleter.StandardCheckpointDeleter.delete_steps = killed
""",
}


@pytest.fixture(name="start")
def _started():
  """`_start`, whose processes end with the test: a writer saves without end."""
  running = []

  def start(*args):
    running.append(_start(*args))
    return running[-1]

  yield start
  for process in running:
    process.kill()
    process.wait()
    process.stdout.close()


def _start(workdir, patch="", after_save="pass", most_steps=None):
  script = _WRITER.format(
    patch=patch, after_save=after_save, most_steps=most_steps
  )
  environment = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
  tiny = pathlib.Path(__file__).parent.parent / "tiny"
  return subprocess.Popen(
    [sys.executable, "-c", script, str(workdir), str(tiny)],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    env=environment,
  )


def _read_until(process, start):
  """The lines of a process up to one that starts so."""
  assert process.stdout is not None
  lines = []
  for line in process.stdout:
    lines.append(line)
    if line.startswith(start):
      return line.split()
  raise AssertionError("".join(lines))


def test_after_a_kill_at_any_time_the_newest_step_is_good(
  tmp_path, start, capsys
):
  rng = random.Random(0)
  resumed, torn = [], 0
  process = start(tmp_path)
  for _ in range(_ROUNDS):
    said = [int(_read_until(process, "saving")[1])]
    time.sleep(rng.random() * 1.5)
    process.send_signal(signal.SIGKILL)
    out = process.stdout.read()
    assert process.wait(timeout=60) == -signal.SIGKILL, out
    said += [int(step) for step in re.findall(r"^saving (\d+)$", out, re.M)]
    torn += bool(list((tmp_path / "checkpoints").glob("*tmp*")))
    process = start(tmp_path)
    # A step that is not whole ends the test here: no round that counts is bad.
    resumed.append(int(_read_until(process, "resumed")[1]))
    # A save begins when the one before it is there.
    assert resumed[-1] >= said[-1] - 1
  assert resumed[-1] > 0
  _, most_bad = wilson.wilson_interval(0, _ROUNDS)
  with capsys.disabled():
    print(
      f"\nSIGKILL at random: {_ROUNDS} rounds, 0 bad (at 95 %, at most"
      f" {most_bad:.2%} of all), {torn} left a torn save, resumed at {resumed}"
    )


@pytest.mark.parametrize("window", _WINDOWS)
def test_a_kill_in_a_named_window_leaves_a_good_step(
  tmp_path, start, window, capsys
):
  process = start(tmp_path, _WINDOWS[window], "checkpoints.wait()", _MOST_STEPS)
  out, _ = process.communicate(timeout=120)
  assert process.returncode == -signal.SIGKILL, out
  saving = int(out.split()[-1])
  # The step being saved is not there, or whole; the one before it is.
  process = start(tmp_path)
  at = int(_read_until(process, "resumed")[1])
  _read_until(process, f"saving {at + 3}")
  process.kill()
  process.communicate()
  assert at in (saving, saving - 1, saving + 1)
  folders = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
  with capsys.disabled():
    print(f"\nSIGKILL {window}: resumed at {at}; then there are {folders}")
  # Nothing that the kill left stays for good.
  assert not (tmp_path / "checkpoints" / "2").exists()
  assert sum("tmp" in name for name in folders) <= 1  # That of the last kill.
