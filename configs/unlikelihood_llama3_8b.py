# SPDX-License-Identifier: Apache-2.0
"""Unlikelihood (Welleck et al., arXiv 1908.04319), Llama 3 8B.

    ramjax train --config=configs/unlikelihood_llama3_8b.py \
        --workdir=runs/unlikelihood \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Rows are pairs, or {"prompt": ..., "completion": ..., "label": true}. Of the
paper: alpha 1. It punishes repeated tokens of one text, and here it is the
tokens of answers judged bad, so the rest is assumed: means over tokens, 1e-6,
one epoch of 61,135 pairs, otherwise as in `sizes.llama3_8b`. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(
    base.unpaired(
      unlikelihood=dict(weight=1.0, alpha=1.0, logp_reduction="mean")
    )
  )
  config.optim.learning_rate = 1e-6
  config.optim.warmup_steps = 96
  config.run.total_steps = 955
  return config
