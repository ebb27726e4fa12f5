# SPDX-License-Identifier: Apache-2.0
"""Several processes become one run: they find each other, and none waits for ever."""

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from ramjax.trainers import exit_status
from ramjax.trainers.cluster import ALONE, Cluster, ClusterError, Flags, find

# How long a process that failed waits for others that fail of the same: none is
# killed before it has said why.
_FAIL_TOGETHER_MS = 10_000
# What the run ends with, in the store that all processes share.
_STATUS = "ramjax/status"
# Between two looks at that, and for a process to fail of the same by itself.
_LOOK_S = 1.0
_OWN_WORDS_S = 3.0


class NotFoundError(ClusterError):
  """The other processes did not come in time."""


def run(flags: Flags, main: Callable[[str], int]) -> int:
  """Joins the other processes, if there are any, and runs `main`.

  To be called before anything uses a device. Process 0 says who takes part; what
  the others print on standard output is dropped. A process of several that fails
  ends here, and at once: its exit would wait minutes for the others, which wait
  for it. They end with its status: what was a mistake on one of them is none that
  another start would mend, whatever it looks like on the rest.

  Args:
    flags: Of the command line.
    main: Given what the process calls itself in front of an error ("process 3: ",
      "" where it is alone), returns the exit status.

  Returns:
    That status.

  Raises:
    ClusterError: The others cannot be found, or did not come in time; or what is
      here is not what the launcher says, where the process is alone.
  """
  import jax

  cluster = None
  if not jax.distributed.is_initialized():
    cluster = find(flags, os.environ)
    if cluster is None:
      return main("")
    _initialize(cluster, flags)
    # JAX's handler would swallow the signal; the loop has one that does not.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
  if _joined().num_processes == 1:
    _begin(cluster)
    return main("")
  who = f"process {_joined().process_id}: "
  # From here on the others wait, already for the devices of this one.
  with _ends_with_the_others():
    try:
      _begin(cluster)
      status = main(who)
    except ClusterError as error:
      print(f"{who}{error}", file=sys.stderr)
      status = exit_status.FAILED
    except BaseException:
      traceback.print_exc()
      status = exit_status.FAILED
  is_orderly = status in (exit_status.FINISHED, exit_status.PREEMPTED)
  return status if is_orderly else _leave(status)


def _begin(cluster: Cluster | None) -> None:
  """The first look at the devices; says who takes part, if this joined them.

  Raises:
    ClusterError: They are not those of the launcher.
  """
  import jax

  if cluster is None:
    return
  jax.devices()  # The processes wait here for each other's.
  _refuse_missing_tpu(cluster)
  if _joined().process_id == 0:
    print(_describe(cluster), flush=True)
  else:
    sys.stdout = open(os.devnull, "w")


def _leave(status: int) -> NoReturn:
  """Ends a process of several that failed, whatever the others do."""
  with contextlib.suppress(Exception):
    status = _agree(status)
    # Passes at once where all fail of the same.
    _client().wait_at_barrier("ramjax/failed", _FAIL_TOGETHER_MS)
  sys.stdout.flush()
  sys.stderr.flush()
  if _joined().process_id == 0:
    # It holds the service, without which JAX aborts the others.
    time.sleep(_LOOK_S)
  os._exit(status)


def _agree(status: int) -> int:
  """What this process ends with, said to the others.

  One that lost another ends as that did; else its own status counts.
  """
  is_lost = status == exit_status.LOST
  with contextlib.suppress(Exception):  # Another was first.
    _client().key_value_set(_STATUS, str(status), allow_overwrite=not is_lost)
  return int(_client().key_value_try_get(_STATUS)) if is_lost else status


@contextlib.contextmanager
def _ends_with_the_others() -> Iterator[None]:
  """A context in which this process ends soon after one that failed.

  It may wait in a computation for that one, where no signal is handled.
  """
  over = threading.Event()
  thread = threading.Thread(
    target=_look_at_the_others, args=(over,), name="others", daemon=True
  )
  thread.start()
  try:
    yield
  finally:
    over.set()
    # It may ask a service that has gone silent.
    thread.join(_OWN_WORDS_S)


def _look_at_the_others(over: threading.Event) -> None:
  while not over.wait(_LOOK_S):
    with contextlib.suppress(Exception):  # Nobody has failed.
      status = int(_client().key_value_try_get(_STATUS))
      if over.wait(_OWN_WORDS_S):
        return
      print(
        f"process {_joined().process_id}: another process of the run failed:"
        f" ending with its status, {status}.",
        file=sys.stderr,
      )
      _leave(status)


def _joined() -> Any:
  """What JAX knows of the processes before it has looked at a device."""
  # It has no public name for that; see `processes`.
  from jax._src import distributed

  return distributed.global_state


def _client() -> Any:
  client = _joined().client
  assert client is not None
  return client


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


def _refuse_missing_tpu(cluster: Cluster) -> None:
  """Raises where a TPU's launcher started a process that sees none."""
  import jax

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
