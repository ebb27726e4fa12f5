# SPDX-License-Identifier: Apache-2.0
"""Methods on answers whose loss has many numbers, as values: data only.

Each function returns a tree; sizes, data and learning rates come from whoever
calls it. A loss that fits into one line is written out where it is used.
"""

from typing import Any

from ramjax.configs import base


def cringe() -> Any:
  """Cringe: Adolphs et al., arXiv 2211.05826.

  The numbers are those of the authors' code (ParlAI), which takes the mean over
  a batch's tokens, and not over those of an answer.
  """
  return base.unpaired(
    cringe=dict(
      weight=1.0,
      alpha=1.0,
      contrast_positives=False,
      logp_reduction="mean",
      top_k=1,
      stop_candidate_gradient=False,
    )
  )


def pairwise_cringe() -> Any:
  """Pairwise Cringe: Xu et al., arXiv 2312.16682.

  Every number is assumed: none of the paper was recovered.
  """
  return base.preference(
    pairwise_cringe=dict(
      weight=1.0,
      alpha=0.005,
      b=-10.0,
      tau=10.0,
      stop_gradient_gate=True,
      logp_reduction="sum",
      token_reduction="sum",
      top_k=5,
      stop_candidate_gradient=False,
    )
  )
