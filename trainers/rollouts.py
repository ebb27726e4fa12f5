# SPDX-License-Identifier: Apache-2.0
"""Makes rollouts: sample, score, assess, assign credit."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import Mesh

from ramjax.data.tokenizers import Tokenizer
from ramjax.evals import rewards as rewards_lib
from ramjax.evals.running_moments import RunningMoments
from ramjax.evals.sample_seeds import sample_seed
from ramjax.losses.kl_estimators import kl_estimate
from ramjax.models import llama, sampler, sharding
from ramjax.models.config import LlamaConfig
from ramjax.trainers import credit, critic, rollout_batches, sampled_groups
from ramjax.trainers.prompt_data import Prompt
from ramjax.trainers.reward_model import RewardModel
from ramjax.trainers.rollout import Rollout
from ramjax.trainers.sampled_groups import Group, Sampled
from ramjax.trainers.state import TrainState

# Name of the reward model among the parts of a score.
MODEL_PART = "model"
# Batches of prompts sampled for one rollout, at most, where groups whose
# answers are all worth the same are left out.
_MOST_TRIES = 4


@dataclasses.dataclass(frozen=True)
class Made:
  """A rollout and what is told of it.

  Attributes:
    rollout: For the updates.
    records: For people, one object an answer.
    metrics: Named `rollout/...`.
    num_prompts: Prompts that were sampled from.
    kl: Mean over the answers of the summed KL estimate, in nats.
    moments: Of all scores so far, where they are normalised.
  """

  rollout: Rollout
  records: list[Mapping[str, Any]]
  metrics: dict[str, float]
  num_prompts: int
  kl: float
  moments: RunningMoments


class RolloutMaker:
  """Samples from the policy, and says what each answer is worth."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    model_config: LlamaConfig,
    *,
    tokenizer: Tokenizer,
    stop_tokens: tuple[int, ...],
    terms: tuple[rewards_lib.Term, ...],
    reward_model: RewardModel | None,
    assess: Callable[..., Any],
    mesh: Mesh,
  ):
    """Checks the options of `config.rollout`.

    Args:
      config: Of the run.
      model_config: Of the policy.
      tokenizer: Of the policy.
      stop_tokens: Ids that end an answer.
      terms: The rewards.
      reward_model: Beside them, or None.
      assess: From `policy_objective.make_assess`.
      mesh: Of the updates.

    Raises:
      ValueError: No rewards, or an option out of range.
    """
    if not terms and reward_model is None:
      raise ValueError(
        "rewards is empty and reward_model names no model: say what an answer is"
        " worth, as in config.rewards.task = dict(weight=1.0)."
      )
    options = config.rollout
    self._config = config
    self._model_config = model_config
    self._tokenizer = tokenizer
    self._sampling = sampled_groups.sampling_options(
      config, stop_tokens, options.max_new_tokens
    )
    if reward_model is not None and MODEL_PART in {term.name for term in terms}:
      raise ValueError(
        f"rewards.{MODEL_PART} has the name under which the scores of"
        " reward_model are recorded: give it another."
      )
    if options.temperature == 0:
      raise ValueError(
        "rollout.temperature=0.0 takes the most likely token, so that the answers"
        " of a group are all the same: set it above 0."
      )
    if options.drop_uniform_groups and options.group_size < 2:
      raise ValueError(
        f"rollout.drop_uniform_groups=True compares the answers to a prompt, and"
        f" rollout.group_size={options.group_size}: sample at least 2, or leave"
        " it out."
      )
    clip = config.scores.clip
    if clip is not None and not clip > 0:
      raise ValueError(
        f"scores.clip={clip} must be above 0, or None for no limit."
      )
    self._terms = terms
    self._reward_model = reward_model
    self._assess = assess
    self._mesh = mesh
    self._sampling_mesh = mesh
    if options.tensor_parallel is not None:
      self._sampling_mesh = sharding.make_mesh(
        {"data": -1, "tensor": options.tensor_parallel}
      )

  def make(
    self,
    state: TrainState,
    prompt_at: Callable[[int], Prompt],
    *,
    first_prompt: int,
    kl_coef: float,
    moments: RunningMoments,
    check: Callable[[], None],
  ) -> Made:
    """Makes a rollout with the policy as it is.

    Args:
      state: Of the run.
      prompt_at: The prompt of each number.
      first_prompt: Number of the first one to sample from.
      kl_coef: What a nat away from the reference costs.
      moments: Of the scores so far.
      check: Called whenever an answer ends; it may raise.

    Returns:
      The rollout.

    Raises:
      NonFiniteError: The policy gives no probabilities any more.
    """
    sampled, of_sampling = self._sample(state, prompt_at, first_prompt, check)
    rollout, scores = sampled.rollout, sampled.scores
    normalised, moments = self._normalise(scores.total, moments)
    assessed = self._assess_all(state, rollout)
    rollout = dataclasses.replace(rollout, scores=normalised, **assessed)
    estimates = _kl_estimates(self._config.loss.kl_estimator, rollout)
    in_reward = self._config.loss.kl_in == "reward"
    given = _assign(
      self._config.credit,
      rollout,
      kl_coef * estimates if in_reward else np.zeros_like(estimates),
      self._config.rollout.group_size,
    )
    rollout = dataclasses.replace(
      rollout,
      advantages=np.asarray(given.advantages),
      returns=np.asarray(given.returns),
    )
    kl = float(estimates.sum(axis=1).mean())
    return Made(
      rollout=rollout,
      records=_records(sampled, rollout),
      metrics={
        **_metrics(sampled, rollout, self._config),
        **of_sampling,
        "rollout/kl": kl,
      },
      num_prompts=int(of_sampling["rollout/prompts"]),
      kl=kl,
      moments=moments,
    )

  def _sample(
    self,
    state: TrainState,
    prompt_at: Callable[[int], Prompt],
    first: int,
    check: Callable[[], None],
  ) -> tuple[Sampled, dict[str, float]]:
    """Answers to a rollout's worth of prompts, and figures of all sampled."""
    options = self._config.rollout
    wanted = options.prompts
    params = self._sampling_params(state)
    kept: list[Group] = []
    spare: list[Group] = []
    used = 0
    for _ in range(_MOST_TRIES if options.drop_uniform_groups else 1):
      numbers = range(first + used, first + used + wanted)
      used += wanted
      prompts = [prompt_at(i) for i in numbers]
      for group in self._answer(params, state.frozen, prompts, numbers, check):
        varies = group.varies or not options.drop_uniform_groups
        (kept if varies else spare).append(group)
      if len(kept) >= wanted:
        break
    every = kept + spare
    figures = {
      "rollout/prompts": float(used),
      # Before any group is left out.
      "rollout/score": float(np.mean([g.scores.total.mean() for g in every])),
    }
    if options.group_size > 1:
      uniform = np.mean([not group.varies for group in every])
      figures["rollout/uniform_groups"] = float(uniform)
    # Too few that vary: the rest teaches nothing, and keeps the shapes.
    return sampled_groups.together(every[:wanted]), figures

  def _sampling_params(self, state: TrainState) -> Any:
    params = critic.without(state.all_params)
    if self._sampling_mesh is self._mesh:
      return params
    return jax.device_put(
      params, llama.param_shardings(self._model_config, self._sampling_mesh)
    )

  def _answer(
    self,
    params: Any,
    frozen: Any,
    prompts: Sequence[Prompt],
    numbers: Sequence[int],
    check: Callable[[], None],
  ) -> list[Group]:
    size = self._config.rollout.group_size
    requests = [
      sampler.Request(
        prompt=prompt.tokens,
        options=self._sampling,
        seed=sample_seed(self._config.seed, number, k),
      )
      for prompt, number in zip(prompts, numbers, strict=True)
      for k in range(size)
    ]
    with jax.set_mesh(self._sampling_mesh):
      samples = sampler.sample(
        params,
        self._model_config,
        requests,
        num_slots=self._config.rollout.num_slots,
        vocab_size=self._tokenizer.vocab_size,
        progress=lambda _: check(),
      )
    sampled_groups.refuse_broken(samples)
    asked = [prompt for prompt in prompts for _ in range(size)]
    answers = sampled_groups.to_answers(
      asked, samples, self._tokenizer, self._sampling.stop_tokens
    )
    scores = sampled_groups.score(self._terms, answers)
    rollout = sampled_groups.unassessed(
      asked, samples, self._config.rollout.max_new_tokens
    )
    if self._reward_model is not None:
      raw = self._reward_model.score(rollout, frozen)
      weight = self._config.reward_model.weight
      scores = rewards_lib.Scores(
        total=scores.total + np.float32(weight) * raw,
        parts={**scores.parts, MODEL_PART: raw},
      )
    return [
      Group(
        [answers[i] for i in range(at, at + size)],
        sampled_groups.rows_of(rollout, slice(at, at + size)),
        rewards_lib.Scores(
          scores.total[at : at + size],
          {name: part[at : at + size] for name, part in scores.parts.items()},
        ),
      )
      for at in range(0, len(samples), size)
    ]

  def _normalise(
    self, scores: np.ndarray, moments: RunningMoments
  ) -> tuple[np.ndarray, RunningMoments]:
    options = self._config.scores
    if options.normalise:
      moments = moments.update(scores)
      scores = moments.normalise(scores, clip=options.clip)
    elif options.clip is not None:
      scores = np.clip(scores, -options.clip, options.clip)
    return scores, moments

  def _assess_all(
    self, state: TrainState, rollout: Rollout
  ) -> dict[str, np.ndarray]:
    """Per-token arrays [N, R] of the policy, the reference and the critic."""
    config = self._config
    num_samples = len(rollout.scores)
    size = config.data.batch_size
    results: dict[str, list[np.ndarray]] = {}
    for first in range(0, num_samples, size):
      chosen = np.arange(first, first + size)
      places = place(config, rollout, chosen, self._mesh)
      batch = rollout_batches.pack(rollout, chosen, places, {})
      assessed = jax.device_get(
        self._assess(
          state.all_params,
          state.all_reference,
          sharding.place_batch(batch, self._mesh),
          num_microbatches=config.data.num_microbatches,
        )
      )
      for name, field in (
        ("old_logps", "logps"),
        ("ref_logps", "ref_logps"),
        ("values", "values"),
      ):
        results.setdefault(name, []).append(
          rollout_batches.unpack(
            getattr(assessed, field), rollout, chosen, places
          )
        )
    return {name: np.concatenate(parts) for name, parts in results.items()}


