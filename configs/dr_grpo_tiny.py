# SPDX-License-Identifier: Apache-2.0
"""Dr. GRPO (Liu et al., arXiv 2503.20783), tiny.

    ramjax train --config=configs/dr_grpo_tiny.py --workdir=runs/dr_grpo

Generated tasks; a program judges the answers, and a digit earns a little, too, as
random weights solve hardly any. 8 updates, to see it run; its time is not yet run
on a quiet machine
"""

from ramjax.configs import policy_methods, sizes


def get_config():
  """Verified tasks as rewards."""
  return sizes.tiny_online(policy_methods.dr_grpo(**sizes.TINY_REWARDS))
