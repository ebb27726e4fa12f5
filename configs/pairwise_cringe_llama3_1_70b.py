# SPDX-License-Identifier: Apache-2.0
"""Pairwise Cringe (Xu et al., arXiv 2312.16682), Llama 3.1 70B, a pod slice.

    ramjax train --config=configs/pairwise_cringe_llama3_1_70b.py --workdir=DIR \
        --config.init.from_hf=Llama-3.1-70B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

As `pairwise_cringe_llama3_1_8b.py`, but 262,144 tokens an update, and 5e-7,
which is assumed, too. not yet run
"""

from ramjax.configs import pairwise_cringe_llama3_1_8b, sizes


def get_config():
  """Pairwise Cringe at 5e-7."""
  config = sizes.llama3_1(pairwise_cringe_llama3_1_8b.get_config(), "70b")
  config.optim.learning_rate = 5e-7
  return config
