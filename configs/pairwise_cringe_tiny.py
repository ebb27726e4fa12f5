# SPDX-License-Identifier: Apache-2.0
"""Pairwise Cringe (Xu et al., arXiv 2312.16682), tiny.

    ramjax train --config=configs/pairwise_cringe_tiny.py \
        --workdir=runs/pairwise_cringe

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import answer_methods, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(answer_methods.pairwise_cringe())
