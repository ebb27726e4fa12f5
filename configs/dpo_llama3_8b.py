# SPDX-License-Identifier: Apache-2.0
"""DPO (Rafailov et al., arXiv 2305.18290), Llama 3 8B.

    ramjax train --config=configs/dpo_llama3_8b.py --workdir=runs/dpo \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the paper: beta 0.1, 1e-6, 64 pairs a batch, there with RMSprop. Of the
authors' code: 512 tokens, gradients clipped at 10, warm-up over 150 updates.
Assumed: AdamW, constant after the warm-up, one epoch of 61,135 pairs. not yet
run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(base.preference(dpo=dict(weight=1.0, beta=0.1)))
  config.optim.learning_rate = 1e-6
  config.optim.schedule = "constant"
  config.optim.warmup_steps = 150
  config.optim.clip_norm = 10.0
  config.run.total_steps = 955
  config.data.max_length = 512
  config.data.batch_size = 64
  config.data.num_microbatches = 8
  return config
