# SPDX-License-Identifier: Apache-2.0
"""AUC equals a count of pairs, ties half."""

import numpy as np
import pytest

from ramjax.evals.label_auc import label_auc


@pytest.mark.parametrize("seed", range(3))
def test_equals_a_count_over_all_pairs(seed):
  rng = np.random.default_rng(seed)
  rewards = rng.integers(0, 6, 40).astype(np.float32)
  labels = rng.random(40) < 0.4
  good, bad = rewards[labels], rewards[~labels]
  gap = good[:, None] - bad[None, :]
  expected = np.mean((gap > 0) + 0.5 * (gap == 0))
  assert label_auc(rewards, labels) == pytest.approx(expected)


def test_rewards_that_say_nothing_are_a_half():
  assert label_auc(np.zeros(5), np.array([1, 0, 0, 1, 0])) == 0.5


def test_answers_of_one_kind_have_none():
  assert label_auc(np.arange(3.0), np.ones(3, bool)) is None
