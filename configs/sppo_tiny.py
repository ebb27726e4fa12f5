# SPDX-License-Identifier: Apache-2.0
"""SPPO with hard preferences, one round (Wu et al., arXiv 2405.00675), tiny.

    ramjax train --config=configs/sppo_tiny.py --workdir=runs/sppo

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(base.preference(sppo=dict(weight=1.0, beta=0.001)))
