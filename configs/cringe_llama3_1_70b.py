# SPDX-License-Identifier: Apache-2.0
"""Cringe (Adolphs et al., arXiv 2211.05826), Llama 3.1 70B, a pod slice.

    ramjax train --config=configs/cringe_llama3_1_70b.py --workdir=DIR \
        --config.init.from_hf=Llama-3.1-70B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

As `cringe_llama3_1_8b.py`, but 262,144 tokens an update, and 5e-7, which is
assumed, too. not yet run
"""

from ramjax.configs import cringe_llama3_1_8b, sizes


def get_config():
  """Cringe at 5e-7."""
  config = sizes.llama3_1(cringe_llama3_1_8b.get_config(), "70b")
  config.optim.learning_rate = 5e-7
  return config
