# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.evals.output_difference."""

import math

import numpy as np
import pytest

from ramjax.evals import output_difference


def test_kl_of_two_coins_is_that_worked_out_by_hand():
  # p = (1/2, 1/2), q = (3/4, 1/4):
  # KL(p || q) = log(2/3) / 2 + log(2) / 2; KL(q || p) the other way around.
  coin = np.log([[0.5, 0.5]]).astype(np.float32)
  biased = np.log([[0.75, 0.25]]).astype(np.float32)
  expected = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)
  found = output_difference.kl_per_position(coin, biased)
  np.testing.assert_allclose(found, [expected], rtol=1e-6)
  backward = 0.75 * math.log(3 / 2) + 0.25 * math.log(1 / 2)
  found = output_difference.kl_per_position(biased, coin)
  np.testing.assert_allclose(found, [backward], rtol=1e-6)


def test_kl_ignores_what_is_added_to_all_logits_and_never_is_negative():
  rng = np.random.default_rng(0)
  logits = rng.standard_normal((50, 30))
  shifted = logits + 100 * rng.standard_normal((50, 1))
  found = output_difference.kl_per_position(logits, shifted)
  assert np.all(found >= 0) and np.all(found < 1e-12)


def test_kl_of_large_logits_does_not_overflow():
  first, second = np.array([[1e4, 0.0]]), np.array([[0.0, 1e4]])
  found = output_difference.kl_per_position(first, second)
  np.testing.assert_allclose(found, [1e4])


def test_nan_is_not_hidden():
  bad = np.array([[0.0, math.nan]])
  assert np.isnan(output_difference.kl_per_position(bad, np.zeros((1, 2))))
  assert np.isnan(output_difference.max_difference(bad, np.zeros((1, 2))))


def test_max_difference_is_of_each_row():
  first = np.array([[1.0, 2.0], [3.0, -4.0]], np.float32)
  second = np.array([[1.5, 2.0], [2.0, 4.0]], np.float32)
  found = output_difference.max_difference(first, second)
  assert found.tolist() == [0.5, 8.0]


@pytest.mark.parametrize(
  ("labels", "reason"),
  [
    ((0, 0), ""),
    ((2, 2), ""),
    ((0, 1), "has an LM head and the other a score head of 1 outputs"),
    ((3, 1), "a score head of 3 outputs and the other a score head of 1"),
  ],
)
def test_outputs_of_other_heads_cannot_be_compared(labels, reason):
  class Model:
    def __init__(self, num_labels):
      self.config = self
      self.num_labels = num_labels

  found = output_difference.incomparable(*map(Model, labels))
  assert (reason in found) if reason else found == ""
