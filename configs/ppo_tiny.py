# SPDX-License-Identifier: Apache-2.0
"""PPO as in RLHF: a critic, GAE, a KL penalty (arXiv 1707.06347, 2203.02155), tiny.

    ramjax train --config=configs/ppo_tiny.py --workdir=runs/ppo

Generated tasks; a program judges the answers, and a digit earns a little, too, as
random weights solve hardly any. 8 updates, to see it run: 15 s on two CPU cores,
programs compiled before
"""

from ramjax.configs import policy_methods, sizes


def get_config():
  """Verified tasks as rewards."""
  return sizes.tiny_online(policy_methods.ppo(**sizes.TINY_REWARDS))
