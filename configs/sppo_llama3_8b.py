# SPDX-License-Identifier: Apache-2.0
"""SPPO with hard preferences, one round, Llama 3 8B.

Wu et al., arXiv 2405.00675.

    ramjax train --config=configs/sppo_llama3_8b.py --workdir=runs/sppo \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the authors' code: beta 1e-3, 5e-7, linear, warm-up 10 %, 1,024 tokens, one
epoch a round for this model, with RMSprop. Of the paper: 64 pairs a batch.
Assumed: AdamW, and 20,000 pairs a round, which the model itself has to sample.
not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(base.preference(sppo=dict(weight=1.0, beta=0.001)))
  config.optim.schedule = "linear"
  config.optim.warmup_steps = 31
  config.run.total_steps = 312
  config.data.max_length = 1024
  config.data.batch_size = 64
  config.data.num_microbatches = 8
  return config
