# SPDX-License-Identifier: Apache-2.0
"""CPO, LoRA (Xu et al., arXiv 2401.08417), Llama 3 8B.

    ramjax train --config=configs/cpo_llama3_8b.py --workdir=runs/cpo \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the authors' code for ALMA-13B: beta 0.1, 1e-4, adapters, weight decay 0.01,
warm-up 1 %, one epoch, 512 tokens. Assumed: rank 16, 128 pairs a batch, 61,135
pairs, and cosine for its inverse square root schedule. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(
    base.preference(cpo=dict(weight=1.0, beta=0.1, nll_weight=1.0))
  )
  config.optim.learning_rate = 1e-4
  config.optim.weight_decay = 0.01
  config.optim.warmup_steps = 5
  config.data.max_length = 512
  config.lora.rank = 16
  return config
