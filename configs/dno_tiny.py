# SPDX-License-Identifier: Apache-2.0
"""DNO, one round (Rosset et al., arXiv 2404.03715), tiny.

    ramjax train --config=configs/dno_tiny.py --workdir=runs/dno

A row may have "preference_prob"; without, as here, it is 1, which is DNO-Prct.
20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(base.preference(dno=dict(weight=1.0, beta=0.1)))
