# SPDX-License-Identifier: Apache-2.0
"""The hinge of SLiC-HF, with a reference, at tiny size.

Zhao et al., arXiv 2305.10425; RSO, arXiv 2309.06657.

    ramjax train --config=configs/slic_hinge_tiny.py --workdir=runs/slic_hinge

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(base.preference(hinge=dict(weight=1.0, beta=0.1)))
