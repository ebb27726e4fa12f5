# SPDX-License-Identifier: Apache-2.0
"""EXO on pairs (Ji et al., arXiv 2402.00856), tiny.

    ramjax train --config=configs/exo_tiny.py --workdir=runs/exo

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.preference(exo=dict(weight=1.0, beta=0.1, label_smoothing=0.001))
  )