def place(
  config: ml_collections.ConfigDict,
  rollout: Rollout,
  chosen: np.ndarray,
  mesh: Mesh,
) -> rollout_batches.Places:
  """Where some samples of a rollout lie in the rows of an update."""
  groups = None
  if shares_prompts(config):
    groups = chosen // config.rollout.group_size
  return rollout_batches.place(
    rollout.prompt_lengths[chosen],
    rollout.response_lengths[chosen],
    row_length=config.data.max_length,
    multiple=config.data.num_microbatches * sharding.num_batch_shards(mesh),
    groups=groups,
  )


def shares_prompts(config: ml_collections.ConfigDict) -> bool:
  """Whether the answers of a group stand behind one prompt."""
  return config.data.share_prompt and config.rollout.group_size > 1


def _kl_estimates(kind: str, rollout: Rollout) -> np.ndarray:
  """[N, R] estimates of the KL from policy to reference, 0 beyond answers."""
  mask = rollout.mask
  estimates = kl_estimate(
    logps=jnp.asarray(rollout.old_logps.reshape(-1)),
    ref_logps=jnp.asarray(rollout.ref_logps.reshape(-1)),
    kind=kind,
  )
  return np.where(mask, np.asarray(estimates).reshape(mask.shape), 0.0)


_compiled_assign = jax.jit(
  credit.assign, static_argnums=0, static_argnames="group_size"
)


