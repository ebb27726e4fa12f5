# SPDX-License-Identifier: Apache-2.0
"""Adapters of another run on the base that the policy adapts: one base for both.

A reward model or a critic that was trained with adapters on the policy's own
base needs no second base in memory: 16 GB of an 8B model in bfloat16.
"""

import dataclasses
import pathlib
from typing import Any, NamedTuple

import jax
import ml_collections
from jax.sharding import Mesh

from ramjax.models import llama, partition, run_adapters, weights
from ramjax.models.config import COMPUTE_FIELDS, LlamaConfig
from ramjax.trainers import starting_model
from ramjax.trainers.starting_model import Start


class Found(NamedTuple):
  """Whether a run's model is adapters on the policy's base.

  Attributes:
    adapters: They, with a config that is computed as the policy's; None where
      nothing is shared.
    reason: Why not, where both models have adapters; else "".
  """

  adapters: run_adapters.Adapters | None
  reason: str = ""


def find(
  start: Start,
  policy: LlamaConfig,
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
) -> Found:
  """Looks for adapters on the policy's base in the run that `start` names.

  Args:
    start: Names a folder.
    policy: The policy's shape.
    config: Of the run.
    workdir: Of the run.

  Returns:
    What there is. The base must be the same checkpoint of the same folder, with
    the same fingerprint, and held alike (NF4 or not): a fingerprint alone reads
    too little to tell near relatives apart.
  """
  assert start.folder is not None
  is_run = (start.folder / weights.MODEL_FILE).is_file()
  if policy.lora is None or not is_run:
    return Found(None)
  if weights.load_config(start.folder).lora is None:
    return Found(None)
  adapters = run_adapters.load(
    start.folder, step=start.step, average=start.average
  )
  own = starting_model.choose(config, workdir)
  if own.folder is None:
    return Found(None, "the policy starts from random weights")
  theirs = (
    adapters.base.resolve(),
    adapters.base_step,
    adapters.base_average,
  )
  ours = (own.folder.resolve(), own.step, own.average)
  if theirs != ours:
    return Found(
      None, f"its base is {_named(*theirs)}, and the policy's {_named(*ours)}"
    )
  if adapters.config.quantization != policy.quantization:
    return Found(
      None,
      f"its base was held as {adapters.config.quantization!r}, and the policy's"
      f" is as {policy.quantization!r} (lora.quantize_base)",
    )
  if adapters.fingerprint != starting_model.describe(own)["fingerprint"]:
    return Found(None, f"{own.folder} has changed since it was trained")
  compute = {name: getattr(policy, name) for name in COMPUTE_FIELDS}
  return Found(
    adapters._replace(config=dataclasses.replace(adapters.config, **compute))
  )


def _named(folder: pathlib.Path, step: int | None, average: bool) -> str:
  at = "" if step is None else f" at step {step}"
  return f"{folder}{at}{', its moving average' if average else ''}"


def on_mesh(adapters: run_adapters.Adapters, mesh: Mesh) -> Any:
  """The trained leaves of `adapters`, laid out over a mesh."""
  shardings, _ = partition.split(
    llama.param_shardings(adapters.config, mesh), adapters.config
  )
  return jax.device_put(adapters.params, shardings)


def joined(own: Any, frozen: Any) -> Any:
  """Adapters and a head of their own, on a policy's base.

  Args:
    own: From `on_mesh`.
    frozen: The policy's parameters: their adapters and LM head are left out.
  """
  base = partition.without_adapters(frozen)
  base.pop("lm_head", None)
  return partition.join(own, base)
