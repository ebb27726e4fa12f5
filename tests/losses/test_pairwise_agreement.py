# SPDX-License-Identifier: Apache-2.0
"""TRL's own loss code gives, for the same log-probabilities, what ours gives.

TRL has its losses inside its trainers. The method that holds them is called
here on a stand-in for the trainer, with a model that returns given
log-probabilities of tokens; pairs go in one at a time, as TRL averages over
its batch, except where a loss is about the whole batch.
"""

import collections
import importlib
import inspect
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytestmark = [
  pytest.mark.peers,
  pytest.mark.filterwarnings("ignore"),  # Theirs, of imports.
]

_NUM_PAIRS, _LENGTH = 6, 7
_CLOSE = dict(rtol=1e-5, atol=1e-5)
_LOGPS = ("chosen_logps", "rejected_logps")


class _Tokens:
  """Random pairs, by token, and the arrays that our losses take of them."""

  def __init__(self):
    rng = np.random.default_rng(0)
    shape = (2, _NUM_PAIRS, _LENGTH)
    self.lengths = rng.integers(1, _LENGTH + 1, shape[:2])
    self.mask = np.arange(_LENGTH) < self.lengths[..., None]
    drawn = -rng.gamma(1.0, 1.0, shape) * self.mask
    self.logps = drawn.astype(np.float32)
    ref = drawn + rng.normal(0, 0.5, shape) * self.mask
    self.refs = ref.sum(-1).astype(np.float32)

  def arrays(self) -> dict[str, jax.Array]:
    sums = self.logps.sum(-1)
    names = ("chosen_logps", "rejected_logps")
    return {
      **{k: jnp.asarray(v) for k, v in zip(names, sums, strict=True)},
      **{
        f"ref_{k}": jnp.asarray(v)
        for k, v in zip(names, self.refs, strict=True)
      },
      "chosen_lengths": jnp.asarray(self.lengths[0], jnp.int32),
      "rejected_lengths": jnp.asarray(self.lengths[1], jnp.int32),
    }


_TOKENS = _Tokens()


def _stand_in(**attributes):
  """As much of a DPOTrainer as its loss reads."""
  accelerator = types.SimpleNamespace(
    device="cpu",
    gather=lambda x: x,
    gather_for_metrics=lambda x: x,
  )
  defaults = dict(
    accelerator=accelerator,
    model=types.SimpleNamespace(training=True),
    args=types.SimpleNamespace(discopop_tau=0.05),
    aux_loss_enabled=False,
    beta=0.1,
    f_divergence_type="reverse_kl",
    label_smoothing=0.0,
    ld_alpha=None,
    loss_weights=[1.0],
    precompute_ref_logps=True,
    use_weighting=False,
    _metrics=collections.defaultdict(lambda: collections.defaultdict(list)),
    _total_train_tokens=0,
    _tp_size=1,
  )
  return types.SimpleNamespace(**defaults | attributes)


def _trl_dpo(rows, **attributes):
  """Loss and gradients by chosen and rejected log-probability, of `rows`."""
  torch = pytest.importorskip("torch")
  trainer = pytest.importorskip("trl.trainer.dpo_trainer").DPOTrainer
  # [2n, T]: the chosen responses, then the rejected ones; one prompt token.
  logps = torch.tensor(_TOKENS.logps[:, rows].reshape(-1, _LENGTH))
  logps.requires_grad_()
  mask = torch.tensor(_TOKENS.mask[:, rows].reshape(-1, _LENGTH)).long()
  mask = torch.nn.functional.pad(mask, (1, 0))
  zeros = torch.zeros_like(logps)
  outputs = types.SimpleNamespace(
    log_probs=logps, entropy=zeros, mean_logits=zeros, is_top1=zeros > 1
  )
  inputs = dict(
    input_ids=torch.zeros_like(mask),
    attention_mask=torch.ones_like(mask),
    completion_mask=mask,
    ref_chosen_logps=torch.tensor(_TOKENS.refs[0, rows]),
    ref_rejected_logps=torch.tensor(_TOKENS.refs[1, rows]),
  )
  loss = trainer._compute_loss(
    _stand_in(**attributes), lambda **_: outputs, inputs, False
  )
  loss.backward()
  # A response's log-probability is a sum: the gradient by it is that by any
  # of its tokens, and all have one.
  grads = logps.grad[:, 0].reshape(2, -1).numpy()
  return loss.item(), *grads


