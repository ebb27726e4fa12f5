# SPDX-License-Identifier: Apache-2.0
"""Metrics of pairs: hand values, ties, padding that does not count."""

import jax.numpy as jnp
import numpy as np

from ramjax.losses.pairwise import PairwiseLoss
from ramjax.trainers import pair_metrics

# Margins 1, -3, 0 and, in a padding row, 99.
_RESULT = PairwiseLoss(
  losses=jnp.zeros(4),
  chosen_rewards=jnp.array([2.0, -1.0, 0.5, 99.0]),
  rejected_rewards=jnp.array([1.0, 2.0, 0.5, 0.0]),
)
_MASK = jnp.array([True, True, True, False])
_LOGPS = {
  "chosen_logps": jnp.array([-1.0, -2.0, -3.0, 7.0]),
  "rejected_logps": jnp.array([-4.0, -5.0, -6.0, 7.0]),
}
_REF = {
  "ref_chosen_logps": jnp.array([-2.0, -2.0, -1.0, 0.0]),
  "ref_rejected_logps": jnp.array([-4.0, -4.0, -4.0, 0.0]),
}


def _values(arrays):
  found = pair_metrics.metrics(_RESULT, arrays, _MASK)
  assert all(mean.weight == 3 for mean in found.values())
  return {name: float(mean.value) for name, mean in found.items()}


def test_rewards_and_margins_by_hand():
  values = _values({})
  np.testing.assert_allclose(values["rewards/chosen"], 0.5)
  np.testing.assert_allclose(values["rewards/rejected"], 3.5 / 3, rtol=1e-6)
  np.testing.assert_allclose(values["rewards/margin"], -2 / 3, rtol=1e-6)
  # Right, wrong, and a tie for a half.
  np.testing.assert_allclose(values["rewards/accuracy"], 0.5)
  assert len(values) == 4


def test_without_a_reference_there_is_no_distance_from_one():
  values = _values(_LOGPS)
  np.testing.assert_allclose(values["logps/chosen"], -2.0)
  np.testing.assert_allclose(values["logps/rejected"], -5.0)
  assert not any("log_ratios/" in name or "gate/" in name for name in values)


def test_the_distance_from_the_reference_is_signed_and_its_gate_is_not():
  values = _values({**_LOGPS, **_REF})
  # Log-ratios 1, 0, -2 and 0, -1, -2.
  np.testing.assert_allclose(values["log_ratios/chosen"], -1 / 3, rtol=1e-6)
  np.testing.assert_allclose(values["log_ratios/rejected"], -1.0)
  np.testing.assert_allclose(values["gate/off_reference/chosen"], 1.0)
  np.testing.assert_allclose(values["gate/off_reference/rejected"], 1.0)


def test_outcomes_are_the_margin_of_each_pair():
  found = pair_metrics.outcomes(_RESULT, {}, _MASK)
  np.testing.assert_array_equal(found["margin"], [1.0, -3.0, 0.0, 99.0])
  np.testing.assert_array_equal(found["mask"], _MASK)
