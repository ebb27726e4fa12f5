# SPDX-License-Identifier: Apache-2.0
"""DPO (Rafailov et al., arXiv 2305.18290), tiny.

    ramjax train --config=configs/dpo_tiny.py --workdir=runs/dpo

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(base.preference(dpo=dict(weight=1.0, beta=0.1)))
