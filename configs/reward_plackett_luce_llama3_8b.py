# SPDX-License-Identifier: Apache-2.0
"""A reward model of K-wise rankings, Llama 3 8B.

Starling; Zhu et al., arXiv 2301.11270.

    ramjax train --config=configs/reward_plackett_luce_llama3_8b.py \
        --workdir=runs/reward_plackett_luce \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=ranked.jsonl

A row: {"prompt": ..., "completions": [...]}, the best answer first, or with
"scores", one for each. Of the model card of Starling-RM-7B-alpha: the loss,
the 7 answers to a prompt of Nectar, 2,048 tokens. No numbers were published:
learning rate, batch, warm-up and steps are assumed. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(base.reward(plackett_luce=dict(weight=1.0)))
  config.data.sources.main = base.source("ranked.jsonl", eval_rows=500)
  config.optim.learning_rate = 5e-6
  config.optim.warmup_steps = 100
  config.run.total_steps = 2859
  config.data.batch_size = 64
  config.data.num_microbatches = 8
  config.reward.init_std = 0.0156
  return config
