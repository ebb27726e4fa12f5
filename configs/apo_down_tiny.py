# SPDX-License-Identifier: Apache-2.0
"""APO-down (D'Oosterlinck et al., arXiv 2408.06266), tiny.

    ramjax train --config=configs/apo_down_tiny.py --workdir=runs/apo_down

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(base.preference(apo_down=dict(weight=1.0, beta=0.1)))
