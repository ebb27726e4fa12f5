# SPDX-License-Identifier: Apache-2.0
"""DAPO (Yu et al., arXiv 2503.14476) on maths, Llama 3 8B.

    ramjax train --config=configs/dapo_llama3_8b.py --workdir=runs/dapo \
        --config.data.sources.main.path=maths.jsonl

Rows are `question` and `answer`. Of the paper: clip 0.2 and 0.28, 512 prompts of
16 answers in 16 updates, 1e-6, answers of 16,384 tokens with a soft limit 4,096
before, tokens of truncated answers penalised. Assumed: 32 prompts, 1,024 tokens
with a soft limit 256 before. not yet run
"""

from ramjax.configs import policy_methods, sizes


def get_config():
  """A wider upper clip, groups that vary, and a price for length."""
  config = policy_methods.dapo(
    math=dict(weight=1.0),
    overlong=dict(weight=1.0, max_tokens=1024, cache=256),
  )
  config.rollout.group_size = 16
  return sizes.llama3_8b_online(config)
