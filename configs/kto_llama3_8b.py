# SPDX-License-Identifier: Apache-2.0
"""KTO (Ethayarajh et al., arXiv 2402.01306), Llama 3 8B.

    ramjax train --config=configs/kto_llama3_8b.py --workdir=runs/kto \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Rows are pairs, or {"prompt": ..., "completion": ..., "label": true}. Of the
authors' code: beta 0.1, weights 1 and 1. Assumed: 5e-7, 128 answers a batch,
one epoch of 61,135 pairs, schedule and lengths. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(
    base.unpaired(
      kto=dict(
        weight=1.0, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0
      )
    )
  )
  config.optim.warmup_steps = 96
  config.run.total_steps = 955
  return config
