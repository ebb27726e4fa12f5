# SPDX-License-Identifier: Apache-2.0
"""Cringe (Adolphs et al., arXiv 2211.05826), Llama 3.1 8B, a pod slice.

    ramjax train --config=configs/cringe_llama3_1_8b.py --workdir=DIR \
        --config.init.from_hf=Llama-3.1-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

65,536 tokens an update, in packed rows of 4,096. The learning rate, its
schedule and the number of updates are assumed. `ramjax plan` says what holds
it. not yet run
"""

from ramjax.configs import answer_methods, sizes


def get_config():
  """Cringe at 1e-6."""
  config = sizes.llama3_1(answer_methods.cringe(), "8b")
  config.optim.learning_rate = 1e-6
  return config
