# SPDX-License-Identifier: Apache-2.0
"""Pairwise Cringe (Xu et al., arXiv 2312.16682), Llama 3 8B.

    ramjax train --config=configs/pairwise_cringe_llama3_8b.py \
        --workdir=runs/pairwise_cringe \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

There is no code by the authors, and no number of the paper was recovered:
alpha 0.005, b -10, tau 10, 5 candidates, sums of tokens and a gate without a
gradient are assumed. So is the rest: what AlpacaFarm's code has for DPO, 1e-6,
64 pairs a batch, 512 tokens, two epochs (here of 10,000 pairs), cosine,
warm-up 3 %. not yet run
"""

from ramjax.configs import answer_methods, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(answer_methods.pairwise_cringe())
  config.optim.learning_rate = 1e-6
  config.optim.warmup_steps = 10
  config.run.total_steps = 312
  config.data.max_length = 512
  config.data.batch_size = 64
  config.data.num_microbatches = 8
  return config
