# SPDX-License-Identifier: Apache-2.0
"""GSPO (Zheng et al., arXiv 2507.18071) on maths, Llama 3 8B.

    ramjax train --config=configs/gspo_llama3_8b.py --workdir=runs/gspo \
        --config.data.sources.main.path=maths.jsonl

Rows are `question` and `answer`. Of the paper: clip 3e-4 and 4e-4, a rollout in
four updates. Assumed: the rest. not yet run
"""

from ramjax.configs import policy_methods, sizes


def get_config():
  """Ratios of whole answers; a rollout in four updates."""
  config = sizes.llama3_8b_online(policy_methods.gspo(math=dict(weight=1.0)))
  config.data.batch_size = 128
  config.data.num_microbatches = 4
  return config
