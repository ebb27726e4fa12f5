# SPDX-License-Identifier: Apache-2.0
"""Who takes part in a run, by flags and by the variables of each launcher."""

import os
import subprocess
import sys

import pytest
from absl import flags

from ramjax.trainers import cluster
from ramjax.trainers.cluster import Cluster, ClusterError, Flags, find

# JAX sets it where it sees no TPU chips.
_NO_TPU = {"TPU_SKIP_MDS_QUERY": "1"}
_SLURM = {
  **_NO_TPU,
  "SLURM_JOB_ID": "77",
  "SLURM_STEP_NODELIST": "node[3-4]",
  "SLURM_NTASKS": "4",
  "SLURM_PROCID": "2",
  "SLURM_LOCALID": "0",
}
_OPEN_MPI = {
  **_NO_TPU,
  "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911",
  "OMPI_COMM_WORLD_SIZE": "2",
  "OMPI_COMM_WORLD_RANK": "1",
  "OMPI_COMM_WORLD_LOCAL_RANK": "1",
}
_GKE = {
  "TPU_WORKER_HOSTNAMES": "h0,h1,h2,h3",
  "TPU_WORKER_ID": "1",
}
_SLICES = {
  **_GKE,
  "MEGASCALE_NUM_SLICES": "2",
  "MEGASCALE_SLICE_ID": "1",
  "MEGASCALE_COORDINATOR_ADDRESS": "h0",
}


def _without(environ, *names):
  return {k: v for k, v in environ.items() if k not in names}


@pytest.mark.parametrize(
  "environ",
  [
    _NO_TPU,
    # A single task, and an allocation that is none of SLURM's steps.
    _SLURM | {"SLURM_NTASKS": "1"},
    _OPEN_MPI | {"OMPI_COMM_WORLD_SIZE": "1"},
    # A host of its own on GKE, and a compiler for TPUs that are not there.
    {"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"},
    {"TPU_WORKER_HOSTNAMES": "localhost", **_NO_TPU},
    # Of Kubernetes itself JAX would ask its API.
    {"KUBERNETES_SERVICE_HOST": "10.0.0.1", **_NO_TPU},
  ],
)
def test_one_process_looks_for_no_others(environ):
  assert find(Flags(), environ) is None


def test_importing_jax_says_that_a_machine_without_tpus_has_none():
  """What `find` relies on to ask no metadata server on a laptop."""
  code = (
    "import os, jax; from ramjax.trainers import cluster;"
    " print(cluster.find(cluster.Flags(), os.environ))"
  )
  environ = _without(os.environ, "TPU_SKIP_MDS_QUERY")
  done = subprocess.run(
    [sys.executable, "-c", code], env=environ, capture_output=True, text=True
  )
  assert done.stdout.strip() == "None", done.stderr


def test_slurm_names_the_task_and_its_device():
  assert find(Flags(), _SLURM) == Cluster(
    "SLURM",
    "slurm",
    num_processes=4,
    process_id=2,
    local_device_ids=(0,),
  )


def test_open_mpi_names_the_rank_and_its_device():
  assert find(Flags(), _OPEN_MPI) == Cluster(
    "Open MPI",
    "ompi",
    num_processes=2,
    process_id=1,
    local_device_ids=(1,),
  )


def test_open_mpi_goes_before_slurm_as_mpirun_may_run_in_a_job():
  found = find(Flags(), _SLURM | _OPEN_MPI)
  assert found is not None and found.found_by == "Open MPI"


@pytest.mark.parametrize("environ", [_GKE, _SLICES])
def test_gke_is_left_to_jax(environ):
  assert find(Flags(), environ) == Cluster("GKE TPU", "gketpu")


def test_two_slices_of_one_host_each_are_two_processes():
  found = find(Flags(), _SLICES | {"TPU_WORKER_HOSTNAMES": "h0"})
  assert found == Cluster("GKE TPU", "gketpu")


def test_chips_without_a_launcher_are_a_cloud_tpu_vm():
  assert find(Flags(), {}) == Cluster("Cloud TPU VM", "gcetpu")


@pytest.mark.parametrize(
  "visible,local,device",
  [("", "3", 3), ("0,1,2,3", "3", 3), ("3", "3", 0), ("GPU-4f2a", "1", 0)],
)
def test_a_gpu_of_its_own_is_the_first_one_that_a_task_sees(
  visible, local, device
):
  environ = {"SLURM_LOCALID": local, "CUDA_VISIBLE_DEVICES": visible}
  found = find(Flags(), _SLURM | environ)
  assert found is not None and found.local_device_ids == (device,)


