# SPDX-License-Identifier: Apache-2.0
"""Iterative Pairwise Cringe (Xu et al., arXiv 2312.16682), Llama 3 8B.

    ramjax train --config=configs/iterative_pairwise_cringe_llama3_8b.py \
        --workdir=runs/iterative \
        --config.init.from_run=runs/pairwise_cringe \
        --config.reward_model.from_run=runs/reward \
        --config.data.sources.main.path=prompts.jsonl \
        --config.rounds.human_rows=pairs.jsonl

Begins with what pairwise_cringe_llama3_8b.py made of people's pairs, which stay
among the rows of every round. A fixed reward model says which of 4 answers is
the best and which the worst. Meant for 8 chips of 96 GiB. No number of the
paper was recovered: 4 answers, two rounds, the loss's own numbers and
AlpacaFarm's sizes are assumed, as is temperature 0.7. not yet run
"""

from ramjax.configs import answer_methods, round_sizes


def get_config():
  """Two rounds on 10,000 prompts each."""
  config = round_sizes.llama3_8b(
    answer_methods.pairwise_cringe(),
    select=dict(name="best_and_worst", least_margin=0.0),
  )
  config.init.from_hf = ""
  config.init.from_run = "runs/pairwise_cringe"
  config.rounds.human_rows = "pairs.jsonl"
  config.rollout.group_size = 4
  config.rollout.temperature = 0.7
  config.fit.optim.learning_rate = 1e-6
  config.fit.optim.warmup_steps = 10
  config.fit.run.total_steps = 312
  config.fit.data.batch_size = 64
  config.fit.data.num_microbatches = 8
  return config
