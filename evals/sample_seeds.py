# SPDX-License-Identifier: Apache-2.0
"""The seed of each sample that is drawn of each row: documented, and stable."""

import numpy as np

_LIMIT = 2**32


def sample_seed(seed: int, row: int, sample: int) -> int:
  """The seed of one sample of one row.

  It is the first 32-bit word of NumPy's
  `SeedSequence(seed, spawn_key=(row, sample))`, whose output NumPy promises not
  to change. What is asked for beside it, and in which order, does not matter.

  Args:
    seed: Of the whole, in [0, 2^32).
    row: Index of the row, from 0, below 2^32.
    sample: Index of the sample among those of its row, from 0, below 2^32.

  Returns:
    A number in [0, 2^32).

  Raises:
    ValueError: An argument is out of its range.
  """
  for name, value in (("seed", seed), ("row", row), ("sample", sample)):
    if not 0 <= value < _LIMIT:
      raise ValueError(f"{name}={value} must be in [0, 2^32).")
  sequence = np.random.SeedSequence(seed, spawn_key=(row, sample))
  return int(sequence.generate_state(1, np.uint32)[0])
