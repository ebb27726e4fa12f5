# SPDX-License-Identifier: Apache-2.0
"""DAPO (Yu et al., arXiv 2503.14476), tiny.

    ramjax train --config=configs/dapo_tiny.py --workdir=runs/dapo

Generated tasks; a program judges the answers, and a digit earns a little, too, as
random weights solve hardly any. 8 updates, to see it run; its time is not yet run
on a quiet machine
"""

from ramjax.configs import policy_methods, sizes


def get_config():
  """Verified tasks as rewards."""
  return sizes.tiny_online(policy_methods.dapo(**sizes.TINY_REWARDS))
