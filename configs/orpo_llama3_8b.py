# SPDX-License-Identifier: Apache-2.0
"""ORPO (Hong et al., arXiv 2403.07691), Llama 3 8B.

    ramjax train --config=configs/orpo_llama3_8b.py --workdir=runs/orpo \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the authors' code for Mistral 7B: weight 0.1, 5e-6, 200 updates of warm-up,
5 epochs, 32 pairs a batch, 2,048 tokens. Its inverse square root schedule is
replaced by cosine. ORPO is meant for a base model: name one in init.from_hf.
not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(
    base.preference(orpo=dict(weight=1.0, odds_ratio_weight=0.1))
  )
  config.optim.learning_rate = 5e-6
  config.optim.warmup_steps = 200
  config.run.total_steps = 9552
  config.data.batch_size = 32
  config.data.num_microbatches = 4
  return config
