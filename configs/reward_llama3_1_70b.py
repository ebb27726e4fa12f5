# SPDX-License-Identifier: Apache-2.0
"""A Bradley-Terry reward model, Llama 3.1 70B, a pod slice.

InstructGPT, arXiv 2203.02155.

    ramjax train --config=configs/reward_llama3_1_70b.py --workdir=DIR \
        --config.init.from_hf=Llama-3.1-70B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

As `reward_llama3_1_8b.py`, but 262,144 tokens an update, and 1e-6, which is
assumed, too. not yet run
"""

from ramjax.configs import reward_llama3_1_8b, sizes


def get_config():
  """A Bradley-Terry reward model at 1e-6."""
  config = sizes.llama3_1(reward_llama3_1_8b.get_config(), "70b")
  config.optim.learning_rate = 1e-6
  return config
