# SPDX-License-Identifier: Apache-2.0
"""Conservative DPO, at tiny size.

Mitchell, ericmitchell.ai/cdpo.pdf; DPO, arXiv 2305.18290.

    ramjax train --config=configs/cdpo_tiny.py --workdir=runs/cdpo

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.preference(dpo=dict(weight=1.0, beta=0.1, label_smoothing=0.1))
  )
