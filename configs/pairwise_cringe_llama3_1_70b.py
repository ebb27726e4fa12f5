# SPDX-License-Identifier: Apache-2.0
"""Pairwise Cringe (Xu et al., arXiv 2312.16682), Llama 3.1 70B, a pod slice.

    ramjax train --config=configs/pairwise_cringe_llama3_1_70b.py --workdir=DIR \
        --config.init.from_hf=Llama-3.1-70B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

262,144 tokens an update, in packed rows of 4,096. The learning rate, its
schedule and the number of updates are assumed. `ramjax plan` says what holds it.
not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """Pairwise Cringe at 5e-7."""
  config = base.preference(
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
  config = sizes.llama3_1(config, "70b")
  config.optim.learning_rate = 5e-7
  return config
