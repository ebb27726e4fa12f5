# SPDX-License-Identifier: Apache-2.0
"""PPO and its kin as values of one tree: data only.

Each function takes the rewards, as `base.ppo` does, and returns a tree; sizes,
data and learning rates come from whoever calls it.
"""

from collections.abc import Mapping
from typing import Any

from ramjax.configs import base


def ppo(**rewards: Mapping[str, Any]) -> Any:
  """PPO as in RLHF: InstructGPT, arXiv 2203.02155; PPO, arXiv 1707.06347."""
  config = base.ppo(**rewards)
  config.rollout.epochs = 2
  return config


def grpo(**rewards: Mapping[str, Any]) -> Any:
  """GRPO: DeepSeekMath, arXiv 2402.03300, section 4.1."""
  return base.grpo(**rewards)


def rloo(**rewards: Mapping[str, Any]) -> Any:
  """RLOO: Ahmadian et al., arXiv 2402.14740.

  The baseline of an answer is the mean of the others, the KL penalty is in the
  reward, and an answer is one action: its tokens are summed, over a constant.
  Each rollout is one update, in which a clipped ratio has the gradient of
  REINFORCE.
  """
  config = base.grpo(**rewards)
  config.credit.baseline = "leave_one_out"
  config.credit.scale = "none"
  config.rollout.group_size = 4
  config.loss.reduction = "constant"
  config.loss.kl_in = "reward"
  config.loss.kl_estimator = "k1"
  config.loss.kl_coef = 0.05
  return config


def reinforce_pp(**rewards: Mapping[str, Any]) -> Any:
  """REINFORCE++: Hu et al., arXiv 2501.03262.

  Token rewards with a KL penalty, summed from each token on, normalised over the
  whole rollout; no critic and no group.
  """
  config = base.ppo(**rewards)
  config.credit.name = "returns"
  config.loss.kl_coef = 0.01
  return config


def dr_grpo(**rewards: Mapping[str, Any]) -> Any:
  """Dr. GRPO: Liu et al., arXiv 2503.20783: neither lengths nor deviations."""
  config = base.grpo(**rewards)
  config.credit.scale = "none"
  config.loss.reduction = "constant"
  config.loss.kl_coef = 0.0
  return config


def dapo(**rewards: Mapping[str, Any]) -> Any:
  """DAPO: Yu et al., arXiv 2503.14476.

  A higher upper clip, every token counts once, groups that teach nothing are
  sampled again, no KL term. The penalty for long answers is the reward
  `overlong`.
  """
  config = base.grpo(**rewards)
  config.loss.clip_high = 0.28
  config.loss.reduction = "token"
  config.loss.kl_coef = 0.0
  config.rollout.drop_uniform_groups = True
  return config


def gspo(**rewards: Mapping[str, Any]) -> Any:
  """GSPO: Zheng et al., arXiv 2507.18071: the ratio is of the whole answer."""
  config = base.grpo(**rewards)
  config.loss.ratio = "sequence"
  config.loss.clip_low = 3e-4
  config.loss.clip_high = 4e-4
  config.loss.kl_coef = 0.0
  return config