def _ours(name, arrays, **options):
  """Losses, and gradients of their sum by the two log-probabilities."""
  module = importlib.import_module(f"ramjax.losses.{name}")
  loss = getattr(module, f"{name}_loss")
  wanted = inspect.signature(loss).parameters
  arrays = {k: v for k, v in arrays.items() if k in wanted}

  def total(logps):
    losses = loss(**arrays | logps, **options).losses
    return jnp.sum(losses), losses

  logps = {k: arrays[k] for k in _LOGPS}
  grads, losses = jax.grad(total, has_aux=True)(logps)
  return losses, grads["chosen_logps"], grads["rejected_logps"]


@pytest.mark.parametrize(
  "loss_types,theirs,name,options",
  [
    (["sigmoid"], {}, "dpo", {}),
    (
      ["sigmoid"],
      {"f_divergence_type": "forward_kl"},
      "dpo",
      {"divergence": "forward_kl"},
    ),
    (
      ["sigmoid"],
      {"f_divergence_type": "js_divergence"},
      "dpo",
      {"divergence": "js"},
    ),
    # Theirs is (u^(a - 1) - 1) / (a - 1), the paper's (1 - u^-alpha) / alpha:
    # a = 1 - alpha.
    (
      ["sigmoid"],
      {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.7},
      "dpo",
      {"divergence": "alpha", "divergence_alpha": 0.3},
    ),
    (["hinge"], {}, "hinge", {}),
    # Theirs always divides by the lengths.
    (["ipo"], {}, "ipo", {"logp_reduction": "mean"}),
    (
      ["exo_pair"],
      {"label_smoothing": 0.01},
      "exo",
      {"label_smoothing": 0.01},
    ),
    (["nca_pair"], {}, "nca", {}),
    (
      ["robust"],
      {"label_smoothing": 0.2},
      "robust_dpo",
      {"label_smoothing": 0.2},
    ),
    (["sppo_hard"], {}, "sppo", {}),
    (["apo_zero"], {}, "apo_zero", {}),
    (["apo_down"], {}, "apo_down", {}),
    (["discopop"], {}, "discopop", {"tau": 0.05}),
    (["sigmoid_norm"], {}, "dpo_norm", {}),
    # One pair at a time: over a batch their SFT term is a mean over all of
    # its tokens, ours over those of each response.
    (
      ["sigmoid", "sft"],
      {"loss_weights": [1.0, 0.5]},
      "rpo",
      {"nll_weight": 0.5},
    ),
  ],
)
@pytest.mark.parametrize("beta", [0.1, 1.5])
def test_losses_of_pairs(loss_types, theirs, name, options, beta):
  ours = _ours(name, _TOKENS.arrays(), beta=beta, **options)
  for row in range(_NUM_PAIRS):
    loss, chosen, rejected = _trl_dpo(
      [row], loss_types=loss_types, beta=beta, **theirs
    )
    found = [float(x[row]) for x in ours]
    expected = [loss, chosen[0], rejected[0]]
    np.testing.assert_allclose(found, expected, **_CLOSE)


def test_likelihood_of_the_chosen_response():
  ours = _ours("chosen_nll", _TOKENS.arrays())
  for row in range(_NUM_PAIRS):
    loss, chosen, _ = _trl_dpo([row], loss_types=["sft"])
    np.testing.assert_allclose(ours[0][row], loss, **_CLOSE)
    np.testing.assert_allclose(ours[1][row], chosen[0], **_CLOSE)


@pytest.mark.parametrize("name", ["aot", "aot_unpaired"])
def test_losses_of_the_whole_batch(name):
  # Theirs is a mean over the batch, ours a sum.
  arrays = _TOKENS.arrays()
  module = importlib.import_module(f"ramjax.losses.{name}")
  logps = {k: v for k, v in arrays.items() if k.endswith("logps")}
  arrays |= module.batch_statistics(mask=jnp.ones(_NUM_PAIRS, bool), **logps)
  losses, *grads = _ours(name, arrays, beta=0.5)
  loss, *expected = _trl_dpo(np.arange(_NUM_PAIRS), loss_types=[name], beta=0.5)
  np.testing.assert_allclose(losses.mean(), loss, **_CLOSE)
  for found, grad in zip(grads, expected, strict=True):
    np.testing.assert_allclose(found / _NUM_PAIRS, grad, **_CLOSE)


