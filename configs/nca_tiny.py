# SPDX-License-Identifier: Apache-2.0
"""NCA on pairs, QLoRA (Chen et al., arXiv 2402.05369), tiny.

    ramjax train --config=configs/nca_tiny.py --workdir=runs/nca

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(base.preference(nca=dict(weight=1.0, beta=0.01)))
