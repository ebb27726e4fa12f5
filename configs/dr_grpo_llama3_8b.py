# SPDX-License-Identifier: Apache-2.0
"""Dr. GRPO (Liu et al., arXiv 2503.20783) on maths, Llama 3 8B.

    ramjax train --config=configs/dr_grpo_llama3_8b.py --workdir=runs/dr_grpo \
        --config.data.sources.main.path=maths.jsonl

Rows are `question` and `answer`. As recalled of the paper: 1e-6, 8 answers, no KL
term. Assumed: the rest. not yet run
"""

from ramjax.configs import policy_methods, sizes


def get_config():
  """Sums over tokens, without deviations."""
  return sizes.llama3_8b_online(policy_methods.dr_grpo(math=dict(weight=1.0)))
