# SPDX-License-Identifier: Apache-2.0
"""BCO (Jung et al., arXiv 2404.04656), tiny.

    ramjax train --config=configs/bco_tiny.py --workdir=runs/bco

Rows are pairs, or {"prompt": ..., "completion": ..., "label": true}. 20
updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(base.unpaired(bco=dict(weight=1.0, beta=0.01)))
