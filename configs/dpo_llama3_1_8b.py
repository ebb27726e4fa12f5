# SPDX-License-Identifier: Apache-2.0
"""DPO (Rafailov et al., arXiv 2305.18290), Llama 3.1 8B, a pod slice.

    ramjax train --config=configs/dpo_llama3_1_8b.py --workdir=DIR \
        --config.init.from_hf=Llama-3.1-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

65,536 tokens an update, in packed rows of 4,096. The learning rate, its
schedule and the number of updates are assumed. `ramjax plan` says what holds
it. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """DPO at 5e-7."""
  config = base.preference(dpo=dict(weight=1.0, beta=0.1))
  config = sizes.llama3_1(config, "8b")
  config.optim.learning_rate = 5e-7
  return config
