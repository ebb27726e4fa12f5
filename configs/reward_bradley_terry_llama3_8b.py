# SPDX-License-Identifier: Apache-2.0
"""A Bradley-Terry reward model (InstructGPT, arXiv 2203.02155), Llama 3 8B.

    ramjax train --config=configs/reward_bradley_terry_llama3_8b.py \
        --workdir=runs/reward_bradley_terry \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the paper, as recalled: 9e-6, cosine to a tenth, one epoch, 64 a batch,
there rankings and here pairs. Assumed: 2,048 tokens, warm-up, and a head of
standard deviation 1 / sqrt(4,097). not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(
    base.reward(
      bradley_terry=dict(
        weight=1.0, margin="none", label_smoothing=0.0, centering=0.0
      )
    )
  )
  config.optim.learning_rate = 9e-6
  config.optim.final_share = 0.1
  config.optim.warmup_steps = 29
  config.run.total_steps = 955
  config.data.batch_size = 64
  config.data.num_microbatches = 8
  config.reward.init_std = 0.0156
  return config
