# SPDX-License-Identifier: Apache-2.0
"""What made a run: `config.json` and `manifest.json` beside its checkpoints.

A used folder is only continued by the same config and the same data. All
processes of a run have the same config, code and data, and see one folder.
"""

import importlib.metadata
import json
import pathlib
import platform
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import jax

from ramjax.models import weights
from ramjax.trainers import processes

CONFIG_FILE = "config.json"
MANIFEST_FILE = "manifest.json"
# Fields that say how a run is watched, not what it computes: they may differ
# between the launches of one run.
FREE_FIELDS = frozenset(
  {
    "checkpoint.local_dir",
    "checkpoint.local_every_steps",
    "fit.checkpoint.local_dir",
    "fit.checkpoint.local_every_steps",
    "run.allow_config_change",
    "run.check_replicas_every",
    "run.compilation_cache",
    "run.first_step_checks",
    "run.log_every",
    "run.profile_steps",
    "run.require_doctor",
    "run.tensorboard",
    "run.tracebacks",
    "run.wandb_project",
    "run.watchdog_long_seconds",
    "run.watchdog_seconds",
  }
)

# What of a manifest decides which run it is.
_IDENTITY = (
  *("data", "tokenizer_sha256", "template"),
  *("initial_weights", "reference", "critic", "reward_model"),
)
# What of it all processes have in common.
_COMMON = (*_IDENTITY, "num_parameters", "code", "libraries", "python")

_LIBRARIES = (
  "ramjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain",
  "numpy", "sentencepiece", "tokenizers",
)  # fmt: skip


