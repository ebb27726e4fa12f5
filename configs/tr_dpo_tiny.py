# SPDX-License-Identifier: Apache-2.0
"""TR-DPO, a reference that follows, at tiny size.

Gorbatovski et al., arXiv 2404.09656.

    ramjax train --config=configs/tr_dpo_tiny.py --workdir=runs/tr_dpo

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  config = sizes.tiny(base.preference(dpo=dict(weight=1.0, beta=0.1)))
  config.reference.sync_every = 5
  config.reference.sync_rate = 0.6
  return config
