# SPDX-License-Identifier: Apache-2.0
"""From the rewards of sampled answers to the advantage of each token."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ramjax.losses.gae import discounted_returns, gae
from ramjax.losses.group_advantages import group_advantages
from ramjax.losses.whiten import whiten

CREDITS = ("gae", "group", "returns")


class Options(NamedTuple):
  """`config.credit`, as something to compile for."""

  name: str
  gamma: float
  lam: float
  baseline: str
  scale: str
  whiten: bool


class Credit(NamedTuple):
  """What the update learns from.

  Attributes:
    advantages: [N, R] float32, 0 where there is no token.
    returns: [N, R] float32 that a critic learns; zeros without one.
  """

  advantages: jax.Array
  returns: jax.Array


def refuse_unknown(options: Any, group_size: int) -> None:
  """Raises for a credit that is none, before anything is sampled.

  Args:
    options: `config.credit`.
    group_size: Answers to each prompt.

  Raises:
    ValueError: Names the field and what is allowed.
  """
  if options.name not in CREDITS:
    raise ValueError(
      f"credit.name={options.name!r} is not one of {', '.join(CREDITS)}."
    )
  compares = options.baseline != "none" or options.scale != "none"
  if options.name == "gae" and compares:
    raise ValueError(
      f"credit.name='gae' has the critic as its baseline, and credit.baseline="
      f"{options.baseline!r}, credit.scale={options.scale!r}: set both to"
      " 'none', or credit.name to 'group' or 'returns'."
    )
  # Each loss checks its own options.
  nothing = jnp.zeros((group_size, 1))
  assign(
    options,
    scores=nothing[:, 0],
    kl_penalties=nothing,
    values=nothing,
    mask=jnp.ones((group_size, 1), bool),
    group_size=group_size,
  )


def assign(
  options: Any,
  *,
  scores: jax.Array,
  kl_penalties: jax.Array,
  values: jax.Array,
  mask: jax.Array,
  group_size: int,
) -> Credit:
  """Advantages of every token.

  With "gae", rewards of tokens are the penalties, and the score at the last
  one; a critic is the baseline (PPO). With "returns" each token gets the sum of
  the rewards from it on (REINFORCE++). With "group" each token of an answer gets
  the answer's reward, penalties included, relative to its group (GRPO, RLOO).

  Args:
    options: `config.credit`.
    scores: [N] float32; N is groups times `group_size`, group after group.
    kl_penalties: [N, R] float32, what is taken off the reward of each token.
    values: [N, R] float32 of the critic; zeros without one.
    mask: [N, R] bool, True where there is a token.
    group_size: Answers to each prompt.

  Returns:
    `Credit`.
  """
  kl_penalties = jnp.where(mask, kl_penalties, 0.0)
  if options.name == "group":
    rewards = scores - kl_penalties.sum(axis=1)
    relative = _relative(rewards, options, group_size)
    advantages = jnp.where(mask, relative[:, None], 0.0)
    returns = jnp.zeros_like(advantages)
  else:
    if options.name == "returns":
      scores = _relative(scores, options, group_size)
    last = mask & ~jnp.roll(mask, -1, axis=1).at[:, -1].set(False)
    rewards = jnp.where(last, scores[:, None], 0.0) - kl_penalties
    if options.name == "gae":
      advantages, returns = gae(
        rewards=rewards,
        values=values,
        mask=mask,
        gamma=options.gamma,
        lam=options.lam,
      )
    else:
      advantages = discounted_returns(
        rewards=rewards, mask=mask, gamma=options.gamma
      )
      returns = jnp.zeros_like(advantages)
  if options.whiten:
    advantages = whiten(values=advantages, mask=mask, shift_mean=True)
  return Credit(advantages, returns)


def _relative(rewards: jax.Array, options: Any, group_size: int) -> jax.Array:
  """[N] rewards relative to those of their group."""
  if options.baseline == "none" and options.scale == "none":
    return rewards
  groups = rewards.reshape(-1, group_size)
  return group_advantages(
    rewards=groups,
    present=jnp.ones_like(groups, bool),
    baseline=options.baseline,
    scale=options.scale,
  ).reshape(-1)
