# SPDX-License-Identifier: Apache-2.0
"""Who takes part in a run: what flags and launchers say of its processes.

JAX finds the other processes itself where a launcher says where they are. Here is
decided whether there are any: asking a cluster's services on a laptop would hang.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

# As `jax.distributed.initialize` has them.
STARTUP_TIMEOUT_S, HEARTBEAT_TIMEOUT_S = 300, 100
ALONE = "--num-processes=1 runs one process alone"


class ClusterError(ValueError):
  """The processes of a run cannot be found, or do not agree."""


@dataclasses.dataclass(frozen=True)
class Flags:
  """What the command line says; None leaves it to the environment."""

  coordinator: str | None = None
  num_processes: int | None = None
  process_id: int | None = None
  startup_timeout: int = STARTUP_TIMEOUT_S
  heartbeat_timeout: int = HEARTBEAT_TIMEOUT_S


def define_flags(values: Any) -> None:
  """Defines them on the `absl.flags.FlagValues` of a command line."""
  from absl import flags

  text = "Of several processes."
  flags.DEFINE_string("coordinator", None, text, flag_values=values)
  flags.DEFINE_integer(
    "num-processes", None, text, lower_bound=1, flag_values=values
  )
  flags.DEFINE_integer(
    "process-id", None, text, lower_bound=0, flag_values=values
  )
  for name, seconds in (
    ("startup-timeout", STARTUP_TIMEOUT_S),
    ("heartbeat-timeout", HEARTBEAT_TIMEOUT_S),
  ):
    flags.DEFINE_integer(name, seconds, text, lower_bound=1, flag_values=values)


def from_flags(values: Any) -> Flags:
  """Reads them."""
  names = (field.name for field in dataclasses.fields(Flags))
  return Flags(**{name: values[_flag(name)].value for name in names})


def _flag(name: str) -> str:
  return name.replace("_", "-")


@dataclasses.dataclass(frozen=True)
class Cluster:
  """Who takes part; JAX fills in what is None.

  Attributes:
    found_by: What said so, for people.
    method: JAX's name for looking there; "deactivate" looks nowhere.
    coordinator: HOST:PORT of process 0.
    num_processes: How many.
    process_id: Which this is.
    local_device_ids: The devices of this host that are this process's.
  """

  found_by: str
  method: str
  coordinator: str | None = None
  num_processes: int | None = None
  process_id: int | None = None
  local_device_ids: tuple[int, ...] | None = None


def find(flags: Flags, environ: Mapping[str, str]) -> Cluster | None:
  """Who takes part in the run; flags win over the environment.

  Args:
    flags: Of the command line.
    environ: The environment, after JAX was imported: without TPU chips JAX then
      sets TPU_SKIP_MDS_QUERY.

  Returns:
    None where this process is alone. Nothing is asked over the network.

  Raises:
    ClusterError: Says what was found and what is missing.
  """
  if flags.num_processes == 1:
    return None
  who = ("coordinator", "num_processes", "process_id")
  given = {n: v for n in who if (v := getattr(flags, n)) is not None}
  if len(given) == len(who):
    _check(flags)
    return Cluster("flags", "deactivate", **given)
  found = _find_launcher(environ, needs_coordinator="coordinator" not in given)
  if given and found is None:
    shown = ", ".join(f"--{_flag(name)}={v}" for name, v in given.items())
    missing = " and ".join(f"--{_flag(n)}" for n in who if n not in given)
    raise ClusterError(
      f"{shown} given, but not {missing}, and no launcher (SLURM, Open MPI,"
      " Cloud TPU) says so."
    )
  return None if found is None else dataclasses.replace(found, **given)


def _check(flags: Flags) -> None:
  assert flags.coordinator is not None
  assert flags.num_processes is not None and flags.process_id is not None
  host, _, port = flags.coordinator.rpartition(":")
  if not host or not port.isdigit():
    raise ClusterError(
      f"--coordinator={flags.coordinator!r} is not HOST:PORT, such as"
      " 10.0.0.1:8476."
    )
  if not 0 <= flags.process_id < flags.num_processes:
    raise ClusterError(
      f"--process-id={flags.process_id} is not one of 0 to"
      f" {flags.num_processes - 1} (--num-processes={flags.num_processes})."
    )


def _find_launcher(
  environ: Mapping[str, str], *, needs_coordinator: bool
) -> Cluster | None:
  """By the variables of a launcher, in the order in which JAX looks."""
  tasks = _number(environ, "OMPI_COMM_WORLD_SIZE")
  if tasks is not None and tasks > 1:
    return _open_mpi(environ, tasks, needs_coordinator)
  tasks = _number(environ, "SLURM_NTASKS")
  if tasks is not None and tasks > 1:
    return _slurm(environ, tasks)
  hosts = environ.get("TPU_PROCESS_ADDRESSES") or environ.get(
    "TPU_WORKER_HOSTNAMES"
  )
  if hosts:
    return _gke(environ, len(hosts.split(",")))
  if "TPU_SKIP_MDS_QUERY" not in environ:
    # There are chips: the machine's metadata says whether there are other hosts.
    return Cluster("Cloud TPU VM", "gcetpu")
  return None


def _open_mpi(
  environ: Mapping[str, str], tasks: int, needs_coordinator: bool
) -> Cluster:
  size = f"OMPI_COMM_WORLD_SIZE={tasks}"
  names = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK")
  _require(environ, names, size, "start the processes with mpirun")
  if needs_coordinator and "OMPI_MCA_orte_hnp_uri" not in environ:
    raise ClusterError(
      f"{size}, but OMPI_MCA_orte_hnp_uri is not set: Open MPI 5 does not say"
      " where process 0 is. Pass --coordinator=HOST:PORT with its host and a"
      f" free port there; {ALONE}."
    )
  return Cluster(
    "Open MPI",
    "ompi",
    num_processes=tasks,
    process_id=_number(environ, "OMPI_COMM_WORLD_RANK"),
    local_device_ids=_local(environ, "OMPI_COMM_WORLD_LOCAL_RANK"),
  )


def _slurm(environ: Mapping[str, str], tasks: int) -> Cluster:
  names = (
    *("SLURM_PROCID", "SLURM_LOCALID"),
    *("SLURM_JOB_ID", "SLURM_STEP_NODELIST"),
  )
  found = f"SLURM_NTASKS={tasks}"
  _require(environ, names, found, "start the processes with srun")
  return Cluster(
    "SLURM",
    "slurm",
    num_processes=tasks,
    process_id=_number(environ, "SLURM_PROCID"),
    local_device_ids=_local(environ, "SLURM_LOCALID"),
  )


def _gke(environ: Mapping[str, str], hosts: int) -> Cluster | None:
  slices = _number(environ, "MEGASCALE_NUM_SLICES") or 1
  if hosts * slices == 1:
    return None
  names = ["TPU_WORKER_ID"]
  if slices > 1:
    names += ["MEGASCALE_SLICE_ID", "MEGASCALE_COORDINATOR_ADDRESS"]
  found = f"TPU_WORKER_HOSTNAMES names {hosts} host(s) a slice"
  if slices > 1:
    found += f" and MEGASCALE_NUM_SLICES={slices}"
  _require(environ, names, found, "GKE sets them for pods that ask for a TPU")
  return Cluster("GKE TPU", "gketpu")


def _require(
  environ: Mapping[str, str], names: Sequence[str], found: str, remedy: str
) -> None:
  missing = [name for name in names if not environ.get(name)]
  if missing:
    verb = "is" if len(missing) == 1 else "are"
    raise ClusterError(
      f"{found}, but {' and '.join(missing)} {verb} not set: {remedy}; {ALONE}."
    )


def _number(environ: Mapping[str, str], name: str) -> int | None:
  text = environ.get(name)
  if not text:
    return None
  if not text.isdecimal():
    raise ClusterError(f"{name}={text!r} is not a whole number; {ALONE}.")
  return int(text)


def _local(environ: Mapping[str, str], name: str) -> tuple[int, ...] | None:
  """The GPU of a task, by its number on the host, as JAX would choose it."""
  if environ.get("JAX_LOCAL_DEVICE_IDS"):
    return None  # JAX reads it.
  visible = environ.get("CUDA_VISIBLE_DEVICES", "")
  if visible and "," not in visible:
    return (
      0,
    )  # The launcher gave each task a GPU, which is the only one here.
  index = _number(environ, name)
  return None if index is None else (index,)
