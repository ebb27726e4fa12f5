# SPDX-License-Identifier: Apache-2.0
"""PPO (arXiv 1707.06347, 2203.02155), Llama 3.1 8B, a pod slice.

    ramjax train --config=configs/ppo_llama3_1_8b.py --workdir=DIR \
        --config.init.from_hf=Llama-3.1-8B-Instruct \
        --config.data.sources.main.path=prompts.jsonl \
        --config.reward_model.from_run=runs/reward

256 answers an update in rows of 4,096 tokens, 16 rows at a time. Policy and
critic are trained: twice the weights and optimizer state of a fine-tuning. All
figures are assumed. `ramjax plan` says what holds it. not yet run
"""

from ramjax.configs import policy_methods, sizes


def get_config():
  """PPO against a reward model at 1e-6."""
  config = policy_methods.ppo(no_eos=dict(weight=1.0))
  config = sizes.llama3_1(config, "8b")
  config.data.batch_size = 256
  config.data.num_microbatches = 16
  config.rollout.prompts = 512
  config.rollout.max_new_tokens = 2048
  config.rollout.num_slots = 256
  config.optim.learning_rate = 1e-6
  config.run.total_steps = 500
  return config
