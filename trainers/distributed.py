# SPDX-License-Identifier: Apache-2.0
"""Several processes become one run: they find each other, and none waits for ever."""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from ramjax.trainers import exit_status
from ramjax.trainers.cluster import ALONE, Cluster, ClusterError, Flags, find

# How long a process that failed waits for others that fail of the same: none is
# killed before it has said why.
_FAIL_TOGETHER_MS = 5_000


class NotFoundError(ClusterError):
  """The other processes did not come in time."""


def run(flags: Flags, main: Callable[[str], int]) -> int:
  """Joins the other processes, if there are any, and runs `main`.

  To be called before anything uses a device. Process 0 says who takes part; what
  the others print on standard output is dropped. A process of several that fails
  ends here, and at once: its exit would wait minutes for the others, which wait
  for it.

  Args:
    flags: Of the command line.
    main: Given what the process calls itself in front of an error ("process 3: ",
      "" where it is alone), returns the exit status.

  Returns:
    That status.

  Raises:
    ClusterError: The others cannot be found, or did not come in time.
  """
  import jax

  joined = jax.distributed.is_initialized()
  if not joined and (cluster := find(flags, os.environ)) is not None:
    _initialize(cluster, flags)
    # JAX's handler would swallow the signal; the loop has one that does not.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    joined = True
    if jax.process_index() == 0:
      print(_describe(cluster), flush=True)
    else:
      sys.stdout = open(os.devnull, "w")
  if not joined or jax.process_count() == 1:
    return main("")
  try:
    status = main(f"process {jax.process_index()}: ")
  except BaseException:
    traceback.print_exc()
    status = 1
  is_orderly = status in (exit_status.FINISHED, exit_status.PREEMPTED)
  return status if is_orderly else _leave(status)


def _leave(status: int) -> NoReturn:
  """Ends a process of several that failed, whatever the others do."""
  with contextlib.suppress(Exception):
    # JAX has no public name for the service; see `processes`.
    from jax._src import distributed

    client = distributed.global_state.client
    assert client is not None
    # Passes at once where all fail of the same.
    client.wait_at_barrier("ramjax/failed", _FAIL_TOGETHER_MS)
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


def _initialize(cluster: Cluster, flags: Flags) -> None:
  import jax

  # One that listens everywhere would be open to the network, to start two
  # processes on one machine.
  local = (cluster.coordinator or "").rpartition(":")[0] in (
    "localhost", "127.0.0.1",
  )  # fmt: skip
  try:
    jax.distributed.initialize(
      coordinator_address=cluster.coordinator,
      num_processes=cluster.num_processes,
      process_id=cluster.process_id,
      local_device_ids=cluster.local_device_ids,
      cluster_detection_method=cluster.method,
      initialization_timeout=flags.startup_timeout,
      heartbeat_timeout_seconds=flags.heartbeat_timeout,
      coordinator_bind_address=cluster.coordinator if local else None,
    )
  except ValueError as error:  # What JAX makes of the environment.
    raise ClusterError(f"{cluster.found_by}: {error} ({ALONE}.)") from error
  except RuntimeError as error:
    raise NotFoundError(
      f"{cluster.found_by}: the processes did not find each other: {error}\n"
      f"({ALONE}.)"
    ) from error
  is_tpu = cluster.method in ("gketpu", "gcetpu")
  if is_tpu and not os.environ.get("JAX_PLATFORMS"):
    if jax.default_backend() != "tpu":
      raise ClusterError(
        f"{cluster.found_by}: JAX sees no TPU here: pip install 'jax[tpu]', or"
        " JAX_PLATFORMS=cpu where the CPU is meant."
      )


def _describe(cluster: Cluster) -> str:
  import jax

  from ramjax.trainers import provenance

  code = provenance.code_version()
  commit = (code["commit"] or "unknown")[:10]
  changed = " (changed)" if code["modified"] else ""
  return (
    f"{jax.process_count()} processes ({cluster.found_by}),"
    f" {jax.device_count()} x {jax.devices()[0].device_kind},"
    f" {jax.local_device_count()} in this one; jax {jax.__version__}, commit"
    f" {commit}{changed}"
  )
