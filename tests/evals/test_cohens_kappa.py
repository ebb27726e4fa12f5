# SPDX-License-Identifier: Apache-2.0
"""Kappa by hand, by arrays, and where it is undefined."""

import numpy as np
import pytest

from ramjax.evals import cohens_kappa


def test_a_two_by_two_table_by_hand():
  # Both yes 20, both no 15, only the first yes 5, only the second yes 10.
  first = ["y"] * 20 + ["n"] * 15 + ["y"] * 5 + ["n"] * 10
  second = ["y"] * 20 + ["n"] * 15 + ["n"] * 5 + ["y"] * 10
  found = cohens_kappa.cohens_kappa(first, second)
  assert found.items == 50
  assert found.observed == pytest.approx(0.7)
  # Yes: 25/50 and 30/50; no: 25/50 and 20/50.
  assert found.expected == pytest.approx(0.5 * 0.6 + 0.5 * 0.4)
  assert found.kappa == pytest.approx(0.4)


def test_full_agreement_is_one_and_full_disagreement_below_zero():
  assert cohens_kappa.cohens_kappa("abc", "abc").kappa == 1.0
  assert cohens_kappa.cohens_kappa("aabb", "bbaa").kappa == -1.0


def test_one_label_throughout_has_no_kappa():
  found = cohens_kappa.cohens_kappa("aaa", "aaa")
  assert (found.observed, found.expected, found.kappa) == (1.0, 1.0, None)
  # One annotator of one label: chance explains all there is.
  assert cohens_kappa.cohens_kappa("aaa", "aab").kappa == 0.0


def test_no_items_have_no_agreement():
  assert cohens_kappa.cohens_kappa([], []) == (0, None, None, None)


def test_labels_have_to_be_of_the_same_items():
  with pytest.raises(ValueError, match="3 and 2 labels"):
    cohens_kappa.cohens_kappa("abc", "ab")


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_table_of_counts(seed):
  rng = np.random.default_rng(seed)
  first, second = rng.integers(0, 4, (2, 60))
  second = np.where(rng.random(60) < 0.5, first, second)
  table = np.zeros((4, 4))
  np.add.at(table, (first, second), 1 / 60)
  observed = np.trace(table)
  expected = table.sum(axis=1) @ table.sum(axis=0)
  found = cohens_kappa.cohens_kappa(first.tolist(), second.tolist())
  assert found.kappa == pytest.approx((observed - expected) / (1 - expected))
  turned = cohens_kappa.cohens_kappa(second.tolist(), first.tolist())
  assert turned.kappa == found.kappa


_LABELS = {
  "1": {"x": "a", "y": "a", "z": "b"},
  "2": {"x": "a", "y": "b"},
  "3": {"z": "b"},
}


def test_pairs_are_compared_where_both_labelled():
  found = cohens_kappa.pairwise(_LABELS)
  assert list(found) == [("x", "y"), ("x", "z"), ("y", "z")]
  assert found["x", "y"].items == 2 and found["x", "y"].observed == 0.5
  assert found["x", "z"].items == 1 and found["x", "z"].observed == 0.0


def test_one_is_compared_with_the_majority_of_the_others():
  # Of item 1, x against {a, b} is half right, z against {a, a} is wrong.
  found = cohens_kappa.leave_one_out(_LABELS)
  assert found == {"x": [0.5, 0.0], "y": [0.5, 0.0], "z": [0.0]}


def test_the_mean_of_nothing_is_none():
  assert cohens_kappa.mean([]) is None
  assert cohens_kappa.mean([0.5, 1.0]) == 0.75
