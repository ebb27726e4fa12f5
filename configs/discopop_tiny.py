# SPDX-License-Identifier: Apache-2.0
"""DiscoPOP (Lu et al., arXiv 2406.08414), tiny.

    ramjax train --config=configs/discopop_tiny.py --workdir=runs/discopop

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.preference(discopop=dict(weight=1.0, beta=0.05, tau=0.05))
  )
