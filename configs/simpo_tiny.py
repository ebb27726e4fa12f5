# SPDX-License-Identifier: Apache-2.0
"""SimPO (Meng et al., arXiv 2405.14734), tiny.

    ramjax train --config=configs/simpo_tiny.py --workdir=runs/simpo

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.preference(simpo=dict(weight=1.0, beta=2.5, gamma=1.375))
  )
