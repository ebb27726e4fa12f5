# SPDX-License-Identifier: Apache-2.0
"""Iterative DPO (Xu et al., arXiv 2312.16682) against repetition.

    ramjax train --config=configs/repetition_iterative_dpo.py \
        --workdir=runs/repetition-iterative-dpo

As `repetition_dpo.py`, with the same prompts and updates in two rounds; the
reference of each is the model that it starts from. 373 s on one core of a busy
machine: repeated 3-grams of 500 greedy held-out answers from 58.7 % to 23.9 %,
their F1 with people's from 6.1 % to 4.7 %, their length from 73 tokens to 46.
"""

from ramjax.configs import base, repetition_size


def get_config():
  """Two rounds on 256 prompts and 10 updates each."""
  return repetition_size.two_rounds(
    base.preference(dpo=dict(weight=1.0, beta=0.1)),
    select=dict(name="best_and_worst", least_margin=0.0),
  )
