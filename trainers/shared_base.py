# SPDX-License-Identifier: Apache-2.0
"""Adapters of another run on the base that the policy adapts: one base for both.

A reward model or a critic that was trained with adapters on the policy's own
base needs no second base in memory: 16 GB of an 8B model in bfloat16.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import ml_collections
from jax.sharding import Mesh

from ramjax.models import llama, partition, run_adapters, weights
from ramjax.models.config import COMPUTE_FIELDS, LlamaConfig
from ramjax.trainers import starting_model
from ramjax.trainers.starting_model import Start


def find(
  start: Start,
  policy: LlamaConfig,
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
) -> run_adapters.Adapters | None:
  """The adapters of a run, where they are on the policy's base.

  Args:
    start: Names a folder.
    policy: The policy's shape.
    config: Of the run.
    workdir: Of the run.

  Returns:
    The adapters; their config is computed as the policy is. None where either
    has no adapters, or the bases differ: in their weights, or in how they are
    held (NF4 or not), for then the adapters would mean something else.
  """
  assert start.folder is not None
  is_run = (start.folder / weights.MODEL_FILE).is_file()
  if policy.lora is None or not is_run:
    return None
  if weights.load_config(start.folder).lora is None:
    return None
  adapters = run_adapters.load(
    start.folder, step=start.step, average=start.average
  )
  base = starting_model.choose(config, workdir)
  if (
    base.folder is None
    or adapters.config.quantization != policy.quantization
    or adapters.fingerprint != starting_model.describe(base)["fingerprint"]
  ):
    return None
  compute = {name: getattr(policy, name) for name in COMPUTE_FIELDS}
  return adapters._replace(
    config=dataclasses.replace(adapters.config, **compute)
  )


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
