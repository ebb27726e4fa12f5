# SPDX-License-Identifier: Apache-2.0
"""Robust DPO (Chowdhury et al., arXiv 2403.00409), tiny.

    ramjax train --config=configs/robust_dpo_tiny.py --workdir=runs/robust_dpo

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.preference(robust_dpo=dict(weight=1.0, beta=0.01, label_smoothing=0.1))
  )
