# SPDX-License-Identifier: Apache-2.0
"""Pairwise Cringe (Xu et al., arXiv 2312.16682) against repetition, one round.

    ramjax train --config=configs/repetition_pairwise_cringe.py \
        --workdir=runs/repetition-pairwise-cringe

Answers of the small Alpaca model of `sft_tiny_alpaca.py` in `runs/alpaca`; of 4
to a prompt, the one that repeats the fewest 3-grams is preferred to the one
that repeats the most. 226 s on one core of a busy machine: repeated 3-grams of
500 greedy held-out answers from 58.7 % to 17.7 %, their F1 with people's from
6.1 % to 6.3 %, their length from 73 tokens to 23. The gate compares
log-probabilities per token: summed, they are those of the longer answer, which
is the one that repeats itself, and the gate is shut from the start. The numbers
of the loss are this project's own.
"""

from ramjax.configs import base, repetition_size


def fit():
  """The tree of a fit, for the iterative one, too."""
  return base.preference(
    pairwise_cringe=dict(
      weight=1.0,
      alpha=1.0,
      b=0.0,
      tau=1.0,
      stop_gradient_gate=True,
      logp_reduction="mean",
      token_reduction="mean",
      top_k=5,
      stop_candidate_gradient=False,
    )
  )


def get_config():
  """One round on 512 prompts, 20 updates."""
  return repetition_size.one_round(
    fit(), select=dict(name="best_and_worst", least_margin=0.0)
  )
