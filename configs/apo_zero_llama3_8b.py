# SPDX-License-Identifier: Apache-2.0
"""APO-zero (D'Oosterlinck et al., arXiv 2408.06266), Llama 3 8B.

    ramjax train --config=configs/apo_zero_llama3_8b.py \
        --workdir=runs/apo_zero \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the paper, which tuned this model: beta 0.1, 2e-7, 64 pairs a batch, 512
tokens of prompt and 512 of answer. Assumed: the schedule, and one epoch of its
32,000 pairs; the paper's epochs were not recovered. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(base.preference(apo_zero=dict(weight=1.0, beta=0.1)))
  config.optim.learning_rate = 2e-7
  config.optim.warmup_steps = 50
  config.run.total_steps = 500
  config.data.max_length = 1024
  config.data.batch_size = 64
  config.data.num_microbatches = 8
  return config
