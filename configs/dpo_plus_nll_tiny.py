# SPDX-License-Identifier: Apache-2.0
"""DPO plus SFT, MPO without its third term, at tiny size.

MPO, Wang et al., arXiv 2411.10442.

    ramjax train --config=configs/dpo_plus_nll_tiny.py \
        --workdir=runs/dpo_plus_nll

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.preference(dpo=dict(weight=0.8, beta=0.1), chosen_nll=dict(weight=1.0))
  )
