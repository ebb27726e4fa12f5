# SPDX-License-Identifier: Apache-2.0
"""How surely a share is known from a number of cases."""

import math

# 97.5 % quantile of the normal distribution: intervals of 95 %.
_Z = 1.959963984540054


def wilson_interval(right: float, total: int) -> tuple[float, float]:
  """The 95 % score interval of a share (E. B. Wilson, JASA 22, 1927, p. 209).

  Unlike the normal approximation it stays in [0, 1] and does not collapse where
  all or none are right.

  Args:
    right: How many cases are right; one that is half right counts half.
    total: How many there are, at least 1.

  Returns:
    Its lower and upper end; `right / total` lies between them.

  >>> low, high = wilson_interval(250, 500)
  >>> f"{low:.4f} {high:.4f}"
  '0.4563 0.5437'
  """
  share = right / total
  spread = _Z**2 / total
  middle = (share + spread / 2) / (1 + spread)
  half = _Z / (1 + spread)
  half *= math.sqrt(share * (1 - share) / total + spread / (4 * total))
  # At 0 and 1 an end is the share itself, which rounding may miss.
  low, high = min(middle - half, share), max(middle + half, share)
  return max(low, 0.0), min(high, 1.0)
