# SPDX-License-Identifier: Apache-2.0
"""Robust DPO (Chowdhury et al., arXiv 2403.00409), Llama 3 8B.

    ramjax train --config=configs/robust_dpo_llama3_8b.py \
        --workdir=runs/robust_dpo \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the paper, which tuned GPT-2 large: label smoothing 0.1, beta 0.01, 16 pairs
a batch, 512 tokens; its 1e-3 is not for a model of this size, and 5e-7 is
assumed. One epoch of 61,135 pairs and the schedule are assumed, too. not yet
run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(
    base.preference(robust_dpo=dict(weight=1.0, beta=0.01, label_smoothing=0.1))
  )
  config.optim.warmup_steps = 382
  config.run.total_steps = 3821
  config.data.max_length = 512
  config.data.batch_size = 16
  config.data.num_microbatches = 2
  return config
