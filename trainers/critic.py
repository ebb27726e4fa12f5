# SPDX-License-Identifier: Apache-2.0
"""The critic of PPO: a second model beside the policy, with a score head.

Its parameters are the branch `critic` of the trained parameters. Beside
adapters the two share one frozen base: the critic is that base with adapters and
a head of its own, new ones or those of a reward model.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from jax.sharding import Mesh

from ramjax.models import (
  frozen_base,
  heads,
  llama,
  new_head,
  partition,
  source_params,
)
from ramjax.models.config import COMPUTE_FIELDS, LlamaConfig
from ramjax.models.lora_config import LM_HEAD, LoraConfig
from ramjax.trainers import shared_base, starting_model
from ramjax.trainers.state import CRITIC


def choose(
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> starting_model.Start:
  """The reward model that `config.critic` names, if it names one.

  Raises:
    ValueError: Fields that contradict each other.
    FileNotFoundError: There is no such folder or checkpoint.
  """
  return starting_model.choose_from(
    config.critic, "critic", workdir, recorded_as="critic"
  )


def make_config(
  config: ml_collections.ConfigDict,
  policy: LlamaConfig,
  workdir: pathlib.Path,
) -> LlamaConfig | None:
  """The critic's shape; None where the credit has none.

  Args:
    config: Of the run.
    policy: Of the policy.
    workdir: Of the run; one that is continued keeps its critic's checkpoint.

  Raises:
    ValueError: A model is named and no critic is used, or it is no reward
      model with one score and the policy's vocabulary.
    FileNotFoundError: There is no such folder or checkpoint.
  """
  start = choose(config, workdir)
  if config.credit.name != "gae":
    if start.folder is not None:
      raise ValueError(
        f"critic names {start.folder}, and credit.name={config.credit.name!r}"
        " has no critic: leave it out, or use credit.name='gae'."
      )
    return None
  if start.folder is None:
    return dataclasses.replace(policy, num_labels=1, lora=_own_adapters(policy))
  adapters, reason = shared_base.find(start, policy, config, workdir)
  if adapters is not None:
    shape = adapters.config
  else:
    source = start.open()
    source.close()
    shape = source.config
  if shape.num_labels != 1 or shape.vocab_size != policy.vocab_size:
    raise ValueError(
      f"the critic in {start.folder} has num_labels={shape.num_labels} and"
      f" vocab_size={shape.vocab_size}: name a reward model with one score and"
      f" the policy's vocabulary of {policy.vocab_size}."
    )
  if adapters is None and policy.lora is not None:
    raise ValueError(
      f"critic names {start.folder}, and with lora.rank the critic shares the"
      f" policy's base{f': {reason}' if reason else ''}. Name a reward model with"
      " adapters on that very base, or none."
    )
  compute = {name: getattr(policy, name) for name in COMPUTE_FIELDS}
  return dataclasses.replace(shape, **compute)


def _own_adapters(policy: LlamaConfig) -> LoraConfig | None:
  """Those of the policy, but for the LM head, which a critic does not have."""
  if policy.lora is None:
    return None
  modules = tuple(m for m in policy.lora.modules if m.name != LM_HEAD)
  if not modules:
    raise ValueError(
      "lora.targets names the LM head alone, and the critic of"
      " credit.name='gae' has none: name other layers, too."
    )
  return dataclasses.replace(policy.lora, modules=modules)


def init_params(
  config: ml_collections.ConfigDict,
  critic_config: LlamaConfig,
  trained: Any,
  frozen: Any,
  mesh: Mesh,
  workdir: pathlib.Path,
) -> dict[str, Any]:
  """The branch `critic`: a reward model's parameters, or the policy's.

  Args:
    config: Of the run.
    critic_config: From `make_config`.
    trained: Of the policy.
    frozen: The same.
    mesh: Where they go.
    workdir: As for `make_config`.

  Returns:
    Parameters to train.
  """
  start = choose(config, workdir)
  if start.folder is not None and critic_config.lora is not None:
    return _load_adapters(config, critic_config, start, mesh, workdir)
  if start.folder is not None:
    with start.reading() as source:
      return source_params.load_params(source, mesh)
  # Another key than the policy's, whose adapters are drawn too.
  key = jax.random.fold_in(jax.random.key(config.seed), 1)
  head = new_head.new_score_head(critic_config, key, mesh, init_std=0.0)
  if critic_config.lora is None:
    copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))
    base = {name: x for name, x in trained.items() if name != "lm_head"}
    return {**copy(base), "score": head}
  base = partition.without_adapters(frozen)
  base.pop("lm_head", None)
  adapted = frozen_base.adapt(base, critic_config, key, mesh)
  return {**partition.adapters_of(adapted), "score": head}


def _load_adapters(
  config: ml_collections.ConfigDict,
  critic_config: LlamaConfig,
  start: starting_model.Start,
  mesh: Mesh,
  workdir: pathlib.Path,
) -> dict[str, Any]:
  # The base is compared with the policy's, whose fields those are, too.
  adapters, reason = shared_base.find(start, critic_config, config, workdir)
  if adapters is None:
    raise ValueError(
      f"the critic in {start.folder} had the policy's base a moment ago, and has"
      f" it no more: {reason}. Does training go on there? Name a checkpoint."
    )
  return shared_base.on_mesh(adapters, mesh)


def without(params: Any) -> Any:
  """The policy's parameters alone."""
  return {name: x for name, x in params.items() if name != CRITIC}


def values(params: Any, config: LlamaConfig, batch: Any) -> jax.Array:
  """What the critic expects at every token; flat, [B * T] float32.

  Args:
    params: Policy and critic, frozen base included.
    config: Of the critic.
    batch: A `RolloutBatch`.
  """
  own = params[CRITIC]
  if config.lora is not None:
    own = shared_base.joined(own, without(params))
  hidden = llama.apply(
    own,
    config,
    batch.tokens,
    positions=batch.positions,
    segment_ids=batch.segment_ids,
    branch_ids=batch.branch_ids,
  )
  return heads.scores(own, hidden)[..., 0].reshape(-1)
