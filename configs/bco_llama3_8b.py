# SPDX-License-Identifier: Apache-2.0
"""BCO (Jung et al., arXiv 2404.04656), Llama 3 8B.

    ramjax train --config=configs/bco_llama3_8b.py --workdir=runs/bco \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

Rows are pairs, or {"prompt": ..., "completion": ..., "label": true}. Of the
paper: beta 0.01, 5e-7, 128 a batch, 1,536 tokens of prompt and 512 of answer.
Assumed: the schedule, and one epoch of 61,135 pairs, two answers each. not yet
run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(base.unpaired(bco=dict(weight=1.0, beta=0.01)))
  config.optim.warmup_steps = 96
  config.run.total_steps = 955
  return config
