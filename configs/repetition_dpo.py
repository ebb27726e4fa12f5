# SPDX-License-Identifier: Apache-2.0
"""DPO (Rafailov et al., arXiv 2305.18290) against repetition, one round.

    ramjax train --config=configs/repetition_dpo.py \
        --workdir=runs/repetition-dpo

On the same pairs as `repetition_pairwise_cringe.py`; the reference is the model
in `runs/alpaca`. 339 s on one core of a busy machine: repeated 3-grams of 500
greedy held-out answers from 58.7 % to 18.6 %, their F1 with people's from 6.1 %
to 5.3 %, their length from 73 tokens to 39.
"""

from ramjax.configs import base, repetition_size


def get_config():
  """One round on 512 prompts, 20 updates."""
  return repetition_size.one_round(
    base.preference(dpo=dict(weight=1.0, beta=0.1)),
    select=dict(name="best_and_worst", least_margin=0.0),
  )
