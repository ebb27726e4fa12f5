# SPDX-License-Identifier: Apache-2.0
"""Requests that a judge gives no answer to: no verdict each, up to a limit."""

from ramjax.evals.engine import Completion


class Failures:
  """Counts requests that failed once too often.

  Attributes:
    num: How many there were.
  """

  def __init__(self, most: int):
    """Nothing has failed yet.

    Args:
      most: How many may: beyond them a judge is taken to be down.
    """
    self.num = 0
    self._most = most

  @property
  def exceeded(self) -> bool:
    """Whether there were more than may be."""
    return self.num > self._most

  def __call__(self, error: Exception) -> Completion:
    """What stands for the answer that failed: no words.

    Raises:
      ValueError: It is one too many.
    """
    self.num += 1
    if self.exceeded:
      raise ValueError(
        f"the judge gave no answer to {self.num} requests, the last: {error} The"
        " answers so far are kept: run the same command again once it answers."
      ) from error
    return Completion(text="", finished=False, num_tokens=0)


def most_of(share: float, num: int) -> int:
  """How many of a number a share is, at most.

  Raises:
    ValueError: It is no share that leaves anything.
  """
  if not 0 <= share < 1:
    raise ValueError(
      f"--max-invalid={share} must be a share from 0 to below 1."
    )
  # 0.29 * 100 is a little less than 29 in floats.
  return int(share * num + 1e-9)
