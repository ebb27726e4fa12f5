# SPDX-License-Identifier: Apache-2.0
"""How well rewards tell desirable answers from undesirable ones."""

import numpy as np


def label_auc(rewards: np.ndarray, labels: np.ndarray) -> float | None:
  """Area under the ROC curve: P(reward of a good answer > that of a bad one).

  It needs no threshold, which KTO and BCO put in different places.

  Args:
    rewards: [n].
    labels: [n] bool, True is desirable.

  Returns:
    A share, ties counted as half (Mann and Whitney's statistic); None unless
    there are answers of both kinds.

  >>> label_auc(np.array([2.0, 0.0, 1.0]), np.array([True, False, False]))
  1.0
  """
  labels = labels.astype(bool)
  num_good, num_bad = int(labels.sum()), int((~labels).sum())
  if not num_good or not num_bad:
    return None
  values, inverse, counts = np.unique(
    rewards, return_inverse=True, return_counts=True
  )
  del values
  # The mean rank, from 1, of each group of equal rewards.
  ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
  wins = ranks[labels].sum() - num_good * (num_good + 1) / 2
  return float(wins / (num_good * num_bad))
