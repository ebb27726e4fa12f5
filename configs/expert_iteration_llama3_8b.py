# SPDX-License-Identifier: Apache-2.0
"""Expert iteration (AlpacaFarm, arXiv 2305.14387), Llama 3 8B.

    ramjax train --config=configs/expert_iteration_llama3_8b.py \
        --workdir=runs/expert_iteration \
        --config.init.from_hf=Meta-Llama-3-8B-Instruct \
        --config.reward_model.from_run=runs/reward \
        --config.data.sources.main.path=prompts.jsonl

The best of 16 answers to each prompt, by a fixed reward model, is imitated by
the model that wrote it. Of the authors' code: one round, 2e-5, 3 epochs, 128
rows a batch, warm-up over 3 %, cosine. Assumed: 16 answers, temperature 1.
Meant for 8 chips of 96 GiB. not yet run
"""

from ramjax.configs import base, round_sizes


def get_config():
  """One round on 10,000 prompts."""
  config = round_sizes.llama3_8b(base.sft(), select=dict(name="best"))
  config.rounds.num_rounds = 1
  config.rounds.start = "first"
  config.rollout.group_size = 16
  config.fit.optim.learning_rate = 2e-5
  config.fit.optim.warmup_steps = 7
  config.fit.run.total_steps = 234
  return config
