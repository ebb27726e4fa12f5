# SPDX-License-Identifier: Apache-2.0
"""Length-normalised DPO, Llama 3 8B.

Tulu 3, Lambert et al., arXiv 2411.15124.

    ramjax train --config=configs/dpo_norm_llama3_8b.py \
        --workdir=runs/dpo_norm \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the paper and the authors' code, for Llama 3.1 8B after its SFT: beta 5,
5e-7, linear to 0, 2,048 tokens, 128 pairs a batch, warm-up 10 %, one epoch of
about 270,000 pairs. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(base.preference(dpo_norm=dict(weight=1.0, beta=5.0)))
  config.optim.schedule = "linear"
  config.optim.warmup_steps = 211
  config.run.total_steps = 2110
  return config
