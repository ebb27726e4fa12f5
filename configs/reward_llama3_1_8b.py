# SPDX-License-Identifier: Apache-2.0
"""A Bradley-Terry reward model, Llama 3.1 8B, a pod slice.

InstructGPT, arXiv 2203.02155.

    ramjax train --config=configs/reward_llama3_1_8b.py --workdir=DIR \
        --config.init.from_hf=Llama-3.1-8B-Instruct \
        --config.data.sources.main.path=pairs.jsonl

65,536 tokens an update, in packed rows of 4,096. The learning rate, its
schedule and the number of updates are assumed. `ramjax plan` says what holds
it. not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """A Bradley-Terry reward model at 3e-6."""
  config = base.reward(
    bradley_terry=dict(
      weight=1.0, margin="none", label_smoothing=0.0, centering=0.0
    )
  )
  config = sizes.llama3_1(config, "8b")
  config.optim.learning_rate = 3e-6
  return config
