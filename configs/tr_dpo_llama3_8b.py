# SPDX-License-Identifier: Apache-2.0
"""TR-DPO, a reference that follows, Llama 3 8B.

Gorbatovski et al., arXiv 2404.09656.

    ramjax train --config=configs/tr_dpo_llama3_8b.py --workdir=runs/tr_dpo \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

TRL's settings after the paper: every 512 updates, 0.6 of the way. Assumed: the
rest, as in `sizes.llama3_8b`, but 3 epochs, so that the reference moves twice.
not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The paper's numbers where they are known."""
  config = sizes.llama3_8b(base.preference(dpo=dict(weight=1.0, beta=0.1)))
  config.reference.sync_every = 512
  config.reference.sync_rate = 0.6
  config.optim.warmup_steps = 143
  config.run.total_steps = 1432
  return config
