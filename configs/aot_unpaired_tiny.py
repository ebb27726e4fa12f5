# SPDX-License-Identifier: Apache-2.0
"""AOT, the unpaired variant (Melnyk et al., arXiv 2406.05882), tiny.

    ramjax train --config=configs/aot_unpaired_tiny.py \
        --workdir=runs/aot_unpaired

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(base.preference(aot_unpaired=dict(weight=1.0, beta=0.1)))
