# SPDX-License-Identifier: Apache-2.0
"""DiscoPOP (Lu et al., arXiv 2406.08414), Llama 3 8B.

    ramjax train --config=configs/discopop_llama3_8b.py \
        --workdir=runs/discopop \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the paper: beta 0.05, tau 0.05, 64 pairs a batch. Of the authors' code:
5e-7, cosine, warm-up 10 %, 1,024 tokens, two epochs of dpo-mix-7k (6,750
pairs). They tuned Gemma 7B. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(
    base.preference(discopop=dict(weight=1.0, beta=0.05, tau=0.05))
  )
  config.optim.warmup_steps = 21
  config.run.total_steps = 211
  config.data.max_length = 1024
  config.data.batch_size = 64
  config.data.num_microbatches = 8
  return config
