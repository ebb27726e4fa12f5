# SPDX-License-Identifier: Apache-2.0
"""Pairwise Cringe on the quickstart's tasks.

    ramjax train --config=configs/pairwise_cringe_quickstart.py \
        --workdir=runs/quickstart-cringe

Starts from the model in `runs/quickstart`; no reference. 24 s on two CPU cores:
verified accuracy from 56 % to 55 %. From a model that scored 70 %, alpha at 0.1 and a
learning rate of 3e-4 took it to 64 %: the contrast is strong on so small a model.
"""

from ramjax.configs import base, sizes


def get_config():
  """Xu et al., arXiv 2312.16682; the numbers are this project's own."""
  config = base.preference(
    pairwise_cringe=dict(
      weight=1.0,
      alpha=0.02,
      b=0.0,
      tau=10.0,
      stop_gradient_gate=True,
      logp_reduction="sum",
      token_reduction="mean",
      top_k=5,
      stop_candidate_gradient=False,
    )
  )
  config = sizes.quickstart_stage(config)
  config.optim.learning_rate = 1e-4
  return config
