# SPDX-License-Identifier: Apache-2.0
"""IPO (Azar et al., arXiv 2310.12036), tiny.

    ramjax train --config=configs/ipo_tiny.py --workdir=runs/ipo

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.preference(ipo=dict(weight=1.0, beta=0.1, logp_reduction="mean"))
  )
