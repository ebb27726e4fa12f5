# SPDX-License-Identifier: Apache-2.0
"""Unlikelihood (Welleck et al., arXiv 1908.04319), tiny.

    ramjax train --config=configs/unlikelihood_tiny.py \
        --workdir=runs/unlikelihood

Rows are pairs, or {"prompt": ..., "completion": ..., "label": true}. 20
updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.unpaired(
      unlikelihood=dict(weight=1.0, alpha=1.0, logp_reduction="mean")
    )
  )
