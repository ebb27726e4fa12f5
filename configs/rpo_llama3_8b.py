# SPDX-License-Identifier: Apache-2.0
"""Iterative RPO, one round (Pang et al., arXiv 2404.19733), Llama 3 8B.

    ramjax train --config=configs/rpo_llama3_8b.py --workdir=runs/rpo \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the paper, for Llama 2 70B Chat and as recalled: beta 0.1, weight 1, 7e-7,
16 pairs a batch, 5,000 updates a round. Assumed: schedule and 2,048 tokens.
Pairs are chains of thought with right and wrong ends, which the model itself
has to sample. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(
    base.preference(rpo=dict(weight=1.0, beta=0.1, nll_weight=1.0))
  )
  config.optim.learning_rate = 7e-7
  config.optim.warmup_steps = 100
  config.run.total_steps = 5000
  config.data.batch_size = 16
  config.data.num_microbatches = 2
  return config
