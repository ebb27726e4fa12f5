# SPDX-License-Identifier: Apache-2.0
"""`ramjax launch`: writes what starts a run on a pod or cluster, values checked.

It starts nothing itself: it fills in one of the files of `tools/launch/`.
"""

import argparse
import dataclasses
import importlib.resources
import json
import re
import shlex
import sys
from collections.abc import Callable, Sequence

from ramjax.tools import option_types, topologies
from ramjax.tools.topologies import Topology
from ramjax.trainers import cluster, command_line

# Where pods and SkyPilot's machines find the volume or bucket.
MOUNT = "/data"
# From SIGTERM to the end of a process: enough to save a checkpoint.
_GRACE_S = 120
_MAX_RESTARTS = 20
# Cloud TPU's "TPU software versions"; v4 and older have the plain image.
_RUNTIMES = {
  "v4": "tpu-ubuntu2204-base",
  "v5e": "v2-alpha-tpuv5-lite",
  "v5p": "v2-alpha-tpuv5",
  "v6e": "v2-alpha-tpuv6e",
}
# GKE's label cloud.google.com/gke-tpu-accelerator.
_GKE_LABELS = {
  "v4": "tpu-v4-podslice",
  "v5e": "tpu-v5-lite-podslice",
  "v5p": "tpu-v5p-slice",
  "v6e": "tpu-v6e-slice",
  "tpu7x": "tpu7x",
}
_SKYPILOT_GPUS = {"a100": "A100-80GB"}

# What names may be made of: the strictest of the places they go to.
_NAME = (r"[a-z]([-a-z0-9]{0,30}[a-z0-9])?", "lower case letters, digits and -")
_PATTERNS = {
  "name": _NAME,
  "cluster": _NAME,
  "claim": _NAME,
  "zone": (r"[a-z]+-[a-z]+\d+-[a-z]", "a zone such as us-east5-a"),
  "image": (r"[a-zA-Z0-9][\w.:@/-]*", "an image such as REGISTRY/ramjax:v1"),
  "bucket": (r"(gs|s3)://[a-z0-9][\w./-]*", "gs://NAME or s3://NAME"),
  "secret": (r"[A-Z_][A-Z0-9_]*", "the name of a variable, such as HF_TOKEN"),
  "runtime_version": (r"[a-z0-9][a-z0-9.-]*", "such as v2-alpha-tpuv5"),
  "install": (r"[^-\s\x00-\x1f][^\x00-\x1f]*", "what pip installs"),
  "workdir": (r"[^-\x00-\x1f][^\x00-\x1f]*", "a folder"),
  "config": (r"[^-\x00-\x1f][^\x00-\x1f]*", "a config file or its name"),
  "python": (r"[^-\x00-\x1f][^\x00-\x1f]*", "a Python interpreter"),
}


# What every place needs, as `train` and `plan` name it.
_RUN = ("topology", "name", "config", "workdir")


@dataclasses.dataclass(frozen=True)
class _Place:
  """Somewhere to run.

  Attributes:
    template: In `tools/launch/`.
    needs: Options without which it cannot be filled in, beside `_RUN`.
    takes: Options that it can do without.
    values: What is filled in beside what every place has.
  """

  template: str
  needs: tuple[str, ...]
  takes: tuple[str, ...]
  values: Callable[[argparse.Namespace, Topology, list[str]], dict[str, str]]


class LaunchError(ValueError):
  """The values do not make a launch."""


def main(argv: Sequence[str]) -> int:
  """Prints the file that starts the run.

  Args:
    argv: The arguments behind `ramjax launch`.

  Returns:
    The exit status: 0, or 1 if the values do not fit. Wrong options exit with
    2, as argparse does.
  """
  args, fields = _parser().parse_known_args(argv)
  try:
    print(render(args, fields), end="")
  except ValueError as error:
    print(f"ramjax launch: {error}", file=sys.stderr)
    return 1
  return 0


def render(args: argparse.Namespace, fields: Sequence[str]) -> str:
  """The file for a place, filled in.

  Args:
    args: Of the options.
    fields: Overrides of the config, and timeouts, which the run itself takes.

  Returns:
    Its text.

  Raises:
    ValueError: A value that is not allowed, missing, or of no use there.
  """
  place = _PLACES[args.on]
  _check_options(args, place)
  _check_run(args, fields)
  topology = topologies.find_topology(args.topology, num_slices=args.slices)
  train = [args.python or "python", "-m", "ramjax.trainers.launch"]
  train += [f"--config={args.config}", *fields, f"--workdir={args.workdir}"]
  values = {
    "NAME": args.name,
    "SLICES": str(args.slices),
    "GRACE_S": str(_GRACE_S),
    "MAX_RESTARTS": str(_MAX_RESTARTS),
    "MOUNT": MOUNT,
    **place.values(args, topology, train),
  }
  folder = importlib.resources.files("ramjax.tools") / "launch"
  text = (folder / place.template).read_text("utf-8")
  return re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], text)


