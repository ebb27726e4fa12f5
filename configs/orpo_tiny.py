# SPDX-License-Identifier: Apache-2.0
"""ORPO (Hong et al., arXiv 2403.07691), tiny.

    ramjax train --config=configs/orpo_tiny.py --workdir=runs/orpo

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.preference(orpo=dict(weight=1.0, odds_ratio_weight=0.1))
  )
