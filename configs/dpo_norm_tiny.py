# SPDX-License-Identifier: Apache-2.0
"""Length-normalised DPO (Tulu 3, Lambert et al., arXiv 2411.15124), tiny.

    ramjax train --config=configs/dpo_norm_tiny.py --workdir=runs/dpo_norm

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(base.preference(dpo_norm=dict(weight=1.0, beta=5.0)))