def build_manifest(
  *,
  data: Mapping[str, Any],
  tokenizer_digest: str,
  template: str,
  template_digest: str,
  num_parameters: int,
  initial_weights: Mapping[str, Any],
  reference: Mapping[str, Any] | None = None,
  roles: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
  """Everything needed to say which code, data and machine made a run.

  Args:
    data: Per source: path, rows and content fingerprint.
    tokenizer_digest: SHA-256 of the tokenizer's file.
    template: Name of the chat template.
    template_digest: SHA-256 of what the template renders.
    num_parameters: Of the model.
    initial_weights: Folder and fingerprint, or the seed of random ones.
    reference: What the policy is compared with, if anything.
    roles: Other models that take part, by role: a critic, a reward model.

  Returns:
    A JSON-able dict. The environment is not in it: it may hold secrets.
  """
  devices = jax.devices()
  return {
    "data": dict(data),
    "tokenizer_sha256": tokenizer_digest,
    "template": {"name": template, "sha256": template_digest},
    "num_parameters": num_parameters,
    "initial_weights": dict(initial_weights),
    "reference": None if reference is None else dict(reference),
    **(roles or {}),
    "code": code_version(),
    "libraries": {name: _version(name) for name in _LIBRARIES},
    "python": platform.python_version(),
    "platform": platform.platform(),
    "devices": {
      "kind": devices[0].device_kind,
      "platform": devices[0].platform,
      "count": len(devices),
      "processes": jax.process_count(),
    },
    "command": sys.argv,
  }


def refuse_other_config(
  workdir: pathlib.Path, config: Mapping[str, Any]
) -> None:
  """Raises if another config used the folder; reads only `config.json`.

  Also if the processes of this run have been given different ones.

  Args:
    workdir: May not exist yet.
    config: The resolved config, nested. With `run.allow_config_change` every
      difference to the folder's is accepted.

  Raises:
    ValueError: Names each field that differs, with both values.
  """
  _refuse_other_processes(config)
  _refuse_changed_config(workdir, config)


def _refuse_changed_config(
  workdir: pathlib.Path, config: Mapping[str, Any]
) -> None:
  path = workdir / CONFIG_FILE
  if path.exists() and not config["run"]["allow_config_change"]:
    _refuse(workdir, _differences(json.loads(path.read_text()), config))


def refuse_foreign_model(workdir: pathlib.Path) -> None:
  """Raises if the folder holds a model that no run here has made.

  Such as `ramjax convert` writes: a run would overwrite it.

  Raises:
    ValueError: There is a model without a manifest.
  """
  model = workdir / weights.MODEL_FILE
  if model.exists() and not (workdir / MANIFEST_FILE).exists():
    raise ValueError(
      f"{workdir} holds a model that no run made there, and this run would"
      " overwrite it. Give another --workdir; to start from that model, name it"
      " in init.from_run."
    )


def claim_workdir(
  workdir: pathlib.Path,
  config: Mapping[str, Any],
  manifest: Mapping[str, Any],
) -> None:
  """Writes both files, or refuses a folder that another config or data used.

  Of several processes the first one does; all must have the same manifest.

  Args:
    workdir: Created if missing.
    config: The resolved config, nested.
    manifest: From `build_manifest`.

  Raises:
    ValueError: The folder holds another config, data, tokenizer or template;
      names each field that differs, with both values. Or another process does
      not see the folder, or has other data or code.
  """
  _refuse_other_processes({name: manifest.get(name) for name in _COMMON})
  written = processes.first_tells(lambda: _claim(workdir, config, manifest))
  processes.together(lambda: _require_seen(workdir, written))


def _claim(
  workdir: pathlib.Path,
  config: Mapping[str, Any],
  manifest: Mapping[str, Any],
) -> str:
  """Writes both files; what the manifest then holds."""
  _refuse_changed_config(workdir, config)
  workdir.mkdir(parents=True, exist_ok=True)
  manifest_path = workdir / MANIFEST_FILE
  if manifest_path.exists() and not config["run"]["allow_config_change"]:
    old = json.loads(manifest_path.read_text())
    _refuse(
      workdir,
      _differences(
        {name: old.get(name) for name in _IDENTITY},
        {name: manifest.get(name) for name in _IDENTITY},
      ),
    )
  _write_json(workdir / CONFIG_FILE, config)
  _write_json(manifest_path, manifest)
  return manifest_path.read_text()


def _refuse_other_processes(own: Mapping[str, Any]) -> None:
  """Raises on all processes if one has something else than the first."""
  first = processes.first_tells(lambda: own)

  def compare() -> None:
    if differing := _differences(first, own, frozenset()):
      raise ValueError(
        "what process 0 of this run was given, and what this process was:\n  "
        + "\n  ".join(differing)
        + "\nStart all with the same command, code and data."
      )

  processes.together(compare)


def _require_seen(workdir: pathlib.Path, written: str) -> None:
  """Raises if this process does not see what the first one wrote."""
  path = workdir / MANIFEST_FILE
  if not processes.sees(lambda: path.is_file() and path.read_text() == written):
    raise ValueError(
      f"--workdir={workdir} is another folder here than on process 0, which"
      " writes to it: give one that all processes see, such as one on a network"
      " file system."
    )


def _refuse(workdir: pathlib.Path, differing: list[str]) -> None:
  if differing:
    raise ValueError(
      f"{workdir} was made by another run:\n  "
      + "\n  ".join(differing)
      + "\nGive another --workdir, go back to those values, or pass"
      " --config.run.allow_config_change=True to continue with the new ones."
    )


def _differences(
  old: Mapping[str, Any],
  new: Mapping[str, Any],
  free: frozenset[str] = FREE_FIELDS,
) -> list[str]:
  before, after = _flat(old), _flat(new)
  missing = "(absent)"
  return [
    f"{name}: {before.get(name, missing)!r} there,"
    f" {after.get(name, missing)!r} now"
    for name in sorted(before.keys() | after.keys())
    if before.get(name, missing) != after.get(name, missing)
    and name not in free
  ]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  leaves = {}
  for key, value in tree.items():
    if isinstance(value, Mapping):
      leaves.update(_flat(value, f"{prefix}{key}."))
    else:
      # As JSON would store it, so that a tuple equals the list read back.
      leaves[prefix + key] = json.loads(json.dumps(value))
  return leaves


def _write_json(path: pathlib.Path, value: Mapping[str, Any]) -> None:
  temporary = path.with_suffix(".tmp")
  temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
  temporary.replace(path)


def _version(distribution: str) -> str | None:
  try:
    return importlib.metadata.version(distribution)
  except importlib.metadata.PackageNotFoundError:
    return None


def code_version() -> dict[str, Any]:
  """Git commit of the source tree; None outside a checkout."""
  root = pathlib.Path(__file__).resolve().parent.parent

  def git(*arguments: str) -> str | None:
    try:
      done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
      )
    except (OSError, subprocess.SubprocessError):
      return None
    return done.stdout.strip()

  # A wheel inside another project's checkout must not report that project.
  if not (root / ".git").exists():
    return {"commit": None, "modified": None}
  status = git("status", "--porcelain")
  return {
    "commit": git("rev-parse", "HEAD"),
    "modified": None if status is None else bool(status),
  }
