# SPDX-License-Identifier: Apache-2.0
"""Supervised fine-tuning, Llama 3.1 8B, a pod slice.

    ramjax train --config=configs/sft_llama3_1_8b.py --workdir=DIR \
        --config.init.from_hf=Llama-3.1-8B-Instruct \
        --config.data.sources.main.path=rows.jsonl

65,536 tokens an update, in packed rows of 4,096. The learning rate, its
schedule and the number of updates are assumed. `ramjax plan` says what holds
it. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """Supervised fine-tuning at 5e-6."""
  config = base.sft()
  config = sizes.llama3_1(config, "8b")
  config.optim.learning_rate = 5e-6
  return config
