# SPDX-License-Identifier: Apache-2.0
"""Iterative Cringe (Adolphs et al., arXiv 2211.05826), tiny.

    ramjax train --config=configs/iterative_cringe_tiny.py \
        --workdir=runs/iterative_cringe

Every answer of the newest model is labelled by its score, as many good ones as
bad ones, and learned from, beside generated pairs that stand for people's
labels. Two rounds of 10 updates from random weights on one CPU core or more, to
see that it runs; the reward is for a digit: not yet run
"""

from ramjax.configs import answer_methods, round_sizes


def get_config():
  """The smallest run of the method."""
  config = round_sizes.tiny(
    answer_methods.cringe(),
    select=dict(name="labelled", threshold=0.5, balance=True),
  )
  config.rounds.human_rows = "task_pairs:32?seed=1"
  return config
