# SPDX-License-Identifier: Apache-2.0
"""Iterative RPO, one round (Pang et al., arXiv 2404.19733), tiny.

    ramjax train --config=configs/rpo_tiny.py --workdir=runs/rpo

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.preference(rpo=dict(weight=1.0, beta=0.1, nll_weight=1.0))
  )
