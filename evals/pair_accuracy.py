# SPDX-License-Identifier: Apache-2.0
"""How often the better of two answers gets the higher reward, and how surely."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ramjax.data.wilson import wilson_interval

# Bins of the confidence sigmoid(|margin|), from 0.5 to 1.
CALIBRATION_EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Bin(NamedTuple):
  """The pairs of one range of confidence, at least one.

  Attributes:
    low: The least confidence.
    high: The most.
    pairs: How many there are.
    confidence: The mean.
    accuracy: The share that is right.
  """

  low: float
  high: float
  pairs: int
  confidence: float
  accuracy: float


def pair_accuracy(
  margins: np.ndarray, subsets: Sequence[str]
) -> dict[str, float]:
  """Accuracy with its interval, by subset, and the calibration of margins.

  Args:
    margins: [n] reward of the chosen answer less that of the rejected one. A
      tie counts as half right.
    subsets: The subset that each pair belongs to.

  Returns:
    `accuracy`, `accuracy_low` and `accuracy_high` (Wilson's 95 % interval);
    `accuracy/<subset>` where there are several; `calibration_error` and
    `calibration/<low>-<high>`: see `calibration`. Empty without pairs.
  """
  if not len(margins):
    return {}
  right = is_right(margins)
  low, high = wilson_interval(float(right.sum()), len(right))
  found = {
    "accuracy": float(right.mean()),
    "accuracy_low": low,
    "accuracy_high": high,
  }
  names = np.asarray(subsets)
  if len(set(subsets)) > 1:
    for name in sorted(set(subsets)):
      found[f"accuracy/{name}"] = float(right[names == name].mean())
  return {**found, **calibration(margins)}


def calibration(margins: np.ndarray) -> dict[str, float]:
  """Whether margins mean what Bradley and Terry say they do.

  The model names the answer of higher reward the better one, with confidence
  sigmoid(|margin|). Pairs are put into bins of confidence; in each, the share
  that it names rightly should be the mean confidence.

  Args:
    margins: [n], n at least 1.

  Returns:
    `calibration_error`, the mean over pairs of the distance between a bin's
    accuracy and its mean confidence (expected calibration error, Naeini et al.
    2015), and `calibration/<low>-<high>`, the accuracy of each bin that is not
    empty.
  """
  bins = calibration_bins(margins)
  error = sum(
    abs(bin_.accuracy - bin_.confidence) * bin_.pairs / len(margins)
    for bin_ in bins
  )
  return {
    "calibration_error": error,
    **{f"calibration/{b.low:.1f}-{b.high:.1f}": b.accuracy for b in bins},
  }


def calibration_bins(margins: np.ndarray) -> list[Bin]:
  """The bins of confidence that are not empty; see `calibration`.

  Args:
    margins: [n].
  """
  confidence = 1 / (1 + np.exp(-np.abs(margins.astype(np.float64))))
  right = is_right(margins)
  bins = np.digitize(confidence, CALIBRATION_EDGES[1:-1])
  found = []
  for i, (low, high) in enumerate(itertools.pairwise(CALIBRATION_EDGES)):
    inside = bins == i
    if inside.any():
      found.append(
        Bin(
          low,
          high,
          int(inside.sum()),
          float(confidence[inside].mean()),
          float(right[inside].mean()),
        )
      )
  return found


def is_right(margins: np.ndarray) -> np.ndarray:
  """[n] float64: 1 where the chosen answer has more, 0.5 for a tie, else 0."""
  return np.where(margins == 0, 0.5, (margins > 0).astype(np.float64))
