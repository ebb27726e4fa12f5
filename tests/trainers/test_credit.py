# SPDX-License-Identifier: Apache-2.0
"""What each token is credited with: by hand, and by loops in NumPy."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_rollouts

from ramjax.configs import base
from ramjax.trainers import credit

_RAW = dict(whiten=False, baseline="none", scale="none", gamma=1.0, lam=1.0)


def _options(**fields):
  options = base.ppo().credit
  options.update({**_RAW, **fields})
  return options


def _assign(options, *, scores, lengths, group_size=1, penalties=0, values=0):
  width = max(lengths)
  mask = np.arange(width) < np.array(lengths)[:, None]

  def whole(x):
    return jnp.asarray(np.broadcast_to(np.float32(x), mask.shape))

  found = credit.assign(
    options,
    scores=jnp.asarray(scores, jnp.float32),
    kl_penalties=whole(penalties),
    values=whole(values),
    mask=jnp.asarray(mask),
    group_size=group_size,
  )
  return np.asarray(found.advantages), np.asarray(found.returns)


def test_gae_by_hand():
  # Values 1 and 2, a score of 3 at the last token, lambda 1/2.
  advantages, returns = _assign(
    _options(name="gae", lam=0.5),
    scores=[3.0],
    lengths=[2],
    values=[[1.0, 2.0]],
  )
  np.testing.assert_allclose(advantages, [[1.5, 1.0]])
  np.testing.assert_allclose(returns, [[2.5, 3.0]])


def test_with_gae_the_penalty_is_taken_where_its_token_stands():
  # No critic's opinion, gamma and lambda 1: what is still to come.
  advantages, returns = _assign(
    _options(name="gae"),
    scores=[1.0, 1.0],
    lengths=[3, 2],
    penalties=[[0.1, 0.2, 0.4]] * 2,
  )
  expected = [[0.3, 0.4, 0.6], [0.7, 0.8, 0.0]]
  np.testing.assert_allclose(advantages, expected, rtol=1e-6)
  np.testing.assert_allclose(returns, expected, rtol=1e-6)


def test_with_returns_each_token_gets_what_comes_from_it_on():
  advantages, returns = _assign(
    _options(name="returns", gamma=0.5),
    scores=[8.0],
    lengths=[3],
    penalties=[[1.0, 0.0, 2.0]],
  )
  # 6 at the end, 3, and 1.5 less 1.
  np.testing.assert_allclose(advantages, [[0.5, 3.0, 6.0]])
  assert not returns.any()


def test_in_a_group_by_mean_and_deviation():
  advantages, returns = _assign(
    _options(name="group", baseline="mean", scale="std"),
    scores=[1.0, 3.0, 5.0, 5.0],
    lengths=[1, 2, 2, 1],
    group_size=2,
  )
  z = 1 / (math.sqrt(2) + 1e-4)  # Mean 2, deviation sqrt 2.
  np.testing.assert_allclose(
    advantages, [[-z, 0], [z, z], [0, 0], [0, 0]], rtol=1e-5
  )
  assert not returns.any()


def test_in_a_group_less_the_mean_of_the_others():
  advantages, _ = _assign(
    _options(name="group", baseline="leave_one_out"),
    scores=[1.0, 2.0, 6.0],
    lengths=[1, 1, 1],
    group_size=3,
  )
  np.testing.assert_allclose(advantages[:, 0], [-3.0, -1.5, 4.5], rtol=1e-6)


def test_in_a_group_an_answers_penalties_are_summed_before_comparing():
  advantages, _ = _assign(
    _options(name="group", baseline="mean"),
    scores=[1.0, 1.0],
    lengths=[3, 1],
    group_size=2,
    penalties=[[0.2, 0.2, 0.2], [0.2, 9.0, 9.0]],
  )
  # 0.4 and 0.8, around 0.6; what lies beyond an answer is not read.
  np.testing.assert_allclose(
    advantages, [[-0.2] * 3, [0.2, 0, 0]], rtol=1e-5, atol=1e-7
  )


def test_with_returns_scores_are_compared_and_penalties_are_not():
  advantages, _ = _assign(
    _options(name="returns", baseline="mean"),
    scores=[1.0, 3.0],
    lengths=[2, 1],
    group_size=2,
    penalties=[[0.5, 0.0], [0.25, 0.0]],
  )
  np.testing.assert_allclose(advantages, [[-1.5, -1.0], [0.75, 0.0]])


def _by_loops(options, rollout, penalties, group_size):
  """The same in NumPy, token by token."""
  num, width = rollout.responses.shape
  scores = rollout.scores.astype(float)
  lengths = rollout.response_lengths

  def relative(rewards):
    out = np.array(rewards, float)
    for first in range(0, num, group_size):
      group = np.array(rewards[first : first + group_size], float)
      for k in range(group_size):
        others = np.delete(group, k).mean() if group_size > 1 else 0.0
        center = dict(mean=group.mean(), leave_one_out=others, none=0.0)
        out[first + k] -= center[options.baseline]
        if options.scale == "std":
          out[first + k] /= group.std(ddof=1) + 1e-4
    return out

  advantages, returns = np.zeros((num, width)), np.zeros((num, width))
  if options.name == "group":
    spent = [penalties[i, : lengths[i]].sum() for i in range(num)]
    worth = relative(scores - np.array(spent))
    for i in range(num):
      advantages[i, : lengths[i]] = worth[i]
  else:
    if options.name == "returns":
      scores = relative(scores)
    for i in range(num):
      for t in range(lengths[i]):
        for later in range(t, lengths[i]):
          reward = -penalties[i, later]
          if later == lengths[i] - 1:
            reward += scores[i]
          if options.name == "returns":
            advantages[i, t] += options.gamma ** (later - t) * reward
            continue
          following = 0.0
          if later < lengths[i] - 1:
            following = rollout.values[i, later + 1]
          error = reward + options.gamma * following - rollout.values[i, later]
          decay = (options.gamma * options.lam) ** (later - t)
          advantages[i, t] += decay * error
        if options.name == "gae":
          returns[i, t] = advantages[i, t] + rollout.values[i, t]
  if options.whiten:
    inside = advantages[rollout.mask]
    inside = (inside - inside.mean()) / np.sqrt(inside.var(ddof=1) + 1e-8)
    advantages[rollout.mask] = inside
  return advantages, returns


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize(
  "fields",
  [
    dict(name="gae", gamma=0.9, lam=0.7),
    dict(name="returns", gamma=0.9),
    dict(name="returns", gamma=1.0, baseline="mean", scale="std"),
    dict(name="group", baseline="mean", scale="std"),
    dict(name="group", baseline="leave_one_out"),
    dict(name="group", baseline="mean"),
    dict(name="group"),
  ],
  ids=str,
)
def test_credit_equals_loops_over_tokens(fields, whiten):
  options = _options(whiten=whiten, **fields)
  rollout = tiny_rollouts.random_rollout(seed=3)
  penalties = 0.1 * tiny_rollouts.random_rollout(seed=4).values
  found = credit.assign(
    options,
    scores=jnp.asarray(rollout.scores),
    kl_penalties=jnp.asarray(penalties),
    values=jnp.asarray(rollout.values),
    mask=jnp.asarray(rollout.mask),
    group_size=4,
  )
  advantages, returns = _by_loops(options, rollout, penalties, 4)
  np.testing.assert_allclose(found.advantages, advantages, atol=2e-5)
  np.testing.assert_allclose(found.returns, returns, atol=2e-5)
  assert np.abs(advantages).max() > 0.1


def test_whitened_advantages_have_mean_0_and_deviation_1():
  rollout = tiny_rollouts.random_rollout(seed=3)
  found = credit.assign(
    _options(name="gae", whiten=True),
    scores=jnp.asarray(rollout.scores),
    kl_penalties=jnp.zeros(rollout.mask.shape),
    values=jnp.asarray(rollout.values),
    mask=jnp.asarray(rollout.mask),
    group_size=1,
  )
  inside = np.asarray(found.advantages)[rollout.mask]
  np.testing.assert_allclose(inside.mean(), 0, atol=1e-6)
  np.testing.assert_allclose(inside.std(ddof=1), 1, rtol=1e-5)
  assert not np.asarray(found.advantages)[~rollout.mask].any()


@pytest.mark.parametrize(
  "fields,group_size,message",
  [
    (dict(name="vtrace"), 1, "credit.name='vtrace' is not one of gae, group"),
    (dict(name="gae", baseline="mean"), 4, "has the critic as its baseline"),
    (dict(name="gae", scale="std"), 4, "has the critic as its baseline"),
    (dict(name="group", baseline="mean"), 1, "sample at least 2"),
    (dict(name="group", baseline="median"), 4, "baseline='median' must be"),
    (dict(name="returns", scale="var"), 4, "scale='var' must be one of"),
    (dict(name="gae", lam=1.5), 1, "lam=1.5 must be in"),
    (dict(name="returns", gamma=-0.5), 1, "gamma=-0.5 must be in"),
  ],
  ids=str,
)
def test_a_credit_that_cannot_be_is_refused_beforehand(
  fields, group_size, message
):
  with pytest.raises(ValueError, match=message):
    credit.refuse_unknown(_options(**fields), group_size)


@pytest.mark.parametrize("make", [base.ppo, base.grpo])
def test_the_defaults_pass(make):
  config = make()
  credit.refuse_unknown(config.credit, config.rollout.group_size)
