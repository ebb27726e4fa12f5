# SPDX-License-Identifier: Apache-2.0
"""The order in which a judge saw two outputs can be told from the instruction.

That it is the authors' order, test_logprob_verdict.py shows on their verdicts.
"""

import random

import pytest

from ramjax.evals import shown_order


@pytest.mark.parametrize(
  "instruction,seed,swapped",
  [
    ("", 0, False),
    ("What is 2 + 2?", 0, False),
    ("né\n\U0001f600", 0, True),
    ("Name a river.", 0, True),
    ("Say hi.", 0, False),
    ("Task 0", 0, True),
    ("Task 1", 0, False),
    ("Name a river.", 1, True),
    ("Task 0", 1, False),
  ],
)
def test_it_is_the_authors_coin(instruction, seed, swapped):
  assert shown_order.is_swapped(instruction, seed) == swapped


def test_it_is_the_same_each_time_and_leaves_other_randomness_alone():
  random.seed(0)
  state = random.getstate()
  first = [shown_order.is_swapped(f"Task {i}") for i in range(20)]
  assert first == [shown_order.is_swapped(f"Task {i}") for i in range(20)]
  assert random.getstate() == state


def test_it_is_fair_and_the_seed_decides():
  tasks = [f"Task {i}" for i in range(2000)]
  first = [shown_order.is_swapped(task) for task in tasks]
  other = [shown_order.is_swapped(task, seed=1) for task in tasks]
  # Five standard deviations of a fair coin's count.
  assert abs(sum(first) - 1000) < 5 * 22.4
  agreed = sum(a == b for a, b in zip(first, other, strict=True))
  assert abs(agreed - 1000) < 5 * 22.4
