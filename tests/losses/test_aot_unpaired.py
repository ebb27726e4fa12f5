# SPDX-License-Identifier: Apache-2.0
"""AOT, unpaired: what it shares with the paired form is in `test_aot.py`."""

import jax.numpy as jnp
import numpy as np

from ramjax.losses.aot_unpaired import aot_unpaired_loss, batch_statistics


def _loss(arrays):
  statistics = batch_statistics(mask=jnp.ones(2, bool), **arrays)
  return statistics, aot_unpaired_loss(**arrays, **statistics, beta=1.0)


# Chosen log-ratios 5 and 1, rejected 0 and 3: 5 meets 3, 1 meets 0.
_ARRAYS = dict(
  chosen_logps=jnp.array([5.0, 1.0]),
  rejected_logps=jnp.array([0.0, 3.0]),
  ref_chosen_logps=jnp.zeros(2),
  ref_rejected_logps=jnp.zeros(2),
)


def test_hand_value():
  statistics, out = _loss(_ARRAYS)
  assert statistics["matched_rejected_ratios"].tolist() == [3.0, 0.0]
  assert statistics["matched_chosen_ratios"].tolist() == [1.0, 5.0]
  # Each row: half of the rank of its chosen, half of that of its rejected.
  half = (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.0))) / 2
  np.testing.assert_allclose(out.losses, [half, half], rtol=1e-6)
  assert out.chosen_rewards.tolist() == [5.0, 1.0]
  assert out.rejected_rewards.tolist() == [0.0, 3.0]


def test_who_stood_beside_whom_does_not_matter():
  turned = _ARRAYS | {"rejected_logps": jnp.array([3.0, 0.0])}
  totals = [jnp.sum(_loss(arrays)[1].losses) for arrays in (_ARRAYS, turned)]
  np.testing.assert_allclose(totals[0], totals[1], rtol=1e-6)
