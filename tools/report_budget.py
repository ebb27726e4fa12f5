# SPDX-License-Identifier: Apache-2.0
"""How much one page may read: files of strangers could fill the memory."""

import pathlib
from typing import NamedTuple

# What is decoded from JSON takes several times as much memory.
_EVALUATIONS, _VERDICTS = 32 << 20, 128 << 20


class Spent(ValueError):
  """A file would go beyond what may be read."""


class Bytes:
  """Bytes that may be read yet.

  Attributes:
    most: At the beginning.
  """

  def __init__(self, most: int):
    self.most = most
    self._left = most

  def take(self, path: pathlib.Path) -> None:
    """Counts a file that is about to be read.

    Raises:
      Spent: It is larger than what is left; a smaller one may still be read.
      OSError: It is not there.
    """
    size = path.stat().st_size
    if size > self._left:
      raise Spent(
        f"{path} has {size:,} bytes, and of {self.most:,} that one page reads of"
        f" such files {self._left:,} are left."
      )
    self._left -= size


class Budget(NamedTuple):
  """What one page may read: evaluations, and the verdicts beside them."""

  evaluations: Bytes
  verdicts: Bytes


def of_page() -> Budget:
  """A page's, of which nothing is read yet."""
  return Budget(Bytes(_EVALUATIONS), Bytes(_VERDICTS))
