# SPDX-License-Identifier: Apache-2.0
"""PPO and its family: sample, score, and climb.

GRPO, RLOO, REINFORCE++, Dr. GRPO, DAPO and GSPO are this algorithm with other
values in `config.credit`, `config.loss` and `config.rollout`; `configs/README.md`
says which.
"""

import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections
from jax.sharding import Mesh

from ramjax.evals import rewards as rewards_lib
from ramjax.models.config import LlamaConfig
from ramjax.trainers import (
  benchmarks,
  credit,
  critic,
  first_step,
  loop,
  own_rewards,
  policy_objective,
  processes,
  prompt_data,
  prompt_evaluator,
  reward_model,
  rollout_batches,
  rollouts,
  run,
  shared_base,
  starting_model,
)
from ramjax.trainers.algorithm import Algorithm, Setting
from ramjax.trainers.online_batches import OnlineBatches
from ramjax.trainers.step import Objective


def main(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  runner: benchmarks.Runner | None = None,
) -> loop.Outcome:
  """Runs the experiment in `config`, or continues it, in `workdir`."""
  return run.run(config, workdir, make_algorithm(config, workdir), runner)


def make_algorithm(
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> Algorithm:
  """The functions of a run with this config.

  Raises:
    ValueError: A reward, or an option of the credit or the loss, is not known.
  """
  terms = rewards_lib.find_rewards(
    config.rewards.to_dict(), own_rewards.loaded()
  )
  credit.refuse_unknown(config.credit, config.rollout.group_size)
  if config.reference.cache:
    raise ValueError(
      f"reference.cache={config.reference.cache!r} keeps log-probabilities of"
      " rows, and the answers here are new ones: leave it out."
    )

  def make_objective(
    model_config: LlamaConfig,
    *,
    reference_config: LlamaConfig | None,
    **loss: Any,
  ) -> Objective:
    run.require_language_model(model_config, "ppo")
    return policy_objective.make_objective(
      model_config,
      loss=loss,
      temperature=config.rollout.temperature,
      # A KL term is all that a reference is for.
      reference_config=reference_config if loss["kl_coef"] else None,
      critic_config=critic.make_config(config, model_config, workdir),
    )

  def add_critic(
    config: ml_collections.ConfigDict,
    model_config: LlamaConfig,
    trained: Any,
    frozen: Any,
    mesh: Mesh,
  ) -> Any:
    shape = critic.make_config(config, model_config, workdir)
    assert shape is not None  # By the name of its credit.
    added = critic.init_params(config, shape, trained, frozen, mesh, workdir)
    return {**trained, critic.CRITIC: added}

  def make_evaluator(
    config: ml_collections.ConfigDict,
    model_config: LlamaConfig,
    data: prompt_data.PromptData,
    mesh: Mesh,
    objective: Objective,
  ) -> prompt_evaluator.PromptEvaluator:
    del mesh, objective  # The sampler finds its own way.
    return prompt_evaluator.PromptEvaluator(config, model_config, data, terms)

  def sample_batches(setting: Setting) -> OnlineBatches:
    return _sample_batches(setting, terms)

  return Algorithm(
    load_data=prompt_data.load_prompt_data,
    train_batches=_no_batches,
    sample_batches=sample_batches,
    count_batch=_count,
    make_objective=make_objective,
    make_evaluator=make_evaluator,
    describe_source=_describe_source,
    check_first_step=functools.partial(
      first_step.check_on_policy, dtype=config.model.dtype
    ),
    add_params=add_critic if config.credit.name == "gae" else None,
    describe_roles=_describe_roles,
  )


def _sample_batches(
  setting: Setting, terms: tuple[rewards_lib.Term, ...]
) -> OnlineBatches:
  config, mesh, data = setting.config, setting.mesh, setting.data
  critic_config = critic.make_config(
    config, setting.model_config, setting.workdir
  )
  _refuse_windows(
    config, setting.model_config, setting.reference_config, critic_config
  )
  start = reward_model.choose(config, setting.workdir)
  scorer = None
  if start is not None:
    adapters, reason = shared_base.find(
      start, setting.model_config, config, setting.workdir
    )
    if reason and processes.is_first():
      print(
        f"the reward model in {start.folder} does not share the policy's base,"
        f" and another is loaded for it: {reason}",
        flush=True,
      )
    scorer = reward_model.RewardModel(
      start,
      setting.model_config,
      mesh,
      row_length=config.data.max_length,
      adapters=adapters,
    )
  maker = rollouts.RolloutMaker(
    config,
    setting.model_config,
    tokenizer=data.tokenizer,
    stop_tokens=data.stop_tokens,
    terms=terms,
    reward_model=scorer,
    assess=policy_objective.make_assess(
      setting.model_config,
      temperature=config.rollout.temperature,
      chunk_size=config.loss.chunk_size,
      reference_config=setting.reference_config,
      critic_config=critic_config,
    ),
    mesh=mesh,
  )
  return OnlineBatches(
    config, setting.workdir, data.train, data.weights, maker, mesh
  )


def _refuse_windows(
  config: ml_collections.ConfigDict, *models: LlamaConfig | None
) -> None:
  """Raises before a rollout is sampled that no update could use."""
  if not rollouts.shares_prompts(config):
    return
  for model in models:
    if model is not None and model.sliding_window is not None:
      raise ValueError(
        f"data.share_prompt=True, and policy, reference or critic has"
        f" sliding_window={model.sliding_window}, which counts places of a row"
        " and not of a text: set data.share_prompt=False."
      )


def _no_batches(config: ml_collections.ConfigDict, data: Any) -> Any:
  raise AssertionError("an online run samples its batches.")


def _describe_roles(
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> Mapping[str, Any]:
  """Critic and reward model, where they are read from disk."""
  found = {
    "critic": critic.choose(config, workdir),
    "reward_model": reward_model.choose(config, workdir),
  }
  return {
    role: starting_model.describe(start)
    for role, start in found.items()
    if start is not None and start.folder is not None
  }


def _count(batch: rollout_batches.RolloutBatch) -> loop.BatchCounts:
  return loop.BatchCounts(*rollout_batches.count_tokens(batch))


def _describe_source(counts: Mapping[str, Any]) -> str:
  return (
    f"{counts['rows_train']} prompts to sample from,"
    f" {counts['rows_held_out']} held out,"
    f" {counts['rows_quarantined']} quarantined,"
    f" {counts['prompts_too_long']} + {counts['held_out_prompts_too_long']}"
    " too long"
  )
