# SPDX-License-Identifier: Apache-2.0
"""EXO on pairs (Ji et al., arXiv 2402.00856), Llama 3 8B.

    ramjax train --config=configs/exo_llama3_8b.py --workdir=runs/exo \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Of the paper: 1e-6, 64 a batch, beta 0.1 (TRL's index of papers; the authors'
code has 0.5 for dialogues). Of the authors' code: 512 tokens, no warm-up.
Assumed: label smoothing 1e-3, TRL's, one epoch of 61,135 pairs. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(
    base.preference(exo=dict(weight=1.0, beta=0.1, label_smoothing=0.001))
  )
  config.optim.learning_rate = 1e-6
  config.optim.warmup_steps = 0
  config.run.total_steps = 955
  config.data.max_length = 512
  config.data.batch_size = 64
  config.data.num_microbatches = 8
  return config
