# SPDX-License-Identifier: Apache-2.0
"""AlphaPO (Gupta et al., arXiv 2501.03884), tiny.

    ramjax train --config=configs/alphapo_tiny.py --workdir=runs/alphapo

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.preference(alphapo=dict(weight=1.0, beta=2.5, gamma=0.1, alpha=0.25))
  )
