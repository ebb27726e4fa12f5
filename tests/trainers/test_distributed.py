# SPDX-License-Identifier: Apache-2.0
"""Processes join when there are others, and leave in bounded time when one fails."""

import os
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import jax
import pytest

from ramjax.trainers import distributed
from ramjax.trainers.cluster import Cluster, ClusterError, Flags


def test_one_process_is_started_without_joining(monkeypatch):
  def refuse(**_):
    raise AssertionError("joined")

  monkeypatch.setattr(jax.distributed, "initialize", refuse)
  monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")
  said = []
  assert distributed.run(Flags(), lambda who: said.append(who) or 75) == 75
  assert said == [""]


def _arguments(monkeypatch, cluster, flags):
  """What `jax.distributed.initialize` is called with."""
  given = {}
  monkeypatch.setattr(jax.distributed, "initialize", given.update)
  distributed._initialize(cluster, flags)
  return given


def test_what_a_launcher_does_not_say_is_left_to_jax(monkeypatch):
  cluster = Cluster(
    "SLURM",
    "slurm",
    num_processes=4,
    process_id=2,
    local_device_ids=(0,),
  )
  given = _arguments(monkeypatch, cluster, Flags(None, None, None, 7, 9))
  assert given == {
    "coordinator_address": None,
    "num_processes": 4,
    "process_id": 2,
    "local_device_ids": (0,),
    "cluster_detection_method": "slurm",
    "initialization_timeout": 7,
    "heartbeat_timeout_seconds": 9,
    "coordinator_bind_address": None,
  }


@pytest.mark.parametrize(
  "coordinator,bound",
  [
    ("localhost:1", "localhost:1"),
    ("127.0.0.1:1", "127.0.0.1:1"),
    ("10.0.0.1:1", None),
  ],
)
def test_two_processes_on_one_machine_do_not_listen_to_the_network(
  monkeypatch, coordinator, bound
):
  cluster = Cluster("flags", "deactivate", coordinator, 2, 0)
  given = _arguments(monkeypatch, cluster, Flags())
  assert given["coordinator_bind_address"] == bound


def test_a_tpu_launcher_without_a_tpu_is_refused(monkeypatch):
  # Or sixteen hosts would train on their processors, slowly and in silence.
  monkeypatch.delenv("JAX_PLATFORMS", raising=False)
  with pytest.raises(
    ClusterError, match=r"GKE TPU: JAX sees no TPU .*jax\[tpu"
  ):
    distributed._refuse_missing_tpu(Cluster("GKE TPU", "gketpu"))
  distributed._refuse_missing_tpu(Cluster("SLURM", "slurm"))
  monkeypatch.setenv("JAX_PLATFORMS", "cpu")
  distributed._refuse_missing_tpu(Cluster("GKE TPU", "gketpu"))


class _LeftError(Exception):
  """In place of the end of the process."""


@pytest.fixture(name="joined")
def _joined(monkeypatch):
  """A process that has found others, of which there is none; its ends."""
  ends = []
  joined = SimpleNamespace(num_processes=2, process_id=1, client=None)
  monkeypatch.setattr(distributed, "_joined", lambda: joined)
  monkeypatch.setattr(distributed, "find", lambda *_: _GKE)
  monkeypatch.setattr(distributed, "_initialize", lambda *_: None)
  monkeypatch.setattr(distributed, "_look_at_the_others", lambda over: None)
  monkeypatch.setattr(sys, "stdout", sys.stdout)  # As `run` changes it.

  def leave(status):
    ends.append(status)
    raise _LeftError

  monkeypatch.setattr(distributed, "_leave", leave)
  previous = signal.getsignal(signal.SIGTERM)
  yield joined, ends
  signal.signal(signal.SIGTERM, previous)


_GKE = Cluster("GKE TPU", "gketpu")


def test_a_process_without_its_tpu_ends_as_one_that_made_a_mistake(
  joined, monkeypatch, capsys
):
  # JAX's own exit would wait 300 s for the others, and they for it.
  monkeypatch.delenv("JAX_PLATFORMS", raising=False)
  _, ends = joined
  with pytest.raises(_LeftError):
    distributed.run(Flags(), lambda who: pytest.fail("it began"))
  assert ends == [1]
  said = capsys.readouterr().err
  assert "process 1: GKE TPU: JAX sees no TPU here" in said
  assert "Traceback" not in said


def test_devices_that_do_not_start_end_a_process_in_the_same_way(
  joined, monkeypatch, capsys
):
  def fail(cluster):
    raise RuntimeError("Unable to initialize backend 'tpu': it is in use.")

  monkeypatch.setattr(distributed, "_refuse_missing_tpu", fail)
  _, ends = joined
  with pytest.raises(_LeftError):
    distributed.run(Flags(), lambda who: pytest.fail("it began"))
  assert ends == [1] and "it is in use." in capsys.readouterr().err


def test_a_process_alone_without_its_tpu_is_refused_at_once(
  joined, monkeypatch
):
  monkeypatch.delenv("JAX_PLATFORMS", raising=False)
  joined[0].num_processes = 1
  with pytest.raises(ClusterError, match="JAX sees no TPU here"):
    distributed.run(Flags(), lambda who: pytest.fail("it began"))


