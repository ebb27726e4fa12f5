# SPDX-License-Identifier: Apache-2.0
"""RLOO (Ahmadian et al., arXiv 2402.14740), Llama 3 8B.

    ramjax train --config=configs/rloo_llama3_8b.py --workdir=runs/rloo \
        --config.data.sources.main.path=prompts.jsonl \
        --config.reward_model.from_run=runs/reward

As recalled of the paper: 4 answers a prompt. Assumed: 512 answers an update, 1e-6,
a KL coefficient of 0.05. not yet run
"""

from ramjax.configs import policy_methods, sizes


def get_config():
  """Four answers a prompt against a reward model."""
  return sizes.llama3_8b_online(policy_methods.rloo(no_eos=dict(weight=1.0)))