def _trl_cpo(chosen, rejected, **attributes):
  """`CPOTrainer.cpo_loss`, and its gradients, of [N] log-probabilities."""
  torch = pytest.importorskip("torch")
  trainer = pytest.importorskip("trl.experimental.cpo.cpo_trainer").CPOTrainer
  logps = [
    torch.tensor(np.array(x), requires_grad=True) for x in (chosen, rejected)
  ]
  this = _stand_in(**dict(alpha=0.0, loss_type="sigmoid") | attributes)
  losses, *rewards = trainer.cpo_loss(this, *logps)
  losses.sum().backward()
  return losses.detach().numpy(), *(x.grad.numpy() for x in logps), *rewards


def _assert_agree(ours, theirs):
  for found, expected in zip(ours, theirs, strict=True):
    np.testing.assert_allclose(found, expected, **_CLOSE)


def test_smoothed_dpo_is_smoothed_cpo_of_log_ratios():
  # Their DPO has no cDPO any more; their CPO has it, without a reference.
  arrays = _TOKENS.arrays()
  theirs = _trl_cpo(
    arrays["chosen_logps"] - arrays["ref_chosen_logps"],
    arrays["rejected_logps"] - arrays["ref_rejected_logps"],
    beta=0.5,
    label_smoothing=0.1,
  )
  ours = _ours("dpo", arrays, beta=0.5, label_smoothing=0.1)
  _assert_agree(ours, theirs[:3])


def test_cpo():
  # The loss of theirs is their method plus cpo_alpha times a mean over the
  # tokens of the batch; for one pair at a time that is its mean per token.
  arrays = _TOKENS.arrays()
  losses, d_chosen, d_rejected, *_ = _trl_cpo(
    arrays["chosen_logps"], arrays["rejected_logps"], beta=0.5
  )
  lengths = arrays["chosen_lengths"]
  losses = losses - 0.25 * arrays["chosen_logps"] / lengths
  ours = _ours("cpo", arrays, beta=0.5, nll_weight=0.25)
  _assert_agree(ours, [losses, d_chosen - 0.25 / lengths, d_rejected])


@pytest.mark.parametrize("alpha", [0.0, 0.25, -0.5])
def test_simpo_and_alphapo(alpha):
  # Their log-probabilities are means per token by then, so a derivative by
  # the sum is theirs over the length; their alpha 0 is SimPO.
  arrays = _TOKENS.arrays()
  lengths = [arrays["chosen_lengths"], arrays["rejected_lengths"]]
  losses, d_chosen, d_rejected, *rewards = _trl_cpo(
    arrays["chosen_logps"] / lengths[0],
    arrays["rejected_logps"] / lengths[1],
    loss_type="simpo",
    alpha=alpha,
    beta=2.0,
    simpo_gamma=0.5,
  )
  theirs = [losses, d_chosen / lengths[0], d_rejected / lengths[1]]
  options = dict(beta=2.0, gamma=0.5)
  name = "simpo"
  if alpha:
    name, options = "alphapo", options | {"alpha": alpha}
  _assert_agree(_ours(name, arrays, **options), theirs)
  loss = getattr(
    importlib.import_module(f"ramjax.losses.{name}"), f"{name}_loss"
  )
  keys = (*_LOGPS, "chosen_lengths", "rejected_lengths")
  out = loss(**{k: arrays[k] for k in keys}, **options)
  _assert_agree(out[1:], rewards)


def test_orpo():
  # Their method returns + beta log sigma(log odds ratio), which the caller
  # subtracts from the likelihood; that one they take over prompts too, ours
  # is added here.
  torch = pytest.importorskip("torch")
  orpo = pytest.importorskip("trl.experimental.orpo.orpo_trainer")
  arrays = _TOKENS.arrays()
  lengths = [arrays["chosen_lengths"], arrays["rejected_lengths"]]
  means = [
    torch.tensor(np.array(arrays[k] / n), requires_grad=True)
    for k, n in zip(_LOGPS, lengths, strict=True)
  ]
  this = _stand_in(beta=0.3)
  ratios = orpo.ORPOTrainer.odds_ratio_loss(this, *means)[0]
  losses = -means[0] - ratios
  losses.sum().backward()
  theirs = [
    losses.detach().numpy(),
    *(x.grad.numpy() / n for x, n in zip(means, lengths, strict=True)),
  ]
  _assert_agree(_ours("orpo", arrays, odds_ratio_weight=0.3), theirs)
