# SPDX-License-Identifier: Apache-2.0
"""Seeds of samples: pinned, apart from each other, in range."""

import numpy as np
import pytest

from ramjax.evals.sample_seeds import sample_seed


def test_a_seed_is_the_first_word_of_numpys_sequence():
  sequence = np.random.SeedSequence(7, spawn_key=(3, 2))
  assert sample_seed(7, 3, 2) == sequence.generate_state(4, np.uint32)[0]


@pytest.mark.parametrize(
  "arguments,seed",
  [
    ((0, 0, 0), 4088532484),
    ((0, 0, 1), 3581274545),
    ((0, 1, 0), 3953331965),
    ((1, 0, 0), 3023998541),
    ((2**32 - 1, 2**32 - 1, 2**32 - 1), 3457321828),
  ],
)
def test_seeds_do_not_change_from_version_to_version(arguments, seed):
  assert sample_seed(*arguments) == seed


def test_no_two_of_a_thousand_are_alike():
  seeds = {
    sample_seed(seed, row, sample)
    for seed in range(2)
    for row in range(100)
    for sample in range(5)
  }
  assert len(seeds) == 1000
  assert all(0 <= seed < 2**32 for seed in seeds)


@pytest.mark.parametrize("name,at", [("seed", 0), ("row", 1), ("sample", 2)])
@pytest.mark.parametrize("value", [-1, 2**32])
def test_a_number_out_of_range_is_refused(name, at, value):
  arguments = [0, 0, 0]
  arguments[at] = value
  with pytest.raises(ValueError, match=rf"{name}={value} must be in"):
    sample_seed(*arguments)
