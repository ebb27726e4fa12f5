# SPDX-License-Identifier: Apache-2.0
"""KTO and BCO against TRL's own loss code, in value and gradient.

TRL's `_compute_loss` is called with a stand-in for the trainer and a model
whose log-probabilities are the numbers of the test. It has no BCO trainer any
more; of BCO there is DPO's `bco_pair`, which differs by formula: it sums the
losses of a good and a bad answer, and its running mean is always 0.
"""

import collections
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.bco import bco_loss
from ramjax.losses.kto import batch_statistics, kto_loss

pytestmark = pytest.mark.peers

_RNG = np.random.default_rng(0)
_N = 6
_LOGPS, _REF, _KL_LOGPS, _REF_KL = _RNG.normal(-20, 4, size=(4, _N)).astype(
  np.float32
)
_LABELS = np.array([True, False, True, True, False, False])
_CLOSE = dict(rtol=1e-5, atol=1e-6)


def _outputs(torch, logps):
  """What TRL's fused head returns, for answers of one token."""
  zeros = torch.zeros(len(logps), 1)
  return types.SimpleNamespace(
    log_probs=logps[:, None],
    entropy=zeros,
    mean_logits=zeros,
    is_top1=zeros.bool(),
  )


def _trainer(**attributes):
  """The attributes that TRL's loss code reads of a trainer."""
  accelerator = types.SimpleNamespace(
    device="cpu", gather_for_metrics=lambda x: x, gather=lambda x: x
  )
  return types.SimpleNamespace(
    model=types.SimpleNamespace(training=False),
    accelerator=accelerator,
    aux_loss_enabled=False,
    precompute_ref_logps=True,
    _metrics=collections.defaultdict(lambda: collections.defaultdict(list)),
    _total_train_tokens=0,
    **attributes,
  )


def _tokens(torch, count):
  return dict(
    input_ids=torch.zeros(count, 2, dtype=torch.long),
    attention_mask=torch.ones(count, 2, dtype=torch.long),
    completion_mask=torch.tensor([[0, 1]] * count),
  )


def _trl_kto(rows, beta, good, bad, shift):
  """TRL's mean loss of some rows, and its gradient by their logps."""
  torch = pytest.importorskip("torch")
  kto_trainer = pytest.importorskip("trl.trainer.kto_trainer")
  logps = torch.tensor(_LOGPS[rows], requires_grad=True)
  trainer = _trainer(
    calculate_KL=True,
    loss_type="kto",
    beta=beta,
    desirable_weight=good,
    undesirable_weight=bad,
    _compute_kl_logps=lambda model, batch: torch.tensor(_KL_LOGPS) + shift,
  )
  inputs = _tokens(torch, len(rows)) | dict(
    label=torch.tensor(_LABELS[rows]),
    ref_logps=torch.tensor(_REF[rows]),
    ref_KL_logps=torch.tensor(_REF_KL),
  )
  loss = kto_trainer.KTOTrainer._compute_loss(
    trainer, lambda **kwargs: _outputs(torch, logps), inputs, False
  )
  loss.backward()
  return loss.item(), logps.grad.numpy()


@pytest.mark.parametrize("beta,good,bad", [(0.1, 1.0, 1.0), (0.5, 1.5, 0.75)])
@pytest.mark.parametrize("shift", [-15.0, 15.0])  # Of the estimated divergence.
def test_kto_agrees_with_trl(beta, good, bad, shift):
  statistics = batch_statistics(
    mask=jnp.ones(_N, bool),
    kl_logps=jnp.asarray(_KL_LOGPS) + shift,
    ref_kl_logps=jnp.asarray(_REF_KL),
  )
  assert (statistics["kl"] > 0) == (shift > 0)  # Clamped or not.

  def total(logps):
    losses = kto_loss(
      logps=logps,
      ref_logps=jnp.asarray(_REF),
      labels=jnp.asarray(_LABELS),
      **statistics,
      beta=beta,
      desirable_weight=good,
      undesirable_weight=bad,
    ).losses
    return jnp.sum(losses), losses

  grad, losses = jax.grad(total, has_aux=True)(jnp.asarray(_LOGPS))
  for row in range(_N):
    value, by_logp = _trl_kto([row], beta, good, bad, shift)
    np.testing.assert_allclose(losses[row], value, **_CLOSE)
    np.testing.assert_allclose(grad[row], by_logp[0], **_CLOSE)
  value, by_logps = _trl_kto(list(range(_N)), beta, good, bad, shift)
  np.testing.assert_allclose(np.mean(losses), value, **_CLOSE)
  np.testing.assert_allclose(grad / _N, by_logps, **_CLOSE)


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_bco_around_zero_agrees_with_trl_on_pairs(beta):
  torch = pytest.importorskip("torch")
  dpo_trainer = pytest.importorskip("trl.trainer.dpo_trainer")
  pairs = _N // 2
  logps = torch.tensor(_LOGPS, requires_grad=True)
  trainer = _trainer(
    ld_alpha=None,
    f_divergence_type="reverse_kl",
    loss_types=["bco_pair"],
    loss_weights=[1.0],
    use_weighting=False,
    beta=beta,
  )
  inputs = _tokens(torch, _N) | dict(
    ref_chosen_logps=torch.tensor(_REF[:pairs]),
    ref_rejected_logps=torch.tensor(_REF[pairs:]),
  )
  loss = dpo_trainer.DPOTrainer._compute_loss(
    trainer, lambda **kwargs: _outputs(torch, logps), inputs, False
  )
  loss.backward()

  def mean_of_pairs(logps):
    out = bco_loss(
      logps=logps,
      ref_logps=jnp.asarray(_REF),
      labels=jnp.arange(_N) < pairs,
      log_ratio_mean=jnp.float32(0.0),
      beta=beta,
    )
    return jnp.sum(out.losses) / pairs

  value, grad = jax.value_and_grad(mean_of_pairs)(jnp.asarray(_LOGPS))
  np.testing.assert_allclose(value, loss.item(), **_CLOSE)
  np.testing.assert_allclose(grad, logps.grad.numpy(), **_CLOSE)
