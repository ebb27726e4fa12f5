# SPDX-License-Identifier: Apache-2.0
"""What a token counts: hand values, means as they are meant, any split."""

import jax
import numpy as np
import pytest

from ramjax.losses.token_weights import token_weights

_REDUCTIONS = ("token", "sequence", "constant")
# Answers of 1 and 3 tokens, and a padding row.
_MASK = np.arange(4) < np.array([1, 3, 0])[:, None]


# Jitted: each operation by itself would be a program to compile.
_jitted = jax.jit(token_weights, static_argnames=("reduction", "max_length"))


def _weights(mask, reduction, max_length=8):
  return jax.device_get(
    _jitted(mask=mask, reduction=reduction, max_length=max_length)
  )


@pytest.mark.parametrize(
  "reduction,weights,counts",
  [
    ("token", [1.0, 1.0], [[1, 0, 0], [1, 1, 1]]),
    ("sequence", [1.0, 1 / 3], [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]),
    ("constant", [1 / 8, 1 / 8], [[1, 0, 0], [1, 0, 0]]),
  ],
)
def test_hand_values(reduction, weights, counts):
  found = _weights(_MASK, reduction)
  expected = np.where(_MASK, [[weights[0]], [weights[1]], [9.0]], 0.0)
  np.testing.assert_allclose(found.weights, expected, rtol=1e-6)
  np.testing.assert_allclose(found.counts[:2, :3], counts, rtol=1e-6)
  assert not found.counts[:, 3].any() and not found.counts[2].any()
  assert found.weights.dtype == found.counts.dtype == np.float32


@pytest.mark.parametrize("reduction", _REDUCTIONS)
def test_the_loss_is_the_mean_that_is_meant(reduction):
  rng = np.random.default_rng(0)
  losses = rng.normal(0, 1, _MASK.shape)
  rows = [
    [float(losses[i, j]) for j in range(4) if _MASK[i, j]] for i in range(2)
  ]
  expected = dict(
    token=(sum(rows[0]) + sum(rows[1])) / 4,
    sequence=(sum(rows[0]) / 1 + sum(rows[1]) / 3) / 2,
    constant=(sum(rows[0]) / 8 + sum(rows[1]) / 8) / 2,
  )
  found = _weights(_MASK, reduction)
  total = np.sum(np.asarray(found.weights) * losses)
  np.testing.assert_allclose(
    total / np.sum(found.counts), expected[reduction], rtol=1e-6
  )


@pytest.mark.parametrize("reduction", _REDUCTIONS)
def test_rows_do_not_know_of_each_other(reduction):
  whole = _weights(_MASK, reduction)
  for row in range(3):
    alone = _weights(_MASK[row : row + 1], reduction)
    np.testing.assert_array_equal(alone.weights[0], whole.weights[row])
    np.testing.assert_array_equal(alone.counts[0], whole.counts[row])


def test_an_answer_counts_once_wherever_it_begins():
  mask = np.array([[False, True, True], [True, False, True]])
  found = _weights(mask, "constant")
  assert found.counts.tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]


def test_a_longest_answer_of_one_token_is_allowed():
  found = _weights(_MASK, "constant", max_length=1)
  np.testing.assert_array_equal(found.weights, _MASK.astype(np.float32))


def test_what_cannot_be_is_refused():
  match = r"reduction='mean' must be one of \('token', 'sequence', 'constant'\)"
  with pytest.raises(ValueError, match=match):
    _weights(_MASK, "mean")
  with pytest.raises(ValueError, match="max_length=0 must be at least 1"):
    _weights(_MASK, "constant", max_length=0)