def _check_options(args: argparse.Namespace, place: _Place) -> None:
  """Options are there where they are needed, of no other place, and sound."""
  needs = (*_RUN, *place.needs)
  known = {"on", "slices", *needs, *place.takes}
  missing = [
    f"{_flag(name)} ({_allowed(name)})"
    for name in needs
    if not getattr(args, name)
  ]
  if missing:
    raise LaunchError(f"--on={args.on} needs {' and '.join(missing)}.")
  for name, value in vars(args).items():
    if not value:
      continue
    if name not in known:
      raise LaunchError(f"{_flag(name)} is of no use with --on={args.on}.")
    if name in _PATTERNS:
      pattern, allowed = _PATTERNS[name]
      for text in [value] if isinstance(value, str) else value:
        if not re.fullmatch(pattern, text):
          raise LaunchError(f"{_flag(name)}={text!r} is not {allowed}.")


def _check_run(args: argparse.Namespace, fields: Sequence[str]) -> None:
  """The run's own command line, as far as it can be told from here."""
  if "://" in args.workdir:
    raise LaunchError(
      f"--workdir={args.workdir!r} is no folder: mount the bucket on every host,"
      " and name the folder in it (tools/launch/README.md)."
    )
  mounted = args.on in ("gke", "skypilot")
  if mounted and not f"{args.workdir}/".startswith(f"{MOUNT}/"):
    raise LaunchError(
      f"--workdir={args.workdir!r} would be lost with the machine: name a folder"
      f" in {MOUNT}, where --{'claim' if args.on == 'gke' else 'bucket'} is"
      " mounted."
    )
  own = ("--config.", "--startup-timeout=", "--heartbeat-timeout=")
  for field in fields:
    if not field.startswith(own) or re.search(r"[\x00-\x1f]", field):
      raise LaunchError(
        f"{field!r} is no option, nor a field of the config, which looks like"
        " --config.a.b=VALUE."
      )
  if re.fullmatch(r"(configs/)?\w+(\.py)?", args.config):
    # One that ships with ramjax, and so is the same there.
    command_line.parse(
      [f"--config={args.config}", *fields],
      program="ramjax launch",
      example="",
      define=cluster.define_flags,
    )


def _supervised(train: list[str]) -> list[str]:
  """The run, started again by itself: for places where nothing else does that."""
  return [train[0], "-m", "ramjax.tools.cli", "supervise", "--", *train]


def _tpu_vm(
  args: argparse.Namespace, topology: Topology, train: list[str]
) -> dict[str, str]:
  train = _supervised(train)
  return {
    **_cloud_tpu(args, topology),
    "RUNTIME_VERSION": _runtime(args, topology),
    "SPOT": str(int(args.spot)),
    "INSTALL": shlex.quote(args.install),
    "TRAIN": shlex.quote(shlex.join(train)),
  }


def _xpk(
  args: argparse.Namespace, topology: Topology, train: list[str]
) -> dict[str, str]:
  return {
    **_cloud_tpu(args, topology),
    "CLUSTER": args.cluster,
    "IMAGE": args.image,
    # It becomes part of a pod's command: see `_gke`. What has a $ in it is within
    # single quotes; they end behind it, and begin anew, so that no $( is left.
    "TRAIN": shlex.quote(shlex.join(train).replace("$", "$''")),
  }


