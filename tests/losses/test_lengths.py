# SPDX-License-Identifier: Apache-2.0
"""Sums over tokens stay sums, or become means over the answer's own tokens."""

import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.lengths import reduce_by_length

_SUMS, _LENGTHS = jnp.array([-6.0, -8.0, 0.0]), jnp.array([3, 1, 0])


@pytest.mark.parametrize(
  "reduction,expected", [("sum", [-6, -8, 0]), ("mean", [-2, -8, 0])]
)
def test_each_answer_has_its_own_length(reduction, expected):
  reduced = reduce_by_length(_SUMS, _LENGTHS, logp_reduction=reduction)
  np.testing.assert_array_equal(reduced, expected)


def test_another_reduction_is_refused_under_its_own_name():
  match = r"token_reduction='max' must be one of \('sum', 'mean'\)"
  with pytest.raises(ValueError, match=match):
    reduce_by_length(_SUMS, _LENGTHS, token_reduction="max")
