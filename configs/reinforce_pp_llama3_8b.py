# SPDX-License-Identifier: Apache-2.0
"""REINFORCE++ (Hu et al., arXiv 2501.03262), Llama 3 8B.

    ramjax train --config=configs/reinforce_pp_llama3_8b.py \
        --workdir=runs/reinforce_pp \
        --config.data.sources.main.path=prompts.jsonl \
        --config.reward_model.from_run=runs/reward

As recalled of the paper: a KL coefficient of 0.01. Assumed: the rest. not yet run
"""

from ramjax.configs import policy_methods, sizes


def get_config():
  """One answer a prompt against a reward model."""
  return sizes.llama3_8b_online(
    policy_methods.reinforce_pp(no_eos=dict(weight=1.0))
  )
