# SPDX-License-Identifier: Apache-2.0
"""CPO, LoRA (Xu et al., arXiv 2401.08417), tiny.

    ramjax train --config=configs/cpo_tiny.py --workdir=runs/cpo

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.preference(cpo=dict(weight=1.0, beta=0.1, nll_weight=1.0))
  )