def test_devices_named_for_jax_stay_named():
  found = find(Flags(), _SLURM | {"JAX_LOCAL_DEVICE_IDS": "0,1"})
  assert found is not None and found.local_device_ids is None


def test_flags_win_over_the_environment():
  flags_ = Flags("10.0.0.1:8476", 3, 2)
  for environ in (_NO_TPU, _SLURM, _without(_SLURM, "SLURM_PROCID"), {}):
    assert find(flags_, environ) == Cluster(
      "flags", "deactivate", "10.0.0.1:8476", 3, 2
    )


def test_a_flag_fills_in_what_the_launcher_does_not_say():
  # Open MPI 5 has no URI of its launcher.
  environ = _without(_OPEN_MPI, "OMPI_MCA_orte_hnp_uri")
  found = find(Flags("10.0.0.1:8476"), environ)
  assert found is not None
  assert (found.coordinator, found.num_processes, found.process_id) == (
    "10.0.0.1:8476", 2, 1,
  )  # fmt: skip


@pytest.mark.parametrize("environ", [_SLURM, {}, {"SLURM_NTASKS": "4"}])
def test_one_process_by_flag_asks_nobody(environ):
  assert find(Flags(num_processes=1), environ) is None


@pytest.mark.parametrize(
  "environ,message",
  [
    (
      _without(_SLURM, "SLURM_PROCID"),
      "SLURM_NTASKS=4, but SLURM_PROCID is not set: start the processes with"
      " srun",
    ),
    (
      {**_NO_TPU, "SLURM_NTASKS": "4"},
      "SLURM_PROCID and SLURM_LOCALID and SLURM_JOB_ID and SLURM_STEP_NODELIST"
      " are not set",
    ),
    (_SLURM | {"SLURM_NTASKS": "2(x3)"}, "SLURM_NTASKS='2(x3)' is not a whole"),
    (
      _without(_OPEN_MPI, "OMPI_MCA_orte_hnp_uri"),
      "Pass --coordinator=HOST:PORT",
    ),
    (
      _without(_OPEN_MPI, "OMPI_COMM_WORLD_RANK"),
      "OMPI_COMM_WORLD_SIZE=2, but OMPI_COMM_WORLD_RANK is not set",
    ),
    (
      _without(_GKE, "TPU_WORKER_ID"),
      "names 4 host(s) a slice, but TPU_WORKER_ID is not set",
    ),
    (
      _without(_SLICES, "MEGASCALE_SLICE_ID"),
      "MEGASCALE_NUM_SLICES=2, but MEGASCALE_SLICE_ID is not set",
    ),
  ],
)
def test_what_is_missing_is_named_and_how_to_run_alone(environ, message):
  with pytest.raises(ClusterError) as caught:
    find(Flags(), environ)
  assert message in str(caught.value)
  assert "--num-processes=1 runs one process alone" in str(caught.value)


@pytest.mark.parametrize(
  "given,message",
  [
    (Flags("h:1"), "--coordinator=h:1 given, but not --num-processes and"),
    (Flags(process_id=0, num_processes=2), "but not --coordinator, and no"),
    (Flags("h", 2, 0), "--coordinator='h' is not HOST:PORT"),
    (Flags("h:x", 2, 0), "--coordinator='h:x' is not HOST:PORT"),
    (Flags("h:1", 2, 2), "--process-id=2 is not one of 0 to 1"),
  ],
)
def test_flags_that_do_not_fit_are_refused(given, message):
  with pytest.raises(ClusterError, match=message):
    find(given, _NO_TPU)


def test_flags_come_from_the_command_line():
  values = flags.FlagValues()
  cluster.define_flags(values)
  values(
    [
      *("train", "--coordinator=h:1", "--num-processes=2", "--process-id=1"),
      *("--startup-timeout=5", "--heartbeat-timeout=6"),
    ]
  )
  assert cluster.from_flags(values) == Flags("h:1", 2, 1, 5, 6)


def test_timeouts_are_jaxs_own_unless_given():
  values = flags.FlagValues()
  cluster.define_flags(values)
  values(["train"])
  assert cluster.from_flags(values) == Flags(None, None, None, 300, 100)
