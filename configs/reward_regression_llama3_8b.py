# SPDX-License-Identifier: Apache-2.0
"""A regression model of ratings (HelpSteer2, arXiv 2406.08673), Llama 3 8B.

    ramjax train --config=configs/reward_regression_llama3_8b.py \
        --workdir=runs/reward_regression \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=rated.jsonl

A row: {"prompt": ..., "response": ..., "helpfulness": 3, ...}. A rating is 0
to 4, or null. Of the authors' code (the configuration released with
Llama3-70B-SteerLM-RM, 70B): 2e-6 and constant after 10 updates, AdamW with
weight decay 0.1 and b2 0.98, 128 answers a batch, 4,096 tokens. Of the paper,
as recalled: two epochs of 20,324 answers. Assumed: the head. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(base.reward(regression=dict(weight=1.0)))
  config.data.sources.main = base.source("rated.jsonl", eval_rows=500)
  config.reward.num_labels = 5
  config.reward.attributes = (
    "helpfulness",
    "correctness",
    "coherence",
    "complexity",
    "verbosity",
  )
  config.optim.learning_rate = 2e-6
  config.optim.schedule = "constant"
  config.optim.warmup_steps = 10
  config.optim.b2 = 0.98
  config.optim.weight_decay = 0.1
  config.run.total_steps = 318
  config.data.max_length = 4096
  config.reward.init_std = 0.0156
  return config