def _assign(
  options: Any, rollout: Rollout, penalties: np.ndarray, group_size: int
) -> credit.Credit:
  return _compiled_assign(
    credit.Options(**options.to_dict()),
    scores=jnp.asarray(rollout.scores),
    kl_penalties=jnp.asarray(penalties, jnp.float32),
    values=jnp.asarray(rollout.values),
    mask=jnp.asarray(rollout.mask),
    group_size=group_size,
  )


def _records(sampled: Sampled, rollout: Rollout) -> list[Mapping[str, Any]]:
  return [
    {
      "prompt": [
        {"role": turn.role, "content": turn.content} for turn in answer.prompt
      ],
      "response": answer.response,
      "finished": answer.finished,
      "num_tokens": answer.num_tokens,
      "score": float(sampled.scores.total[i]),
      # Normalised and cut, as `config.scores` says.
      "learned_score": float(rollout.scores[i]),
      "rewards": {
        name: float(part[i]) for name, part in sampled.scores.parts.items()
      },
    }
    for i, answer in enumerate(sampled.answers)
  ]


def _metrics(
  sampled: Sampled, rollout: Rollout, config: ml_collections.ConfigDict
) -> dict[str, float]:
  """What a rollout came to, by name."""
  mask = rollout.mask
  gap = np.abs(rollout.old_logps - rollout.drawn_logps)[mask]
  metrics = {
    "rollout/score_std": float(sampled.scores.total.std()),
    **{
      f"rollout/rewards/{name}": float(part.mean())
      for name, part in sampled.scores.parts.items()
    },
    "rollout/response_tokens": float(rollout.response_lengths.mean()),
    "rollout/finished": float(np.mean([a.finished for a in sampled.answers])),
    # Of the sampled tokens alone: an estimate of the policy's entropy, in nats.
    "rollout/entropy": float(-rollout.old_logps[mask].mean()),
    # Sampler and trainer compute the same log-probability in another order, or
    # the sampler left tokens out (top-k, top-p).
    "rollout/sampler_gap": float(gap.mean()),
    "rollout/sampler_gap_max": float(gap.max()),
  }
  if config.credit.name == "gae":
    residual = np.var((rollout.returns - rollout.values)[mask])
    spread = np.var(rollout.returns[mask])
    explained = 1 - residual / spread if spread > 0 else 0.0
    metrics["rollout/explained_variance"] = float(explained)
  return metrics
