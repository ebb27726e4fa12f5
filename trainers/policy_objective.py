# SPDX-License-Identifier: Apache-2.0
"""What a policy-gradient step minimises, and what it is told beforehand.

One objective for PPO, GRPO, RLOO, REINFORCE++, Dr. GRPO, DAPO and GSPO: they
differ in the advantages (`credit.py`), in what a ratio is of, in the clip, in
how tokens are weighted and in where the KL term stands.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ramjax.evals.likelihood import likelihood
from ramjax.losses.clipped_policy import clipped_policy
from ramjax.losses.clipped_value import clipped_value
from ramjax.losses.importance_weights import truncated_importance
from ramjax.losses.kl_estimators import kl_estimate
from ramjax.losses.token_weights import token_weights
from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models import sharding
from ramjax.models.config import LlamaConfig
from ramjax.trainers import critic
from ramjax.trainers.rollout_batches import RolloutBatch
from ramjax.trainers.step import GATE_PREFIX, Objective, map_microbatches

RATIOS = ("token", "sequence")
KL_PLACES = ("reward", "loss")


class Assessed(NamedTuple):
  """Per-token results of the models of a run; [B, T], 0 where none is sampled.

  Attributes:
    logps: Log-probabilities under the policy.
    ref_logps: Under the reference; `logps` where there is none.
    values: What the critic expects.
  """

  logps: jax.Array
  ref_logps: jax.Array
  values: jax.Array


def refuse_unknown(loss: Any) -> None:
  """Raises for options of `config.loss` that are none, or out of range.

  It is asked before anything is sampled, which may take long.

  Raises:
    ValueError: Names the field and what is allowed.
  """
  if loss["ratio"] not in RATIOS:
    raise ValueError(
      f"loss.ratio={loss['ratio']!r} is not one of {', '.join(RATIOS)}."
    )
  if loss["kl_in"] not in KL_PLACES:
    raise ValueError(
      f"loss.kl_in={loss['kl_in']!r} is not one of {', '.join(KL_PLACES)}."
    )
  if loss["kl_coef"] < 0 or loss["kl_target"] < 0:
    raise ValueError(
      f"loss.kl_coef={loss['kl_coef']} and loss.kl_target={loss['kl_target']}"
      " must be at least 0."
    )
  if loss["kl_in"] == "loss" and loss["kl_estimator"] == "k1":
    raise ValueError(
      "loss.kl_estimator='k1' has a gradient of nothing on average, and"
      " loss.kl_in='loss' would follow it: choose k2 or k3, or"
      " loss.kl_in='reward'."
    )
  if loss["kl_target"] and not (loss["kl_coef"] and loss["kl_in"] == "reward"):
    raise ValueError(
      f"loss.kl_target={loss['kl_target']} adapts the KL term of the reward: set"
      " loss.kl_in='reward' and loss.kl_coef, its first value."
    )
  if loss["value_coef"] < 0:
    raise ValueError(
      f"loss.value_coef={loss['value_coef']} must be at least 0."
    )
  # Each loss checks its own options.
  one = jnp.zeros(1)
  clipped_policy(
    log_ratios=one,
    advantages=one,
    clip_low=loss["clip_low"],
    clip_high=loss["clip_high"],
    dual_clip=loss["dual_clip"],
  )
  clipped_value(
    values=one, old_values=one, returns=one, clip=loss["value_clip"]
  )
  if loss["importance_cap"]:
    truncated_importance(
      old_logps=one, sampler_logps=one, cap=loss["importance_cap"]
    )
  kl_estimate(logps=one, ref_logps=one, kind=loss["kl_estimator"])
  mask = jnp.ones((1, 1), bool)
  token_weights(mask=mask, reduction=loss["reduction"], max_length=1)


def make_objective(
  config: LlamaConfig,
  *,
  loss: Any,
  temperature: float,
  reference_config: LlamaConfig | None,
  critic_config: LlamaConfig | None,
) -> Objective:
  """Builds the objective of one update on a `RolloutBatch`.

  Its batch has the features `old_logps`, `advantages`, `weights`, `counts` and,
  where they are used, `ref_logps`, `drawn_logps`, `values` and `returns`.

  Args:
    config: Of the policy.
    loss: `config.loss` as a dict.
    temperature: Of the sampler: the policy is the model at that temperature.
    reference_config: Of the reference; None where nothing compares with one.
    critic_config: Of the critic; None without one.

  Raises:
    ValueError: An option is not allowed.
  """
  refuse_unknown(loss)

  def loss_fn(
    params: Any, batch: RolloutBatch, key: jax.Array
  ) -> tuple[WeightedMean, dict[str, WeightedMean]]:
    del key  # Nothing random.
    scored = likelihood(
      critic.without(params),
      config,
      batch,
      branch_ids=batch.branch_ids,
      temperature=temperature,
      chunk_size=loss["chunk_size"],
    )
    mask = scored.mask
    features = batch.features.items()
    of = {name: jnp.where(mask, x.reshape(-1), 0.0) for name, x in features}
    token_ratios = jnp.where(mask, scored.logps - of["old_logps"], 0.0)
    log_ratios = token_ratios
    if loss["ratio"] == "sequence":
      log_ratios = _sequence_means(token_ratios, mask, batch)
    clipped = clipped_policy(
      log_ratios=log_ratios,
      advantages=of["advantages"],
      clip_low=loss["clip_low"],
      clip_high=loss["clip_high"],
      dual_clip=loss["dual_clip"],
    )
    losses = clipped.losses
    metrics = {
      "policy_loss": WeightedMean.of(losses, mask),
      "clipped": WeightedMean.of(clipped.clipped.astype(jnp.float32), mask),
      # k3 of the policy that sampled from the one that is updated.
      "policy_kl": WeightedMean.of(
        jnp.expm1(token_ratios) - token_ratios, mask
      ),
      GATE_PREFIX + "off_ratio": WeightedMean.of(
        jnp.abs(jnp.expm1(log_ratios)), mask
      ),
    }
    if loss["importance_cap"]:
      trust = truncated_importance(
        old_logps=of["old_logps"],
        sampler_logps=of["drawn_logps"],
        cap=loss["importance_cap"],
      )
      losses = trust * losses
      metrics["importance"] = WeightedMean.of(trust, mask)
    if reference_config is not None:
      ref_kl = kl_estimate(
        logps=scored.logps, ref_logps=of["ref_logps"], kind=loss["kl_estimator"]
      )
      metrics["ref_kl"] = WeightedMean.of(ref_kl, mask)
      if loss["kl_in"] == "loss":
        losses = losses + loss["kl_coef"] * ref_kl
    if critic_config is not None:
      values = critic.values(params, critic_config, batch)
      value_losses = clipped_value(
        values=jnp.where(mask, values, 0.0),
        old_values=of["values"],
        returns=of["returns"],
        clip=loss["value_clip"],
      )
      losses = losses + loss["value_coef"] * value_losses
      metrics["value_loss"] = WeightedMean.of(value_losses, mask)
    total = jnp.sum(jnp.where(mask, of["weights"] * losses, 0.0))
    mean = WeightedMean(total, jnp.sum(jnp.where(mask, of["counts"], 0.0)))
    return mean, jax.lax.stop_gradient(metrics)

  return Objective(loss_fn=loss_fn, reference_config=reference_config)


def make_assess(
  config: LlamaConfig,
  *,
  temperature: float,
  chunk_size: int,
  reference_config: LlamaConfig | None,
  critic_config: LlamaConfig | None,
) -> Callable[..., Assessed]:
  """Builds `(params, reference, batch, num_microbatches=) -> Assessed`, jitted.

  The log-probabilities that an update starts from are computed as those within
  it, and not taken from the sampler, whose sums are in another order: so the
  first ratio is 1, but for rounding.

  Args:
    config: Of the policy.
    temperature: As for `make_objective`.
    chunk_size: See `losses.token_logps.token_logps`.
    reference_config: Of the reference; None gives the policy's own
      log-probabilities, a divergence of 0.
    critic_config: Of the critic; None gives zeros.
  """

  @functools.partial(jax.jit, static_argnames="num_microbatches")
  def assess(
    params: Any, reference: Any, batch: RolloutBatch, *, num_microbatches: int
  ) -> Assessed:
    def logps_under(params: Any, config: LlamaConfig, part: Any) -> jax.Array:
      scored = likelihood(
        params,
        config,
        part,
        branch_ids=part.branch_ids,
        temperature=temperature,
        chunk_size=chunk_size,
      )
      logps = jnp.where(scored.mask, scored.logps, 0.0)
      return logps.reshape(part.tokens.shape)

    def of_part(part: Any) -> Assessed:
      logps = logps_under(critic.without(params), config, part)
      ref_logps, values = logps, jnp.zeros_like(logps)
      if reference_config is not None:
        ref_logps = logps_under(reference, reference_config, part)
      if critic_config is not None:
        values = critic.values(params, critic_config, part)
        values = values.reshape(part.tokens.shape)
      return Assessed(logps, ref_logps, values)

    assessed = map_microbatches(of_part, batch, num_microbatches)
    # Whole on every device, so that each process can read it.
    return jax.tree.map(
      lambda x: sharding.constrain(x, "activation", "activation"), assessed
    )

  return assess


def _sequence_means(
  log_ratios: jax.Array, mask: jax.Array, batch: RolloutBatch
) -> jax.Array:
  """[N] mean log-ratio of the answer that each token belongs to.

  GSPO, arXiv 2507.18071, equation 7.
  """
  rows, length = batch.tokens.shape
  # A row of T tokens holds at most T / 2 samples: each takes its prompt's last
  # token and an answer.
  most = length // 2 + 1
  samples = jnp.arange(rows)[:, None] * most + batch.sample_ids
  samples = samples.reshape(-1)
  total = jax.ops.segment_sum(
    jnp.where(mask, log_ratios, 0.0), samples, num_segments=rows * most
  )
  count = jax.ops.segment_sum(
    mask.astype(jnp.float32), samples, num_segments=rows * most
  )
  means = total / jnp.maximum(count, 1.0)
  return jnp.where(mask, means[samples], 0.0)
