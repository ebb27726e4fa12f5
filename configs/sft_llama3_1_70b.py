# SPDX-License-Identifier: Apache-2.0
"""Supervised fine-tuning, Llama 3.1 70B, a pod slice.

    ramjax train --config=configs/sft_llama3_1_70b.py --workdir=DIR \
        --config.init.from_hf=Llama-3.1-70B-Instruct \
        --config.data.sources.main.path=rows.jsonl

As `sft_llama3_1_8b.py`, but 262,144 tokens an update, and 2e-6, which is
assumed, too. not yet run
"""

from ramjax.configs import sft_llama3_1_8b, sizes


def get_config():
  """Supervised fine-tuning at 2e-6."""
  config = sizes.llama3_1(sft_llama3_1_8b.get_config(), "70b")
  config.optim.learning_rate = 2e-6
  return config
