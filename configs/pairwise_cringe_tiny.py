# SPDX-License-Identifier: Apache-2.0
"""Pairwise Cringe (Xu et al., arXiv 2312.16682), tiny.

    ramjax train --config=configs/pairwise_cringe_tiny.py \
        --workdir=runs/pairwise_cringe

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.preference(
      pairwise_cringe=dict(
        weight=1.0,
        alpha=0.005,
        b=-10.0,
        tau=10.0,
        stop_gradient_gate=True,
        logp_reduction="sum",
        token_reduction="sum",
        top_k=5,
        stop_candidate_gradient=False,
      )
    )
  )
