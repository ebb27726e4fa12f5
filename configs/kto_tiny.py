# SPDX-License-Identifier: Apache-2.0
"""KTO (Ethayarajh et al., arXiv 2402.01306), tiny.

    ramjax train --config=configs/kto_tiny.py --workdir=runs/kto

Rows are pairs, or {"prompt": ..., "completion": ..., "label": true}. 20
updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.unpaired(
      kto=dict(
        weight=1.0, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0
      )
    )
  )
