# SPDX-License-Identifier: Apache-2.0
"""f-DPO with the Jensen-Shannon divergence, at tiny size.

Wang et al., arXiv 2309.16240.

    ramjax train --config=configs/f_dpo_tiny.py --workdir=runs/f_dpo

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.preference(dpo=dict(weight=1.0, beta=0.1, divergence="js"))
  )
