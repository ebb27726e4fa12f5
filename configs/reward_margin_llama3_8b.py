# SPDX-License-Identifier: Apache-2.0
"""A reward model that keeps margins (Llama 2, arXiv 2307.09288), Llama 3 8B.

    ramjax train --config=configs/reward_margin_llama3_8b.py \
        --workdir=runs/reward_margin \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=graded_pairs.jsonl

A row: {"prompt": ..., "chosen": ..., "rejected": ..., "margin": 2}. Of the
paper: margins 1, 2/3, 1/3 and 0 of its four grades (as TRL's index of papers
has it); as recalled, 512 pairs a batch, 1e-5, cosine to a tenth, warm-up 3 %
and at least 5, one epoch. Assumed: 2,048 tokens, the head, 1 epoch of 61,135
pairs. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(
    base.reward(
      bradley_terry=dict(
        weight=1.0, margin="subtract", label_smoothing=0.0, centering=0.0
      )
    )
  )
  config.data.sources.main = base.source("graded_pairs.jsonl", eval_rows=500)
  config.optim.learning_rate = 1e-5
  config.optim.final_share = 0.1
  config.optim.warmup_steps = 5
  config.run.total_steps = 119
  config.data.batch_size = 512
  config.data.num_microbatches = 64
  config.reward.init_std = 0.0156
  return config
