# SPDX-License-Identifier: Apache-2.0
"""Reward losses agree with TRL's trainer on the same scores."""

import types
from collections import defaultdict
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.bradley_terry import bradley_terry_loss

pytestmark = pytest.mark.peers

_CHOSEN = np.array([1.0, -0.5, 3.0, 0.0, -8.0], np.float32)
_REJECTED = np.array([0.5, 0.25, -2.0, 0.0, 6.0], np.float32)
_MARGINS = np.array([0.5, 1.0, 3.0, 0.0, 2.0], np.float32)


def _trl_loss_and_gradients(margins, centering):
  """Runs `RewardTrainer.compute_loss` on a model whose scores are given."""
  torch = pytest.importorskip("torch")
  trl = pytest.importorskip("trl")
  scores = torch.tensor(np.concatenate([_CHOSEN, _REJECTED]))
  scores.requires_grad_()

  class Model(torch.nn.Module):
    def forward(self, **inputs):
      return types.SimpleNamespace(logits=scores[:, None])

  # Everything that the method reads of the trainer besides its arguments.
  model = Model()
  trainer: Any = types.SimpleNamespace(
    model=model,
    args=types.SimpleNamespace(center_rewards_coefficient=centering),
    accelerator=types.SimpleNamespace(
      gather=lambda x: x, gather_for_metrics=lambda x: x
    ),
    _metrics={"train": defaultdict(list), "eval": defaultdict(list)},
    _total_train_tokens=0,
    _tp_size=1,
  )
  inputs = {"attention_mask": torch.ones(2 * len(_CHOSEN), 1)}
  if margins is not None:
    inputs["margin"] = torch.tensor(margins)
  loss = trl.RewardTrainer.compute_loss(trainer, model, inputs)
  loss.backward()
  chosen, rejected = np.split(scores.grad.numpy(), 2)
  return loss.item(), chosen, rejected


@pytest.mark.parametrize("centering", [None, 0.01, 1.0])
@pytest.mark.parametrize("margins", [None, _MARGINS])
def test_losses_and_gradients_are_those_of_trl(margins, centering):
  expected = _trl_loss_and_gradients(margins, centering)

  def mean(chosen, rejected):
    result = bradley_terry_loss(
      chosen_scores=chosen,
      rejected_scores=rejected,
      margins=jnp.asarray(_MARGINS),
      margin="none" if margins is None else "subtract",
      label_smoothing=0.0,
      centering=centering or 0.0,
    )
    return jnp.mean(result.losses)

  loss, grads = jax.value_and_grad(mean, argnums=(0, 1))(_CHOSEN, _REJECTED)
  np.testing.assert_allclose(loss, expected[0], rtol=1e-6)
  for grad, wanted in zip(grads, expected[1:], strict=True):
    np.testing.assert_allclose(grad, wanted, rtol=1e-5, atol=1e-7)
