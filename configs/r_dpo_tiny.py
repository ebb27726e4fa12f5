# SPDX-License-Identifier: Apache-2.0
"""R-DPO (Park et al., arXiv 2403.19159), tiny.

    ramjax train --config=configs/r_dpo_tiny.py --workdir=runs/r_dpo

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.preference(r_dpo=dict(weight=1.0, beta=0.1, length_penalty=0.05))
  )