def _gke(
  args: argparse.Namespace, topology: Topology, train: list[str]
) -> dict[str, str]:
  _require(topology, "tpu", args.on)
  hosts = topology.hosts_per_slice
  selector = {
    "cloud.google.com/gke-tpu-accelerator": _GKE_LABELS[topology.generation],
    "cloud.google.com/gke-tpu-topology": topology.name.partition(":")[2],
  }
  tolerations = [{"key": "google.com/tpu", "operator": "Exists"}]
  if args.spot:
    selector["cloud.google.com/gke-spot"] = "true"
    tolerations.append(
      {"key": "cloud.google.com/gke-spot", "operator": "Exists"}
    )
  return {
    "HOSTS": str(hosts),
    "CHIPS": str(topology.num_chips // topology.num_slices // hosts),
    "NODE_SELECTOR": json.dumps(selector),
    "TOLERATIONS": json.dumps(tolerations),
    "NAME": json.dumps(args.name),
    "IMAGE": json.dumps(args.image),
    "CLAIM": json.dumps(args.claim),
    # In a pod's command Kubernetes replaces $(NAME) by a variable, which may be
    # a secret, and $$ by $.
    "TRAIN": json.dumps([word.replace("$", "$$") for word in train]),
  }


def _slurm(
  args: argparse.Namespace, topology: Topology, train: list[str]
) -> dict[str, str]:
  _require(topology, "cuda", args.on)
  nodes = topology.hosts_per_slice
  # The file system is the same there as here, where the job is submitted.
  train[0] = args.python or sys.executable
  return {
    "NODES": str(nodes),
    "GPUS": str(topology.num_chips // nodes),
    "TRAIN": shlex.join(train),
  }


def _skypilot(
  args: argparse.Namespace, topology: Topology, train: list[str]
) -> dict[str, str]:
  # A managed job starts again where machines were lost, and not after a status.
  command = shlex.join(_supervised(train))
  resources: dict[str, object] = {"use_spot": args.spot}
  if topology.device.platform == "tpu":
    if args.slices > 1:
      raise LaunchError("--slices: SkyPilot makes one slice; use another --on.")
    slice_type = _cloud_tpu(args, topology)["ACCELERATOR_TYPE"]
    resources["accelerators"] = f"tpu-{slice_type}:1"
    version = _runtime(args, topology)
    resources["accelerator_args"] = {"runtime_version": version}
    nodes, jax = 1, "jax[tpu]"
  else:
    nodes, jax = topology.hosts_per_slice, "jax[cuda12]"
    gpu = topology.generation
    gpu = _SKYPILOT_GPUS.get(gpu, gpu.upper())
    resources["accelerators"] = f"{gpu}:{topology.num_chips // nodes}"
    # A process for each node, with all of its GPUs.
    command += (
      ' "--coordinator=$(echo "$SKYPILOT_NODE_IPS" | head -n1):8476"'
      ' "--num-processes=$SKYPILOT_NUM_NODES"'
      ' "--process-id=$SKYPILOT_NODE_RANK"'
    )
  return {
    "NAME": json.dumps(args.name),
    "NODES": str(nodes),
    "RESOURCES": json.dumps(resources),
    "SECRETS": json.dumps(dict.fromkeys(args.secret)),
    "BUCKET": json.dumps(args.bucket),
    "JAX": shlex.quote(jax),
    "INSTALL": shlex.quote(args.install),
    "TRAIN": command,
  }


def _cloud_tpu(args: argparse.Namespace, topology: Topology) -> dict[str, str]:
  _require(topology, "tpu", args.on)
  if not topology.accelerator_type:
    raise LaunchError(
      f"--topology={args.topology!r} has no name as an accelerator type of Cloud"
      " TPU: use --on=gke."
    )
  zone = {"ZONE": args.zone} if args.zone else {}
  return {"ACCELERATOR_TYPE": topology.accelerator_type, **zone}


def _runtime(args: argparse.Namespace, topology: Topology) -> str:
  return args.runtime_version or _RUNTIMES[topology.generation]


def _require(topology: Topology, platform: str, place: str) -> None:
  if topology.device.platform != platform:
    kind = {"tpu": "TPUs, such as v5p-128", "cuda": "GPUs, such as h100x16"}
    raise LaunchError(
      f"--topology={topology.name!r}: --on={place} is for {kind[platform]}."
    )


_PLACES = {
  "tpu_vm": _Place(
    "tpu_vm.sh", ("zone", "install"), ("spot", "runtime_version"), _tpu_vm
  ),
  "gke": _Place(
    "gke_jobset.yaml.tmpl", ("image", "claim"), ("spot", "python"), _gke
  ),
  "xpk": _Place("xpk.sh", ("zone", "cluster", "image"), ("python",), _xpk),
  "slurm": _Place("slurm.sbatch", (), ("python",), _slurm),
  "skypilot": _Place(
    "skypilot.yaml",
    ("install", "bucket"),
    ("spot", "secret", "runtime_version"),
    _skypilot,
  ),
}


def _allowed(name: str) -> str:
  """What an option may be, in words."""
  if name == "topology":
    return f"such as {topologies.EXAMPLES}"
  return _PATTERNS[name][1]


def _flag(name: str) -> str:
  return "--" + name.replace("_", "-")


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax launch",
    description=(
      "Print the file that starts a run on a pod or cluster, every value checked."
      "\nIt starts nothing: see the top of the file, and tools/launch/README.md."
    ),
    epilog=(
      "example:\n  ramjax launch --on=tpu_vm --topology=v5p-128 --name=sft8b"
      " --zone=us-east5-a\n    --install=git+https://HOST/ramjax@COMMIT"
      " --config=sft_quickstart\n    --workdir=/mnt/runs/sft8b > sft8b.sh"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = parser.add_argument
  add("--on", required=True, choices=list(_PLACES), help="where it runs")
  add("--topology", required=True, help=f"such as {topologies.EXAMPLES}")
  add(
    "--slices", type=option_types.positive_int, default=1, help="of a TPU pod"
  )
  add("--name", required=True, help="of the run, there")
  add("--config", required=True, help="and --config.a.b=VALUE, as in train")
  add("--workdir", required=True, help="a folder that every host can write")
  add("--zone", help="of the TPUs (tpu_vm) or the cluster (xpk)")
  add("--spot", action="store_true", help="machines that may be taken away")
  add("--runtime-version", help="of the TPU VM's image")
  add("--install", help="what pip installs there (tpu_vm, skypilot)")
  add("--image", help="container image with ramjax in it (gke, xpk)")
  add("--claim", help=f"PersistentVolumeClaim to mount at {MOUNT} (gke)")
  add("--bucket", help=f"gs:// or s3:// to mount at {MOUNT} (skypilot)")
  add("--cluster", help="of xpk")
  add("--python", help="interpreter there (gke, xpk; slurm: this one)")
  add(
    "--secret",
    action="append",
    default=[],
    metavar="NAME",
    help="variable whose value `sky launch --secret NAME` brings (skypilot)",
  )
  return parser
