# SPDX-License-Identifier: Apache-2.0
"""Self-rewarding language models (Yuan et al., arXiv 2401.10020), tiny.

    ramjax train --config=configs/self_rewarding_tiny.py \
        --workdir=runs/self_rewarding

The model of the round judges its own answers. Random weights write no verdict,
so that here any digit counts as one, and generated pairs stand beside; trained
models take judge.template=additive and its pattern. Judging is not trained, as
it is in the paper. Two rounds of 10 updates from random weights on one CPU core
or more, to see that it runs: not yet run
"""

from ramjax.configs import base, round_sizes


def get_config():
  """The smallest run of the method."""
  config = round_sizes.tiny(
    base.preference(dpo=dict(weight=1.0, beta=0.1)),
    select=dict(name="best_and_worst", least_margin=0.0),
    rewards={},
  )
  config.rounds.human_rows = "task_pairs:16?seed=1"
  config.judge.role = "policy"
  config.judge.template = "{prompt}\nanswer: {response}\nFrom 0 to 9, it is a"
  config.judge.pattern = "([0-9])"
  config.judge.highest = 9.0
  config.judge.samples = 3
  config.judge.max_new_tokens = 16
  return config
