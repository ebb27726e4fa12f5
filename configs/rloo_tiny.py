# SPDX-License-Identifier: Apache-2.0
"""RLOO (Ahmadian et al., arXiv 2402.14740), tiny.

    ramjax train --config=configs/rloo_tiny.py --workdir=runs/rloo

Generated tasks; a program judges the answers, and a digit earns a little, too, as
random weights solve hardly any. 8 updates, to see it run; its time is not yet run
on a quiet machine
"""

from ramjax.configs import policy_methods, sizes


def get_config():
  """Verified tasks as rewards."""
  return sizes.tiny_online(policy_methods.rloo(**sizes.TINY_REWARDS))
