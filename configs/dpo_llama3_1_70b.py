# SPDX-License-Identifier: Apache-2.0
"""DPO (Rafailov et al., arXiv 2305.18290), Llama 3.1 70B, a pod slice.

    ramjax train --config=configs/dpo_llama3_1_70b.py --workdir=DIR \
        --config.init.from_hf=Llama-3.1-70B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

As `dpo_llama3_1_8b.py`, but 262,144 tokens an update, and 2e-7, which is
assumed, too. not yet run
"""

from ramjax.configs import dpo_llama3_1_8b, sizes


def get_config():
  """DPO at 2e-7."""
  config = sizes.llama3_1(dpo_llama3_1_8b.get_config(), "70b")
  config.optim.learning_rate = 2e-7
  return config
