# SPDX-License-Identifier: Apache-2.0
"""GRPO (DeepSeekMath, arXiv 2402.03300), tiny.

    ramjax train --config=configs/grpo_tiny.py --workdir=runs/grpo

Generated tasks; a program judges the answers, and a digit earns a little, too, as
random weights solve hardly any. 8 updates, to see it run: 18 s on two CPU cores,
programs compiled before
"""

from ramjax.configs import policy_methods, sizes


def get_config():
  """Verified tasks as rewards."""
  return sizes.tiny_online(policy_methods.grpo(**sizes.TINY_REWARDS))
