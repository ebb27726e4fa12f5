# SPDX-License-Identifier: Apache-2.0
"""PPO (arXiv 1707.06347, 2203.02155), Llama 3.1 70B, a pod slice.

    ramjax train --config=configs/ppo_llama3_1_70b.py --workdir=DIR \
        --config.init.from_hf=Llama-3.1-70B-Instruct \
        --config.data.sources.main.path=prompts.jsonl \
        --config.reward_model.from_run=runs/reward

As `ppo_llama3_1_8b.py`, but 64 rows at a time, and 5e-7, which is assumed,
too. not yet run
"""

from ramjax.configs import ppo_llama3_1_8b


def get_config():
  """PPO against a reward model at 5e-7."""
  config = ppo_llama3_1_8b.get_config()
  config.init.from_hf = "Llama-3.1-70B-Instruct"
  config.model.preset = "llama3_1_70b"
  config.data.num_microbatches = 4
  config.optim.learning_rate = 5e-7
  return config
