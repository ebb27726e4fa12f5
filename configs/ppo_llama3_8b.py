# SPDX-License-Identifier: Apache-2.0
"""PPO on HH with a reward model (arXiv 1707.06347, 2203.02155), Llama 3 8B.

    ramjax train --config=configs/ppo_llama3_8b.py --workdir=runs/ppo \
        --config.init.from_run=runs/sft \
        --config.data.sources.main.path=harmless-base_train.jsonl \
        --config.reward_model.from_run=runs/reward \
        --config.critic.from_run=runs/reward

Prompts are those of HH-RLHF's pairs. The critic starts from the reward model, and
an answer that does not end costs 1. Of AlpacaFarm's code: 512 answers a rollout,
256 an update, 1e-5 there for 7B with a warm-up of 5, a KL coefficient of 0.0067
to 0.02 clamped at 0, best after 20 to 80 rollouts. Assumed: 1e-6, 2 epochs, 0.05
as in Tulu 3. not yet run
"""

from ramjax.configs import policy_methods, sizes


def get_config():
  """PPO against a reward model."""
  config = sizes.llama3_8b_online(policy_methods.ppo(no_eos=dict(weight=1.0)))
  config.data.template = "plain"
  config.data.batch_size = 256
  config.optim.warmup_steps = 5
  config.run.total_steps = 320
  config.scores.normalise = True
  config.scores.clip = 5.0
  return config
