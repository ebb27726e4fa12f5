# SPDX-License-Identifier: Apache-2.0
"""sDPO, a chain of runs (Kim et al., arXiv 2403.19270), tiny.

    ramjax train --config=configs/sdpo_tiny.py --workdir=runs/sdpo1
    ramjax train --config=configs/sdpo_tiny.py --workdir=runs/sdpo2 \
        --config.init.from_run=runs/sdpo1 \
        --config.data.sources.main.path='task_pairs:1000?seed=1'

The first run's model is the second one's start and reference. 20 updates from
random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(base.preference(dpo=dict(weight=1.0, beta=0.1)))
