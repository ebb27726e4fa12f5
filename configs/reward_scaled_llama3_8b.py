# SPDX-License-Identifier: Apache-2.0
"""A Bradley-Terry reward model, scaled by margins, Llama 3 8B.

HelpSteer2-Preference, arXiv 2410.01257.

    ramjax train --config=configs/reward_scaled_llama3_8b.py \
        --workdir=runs/reward_scaled \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=graded_pairs.jsonl

A row: {"prompt": ..., "chosen": ..., "rejected": ..., "margin": 2}. A margin
of 0 trains nothing. Of the paper: margins 1, 2, 3; 6,766 pairs, one epoch. Of
its authors' model of ratings (the configuration released with
Llama3-70B-SteerLM-RM): AdamW with weight decay 0.1, b2 0.98, 10 updates of
warm-up, then constant. Assumed: 2e-6, 64 pairs a batch, 4,096 tokens, the
head. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(
    base.reward(
      bradley_terry=dict(
        weight=1.0, margin="scale", label_smoothing=0.0, centering=0.0
      )
    )
  )
  config.data.sources.main = base.source("graded_pairs.jsonl", eval_rows=500)
  config.optim.learning_rate = 2e-6
  config.optim.schedule = "constant"
  config.optim.warmup_steps = 10
  config.optim.b2 = 0.98
  config.optim.weight_decay = 0.1
  config.run.total_steps = 106
  config.data.max_length = 4096
  config.data.batch_size = 64
  config.data.num_microbatches = 8
  config.reward.init_std = 0.0156
  return config