def test_what_jax_says_goes_with_how_the_processes_were_found(monkeypatch):
  def fail(**_):
    raise RuntimeError("DEADLINE_EXCEEDED")

  monkeypatch.setattr(jax.distributed, "initialize", fail)
  with pytest.raises(ClusterError, match=r"SLURM: .* DEADLINE_EXCEEDED"):
    distributed._initialize(Cluster("SLURM", "slurm"), Flags())


_SCRIPT = """
import os, pathlib, sys, time
import jax
from jax.experimental import multihost_utils
from ramjax.trainers import distributed, provenance
from ramjax.trainers.cluster import Cluster, ClusterError, Flags

port, index, what, patience = sys.argv[1:]
flags = Flags("localhost:" + port, 2, int(index), int(patience), 10)

def main(who):
  print("started")
  if what == "end":
    return 0
  if what == "preempted":
    return 75
  if what == "differ":
    config = {"seed": int(index), "run": {"allow_config_change": False}}
    provenance.refuse_other_config(pathlib.Path("none"), config)
  if what == "both" or index == what:
    raise ValueError(who + "cannot go on")
  if what == "0, the other is lost":
    if index == "0":
      raise ValueError(who + "cannot go on")
    time.sleep(2)
    return 77
  if what == "1, in a computation":
    if index == "1":
      time.sleep(2)
      raise ValueError(who + "cannot go on")
    multihost_utils.sync_global_devices("never")
  if what == "1 is lost":
    return 77 if index == "1" else time.sleep(600)
  time.sleep(600)

if what == "0 without a TPU" or what == "1 without a TPU":
  cluster = Cluster("GKE TPU", "gketpu", "localhost:" + port, 2, int(index), (0,))
  distributed.find = lambda *_: cluster
  if index == what[0]:
    # JAX has read it: the CPU, though nobody says here that it is meant.
    del os.environ["JAX_PLATFORMS"]

try:
  sys.exit(distributed.run(flags, main))
except ClusterError as error:
  sys.exit(f"not joined: {error}")
"""


def _start(what, indices=(0, 1), patience=120):
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    port = probe.getsockname()[1]
  environ = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
  return [
    subprocess.Popen(
      [
        sys.executable,
        "-c",
        _SCRIPT,
        str(port),
        str(index),
        what,
        str(patience),
      ],
      env=environ | {"JAX_PLATFORMS": "cpu"},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for index in indices
  ]


def _finish(processes):
  """Status, standard output and errors of each."""
  # Well below the 300 s for which JAX's own exit waits for the others.
  said = [process.communicate(timeout=200) for process in processes]
  return [
    (process.returncode, *texts)
    for process, texts in zip(processes, said, strict=True)
  ]


@pytest.mark.slow
@pytest.mark.parametrize("what,status", [("end", 0), ("preempted", 75)])
def test_the_first_of_two_tells_and_both_end_alike(what, status):
  (first, out, _), (second, silent, _) = _finish(_start(what))
  assert (first, second) == (status, status)
  assert out.startswith("2 processes (flags), 2 x cpu, 1 in this one; jax ")
  assert "started" in out and "started" not in silent


@pytest.mark.slow
def test_both_say_what_they_fail_of():
  for index, (status, _, errors) in enumerate(_finish(_start("both"))):
    assert status == 1
    assert f"process {index}: cannot go on" in errors


@pytest.mark.slow
def test_processes_with_different_configs_all_end_and_say_where():
  (one, _, first), (other, _, second) = _finish(_start("differ"))
  assert (one, other) == (1, 1)
  refusal = "process 0 of this run was given, and what this process was:\n"
  refusal += "  seed: 0 there, 1 now"
  assert f"process 1 failed: what {refusal}" in first
  assert f"ValueError: what {refusal}" in second


@pytest.mark.slow
@pytest.mark.parametrize("what", ["0", "1", "1, in a computation"])
def test_a_mistake_on_one_ends_both_with_its_status(what):
  index = int(what[0])
  found = _finish(_start(what))
  assert [status for status, _, _ in found] == [1, 1]
  assert f"process {index}: cannot go on" in found[index][2]
  said = f"process {1 - index}: another process of the run failed: ending with"
  assert f"{said} its status, 1." in found[1 - index][2]


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
def test_one_host_without_its_tpu_ends_both_at_once(index):
  found = _finish(_start(f"{index} without a TPU"))
  assert [status for status, _, _ in found] == [1, 1]
  assert f"process {index}: GKE TPU: JAX sees no TPU here" in found[index][2]
  said = f"process {1 - index}: another process of the run failed: ending with"
  assert f"{said} its status, 1." in found[1 - index][2]


@pytest.mark.slow
def test_what_looks_lost_beside_a_mistake_is_no_more_than_that():
  found = _finish(_start("0, the other is lost"))
  assert [status for status, _, _ in found] == [1, 1]


@pytest.mark.slow
def test_one_that_lost_a_device_ends_both_as_worth_a_restart():
  found = _finish(_start("1 is lost"))
  assert [status for status, _, _ in found] == [77, 77]


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
def test_one_whose_neighbour_never_comes_gives_up(index):
  ((status, out, _),) = _finish(_start("end", [index], patience=3))
  assert status != 0
  assert "started" not in out
