# SPDX-License-Identifier: Apache-2.0
"""PPO's family gives, for the same numbers, what TRL 1.16 gives.

GRPO's and RLOO's losses, advantages and importance weights are called here:
the trainers' own methods, on stand-ins that return given log-probabilities
and rewards. PPO itself left TRL with 1.13. Its value loss, GAE, whitening and
KL estimates are restated with torch, a line each, as its last version had
them; these tests say so in their names ("restated").
"""

import collections
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.clipped_policy import clipped_policy
from ramjax.losses.clipped_value import clipped_value
from ramjax.losses.gae import gae
from ramjax.losses.group_advantages import group_advantages
from ramjax.losses.importance_weights import truncated_importance
from ramjax.losses.kl_estimators import kl_estimate
from ramjax.losses.token_weights import token_weights
from ramjax.losses.whiten import whiten

pytestmark = [
  pytest.mark.peers,
  pytest.mark.filterwarnings("ignore"),  # Theirs, of imports.
]

_G, _K, _T, _MAX_LENGTH = 3, 4, 7, 9
_B = _G * _K
_CLOSE = dict(rtol=1e-5, atol=1e-5)


class _Rollouts:
  """Random answers, by token; nothing but zeros beyond their ends."""

  def __init__(self):
    rng = np.random.default_rng(0)
    self.lengths = rng.integers(1, _T + 1, _B)
    # `pad` makes rows as long as the longest.
    self.lengths[0] = _T
    self.mask = np.arange(_T) < self.lengths[:, None]

    def draw(values):
      return (values * self.mask).astype(np.float32)

    self.logps = draw(-rng.gamma(1.0, 1.0, (_B, _T)))
    self.old_logps = draw(self.logps + rng.normal(0, 0.4, (_B, _T)))
    self.ref_logps = draw(self.logps + rng.normal(0, 0.5, (_B, _T)))
    self.sampler_logps = draw(self.old_logps + rng.normal(0, 0.6, (_B, _T)))
    self.values = draw(rng.normal(0, 1, (_B, _T)))
    self.old_values = draw(self.values + rng.normal(0, 0.4, (_B, _T)))
    self.rewards = draw(rng.normal(0, 1, (_B, _T)))
    self.advantages = rng.normal(0, 1, _B).astype(np.float32)
    self.scores = rng.normal(1, 2, (_G, _K)).astype(np.float32)


_DATA = _Rollouts()
_MASK = jnp.asarray(_DATA.mask)


def _flat(array):
  """[B, T] or [B] as the [N] of tokens that losses take."""
  array = jnp.asarray(array)
  if array.ndim == 1:
    array = jnp.broadcast_to(array[:, None], (_B, _T))
  return array.reshape(-1)


def _row_sums(array):
  """[B] sums over the tokens of each answer, of [B, T]."""
  return jnp.sum(jnp.where(_MASK, array, 0.0), axis=1)


def _stand_in(**attributes):
  """As much of a GRPOTrainer or RLOOTrainer as these methods read."""
  torch = pytest.importorskip("torch")
  accelerator = types.SimpleNamespace(
    device=torch.device("cpu"),
    gather=lambda x: x,
    gather_for_metrics=lambda x: x,
    num_processes=1,
    process_index=0,
    reduce=lambda x, reduction: x,
    sync_gradients=True,
  )
  args = dict(
    delta=None,
    gradient_accumulation_steps=1,
    gradient_checkpointing_kwargs=None,
    per_device_train_batch_size=_B,
    steps_per_generation=1,
    use_bias_correction_kl=False,
  )
  args |= attributes.pop("args", {})
  defaults = dict(
    _entropy_bonus_enabled=False,
    _is_vlm=False,
    _logs=collections.defaultdict(list)
    | {name: collections.defaultdict(list) for name in ("rewards", "extra")},
    _metrics=collections.defaultdict(lambda: collections.defaultdict(list)),
    _pending_extra_logs={},
    _pending_metrics={},
    _tokenizer=types.SimpleNamespace(pad_token_id=0),
    accelerator=accelerator,
    args=types.SimpleNamespace(**args),
    aux_loss_enabled=False,
    beta=0.0,
    chat_template_kwargs={},
    current_gradient_accumulation_steps=1,
    environment_factories=None,
    environments=None,
    epsilon_high=0.28,
    epsilon_low=0.2,
    eos_token_ids=[2],
    importance_sampling_level="token",
    log_multimodal=False,
    loss_type="grpo",
    mask_truncated_completions=False,
    max_completion_length=_MAX_LENGTH,
    model=types.SimpleNamespace(training=True, is_gradient_checkpointing=False),
    multi_objective_aggregation="sum_then_normalize",
    normalize_advantages=False,
    num_generations=_K,
    num_iterations=1,
    off_policy_mask_threshold=None,
    pad_to_multiple_of=None,
    reward_clip_range=None,
    reward_func_names=["score"],
    reward_funcs=[None],
    reward_weights=torch.ones(1),
    scale_rewards="group",
    tools=None,
    top_entropy_quantile=1.0,
    use_vllm=False,
    vllm_importance_sampling_correction=False,
  )
  return types.SimpleNamespace(**defaults | attributes)


def _trainer(name):
  module = pytest.importorskip(f"trl.trainer.{name.lower()}_trainer")
  return getattr(module, f"{name}Trainer")


def _trl_loss(name, inputs=None, **attributes):
  """Loss, its gradient by the log-probabilities, and the metrics."""
  torch = pytest.importorskip("torch")
  logps = torch.tensor(_DATA.logps, requires_grad=True)
  mask = torch.tensor(_DATA.mask).long()
  zeros = torch.zeros_like(logps)
  this = _stand_in(
    _get_per_token_logps_and_entropies=lambda *_, **__: (logps, zeros, None),
    **attributes,
  )
  given = dict(
    prompt_ids=mask[:, :1],
    prompt_mask=mask[:, :1],
    completion_ids=mask,
    completion_mask=mask,
    advantages=torch.tensor(_DATA.advantages),
    old_per_token_logps=torch.tensor(_DATA.old_logps),
    ref_per_token_logps=torch.tensor(_DATA.ref_logps),
    old_logps=torch.tensor(_DATA.old_logps.sum(-1)),
    num_items_in_batch=mask.sum(),
  )
  loss = _trainer(name)._compute_loss(this, None, given | (inputs or {}))
  loss.backward()
  assert logps.grad is not None
  return loss.item(), logps.grad.numpy(), this._metrics["train"]


def _our_loss(reduction, level="token", beta=0.0, weights=None, dual_clip=None):
  """The same by our functions, as a trainer puts them together."""

  def total(logps):
    log_ratios = logps - _DATA.old_logps
    if level == "sequence":
      log_ratios = _row_sums(log_ratios) / _DATA.lengths
    out = clipped_policy(
      log_ratios=_flat(log_ratios),
      advantages=_flat(_DATA.advantages),
      clip_low=0.2,
      clip_high=0.28,
      dual_clip=dual_clip,
    )
    losses = out.losses
    if weights is not None:
      losses = weights * losses
    kl = kl_estimate(
      logps=logps.reshape(-1), ref_logps=_flat(_DATA.ref_logps), kind="k3"
    )
    losses = jnp.where(_flat(_MASK), losses + beta * kl, 0.0)
    found = token_weights(
      mask=_MASK, reduction=reduction, max_length=_MAX_LENGTH
    )
    weighted = _flat(found.weights) * losses
    return jnp.sum(weighted) / jnp.sum(found.counts), out.clipped

  (loss, clipped), grads = jax.value_and_grad(total, has_aux=True)(
    jnp.asarray(_DATA.logps)
  )
  return loss, grads, clipped


@pytest.mark.parametrize(
  "loss_type,reduction",
  [
    ("grpo", "sequence"),
    ("bnpo", "token"),
    ("dapo", "token"),
    ("dr_grpo", "constant"),
  ],
)
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_losses_of_groups(loss_type, reduction, level, beta):
  # "sequence" is GSPO; theirs keeps one loss a row and sums it over tokens
  # by broadcasting, which is what a row repeated for each token does.
  theirs = _trl_loss(
    "GRPO",
    loss_type=loss_type,
    importance_sampling_level=level,
    beta=beta,
  )
  ours = _our_loss(reduction, level, beta)
  np.testing.assert_allclose(ours[0], theirs[0], **_CLOSE)
  np.testing.assert_allclose(ours[1], theirs[1], **_CLOSE)


def test_the_share_of_clipped_tokens():
  metrics = _trl_loss("GRPO")[2]
  clipped = np.asarray(_our_loss("token")[2])[_DATA.mask.reshape(-1)]
  theirs = metrics["clip_ratio/region_mean"]
  np.testing.assert_allclose([clipped.mean()], theirs, rtol=1e-6)
  assert 0 < clipped.mean() < 1


def test_a_dual_clip_is_their_two_sided_one():
  # Theirs bounds the ratio whatever the advantage's sign; with a bound above
  # 1 + clip_high that is felt by the negative ones only.
  theirs = _trl_loss("GRPO", args=dict(delta=1.3))
  ours = _our_loss("sequence", dual_clip=1.3)
  np.testing.assert_allclose(ours[0], theirs[0], **_CLOSE)
  np.testing.assert_allclose(ours[1], theirs[1], **_CLOSE)
  assert abs(ours[0] - _our_loss("sequence")[0]) > 1e-3


def test_truncated_importance_weights_multiply_the_policy_loss_only():
  torch = pytest.importorskip("torch")
  weights = truncated_importance(
    old_logps=_flat(_DATA.old_logps),
    sampler_logps=_flat(_DATA.sampler_logps),
    cap=1.5,
  )
  ratio = torch.tensor(np.array(weights)).reshape(_B, _T)
  theirs = _trl_loss(
    "GRPO",
    {"importance_sampling_ratio": ratio},
    beta=0.3,
    use_vllm=True,
    vllm_importance_sampling_correction=True,
  )
  ours = _our_loss("sequence", beta=0.3, weights=weights)
  np.testing.assert_allclose(ours[0], theirs[0], **_CLOSE)
  np.testing.assert_allclose(ours[1], theirs[1], **_CLOSE)


def test_loss_of_rloo():
  # Theirs clips the whole answer's ratio: of sums, one loss an answer.
  def total(logps):
    out = clipped_policy(
      log_ratios=_row_sums(logps - _DATA.old_logps),
      advantages=jnp.asarray(_DATA.advantages),
      clip_low=0.2,
      clip_high=0.28,
    )
    return jnp.mean(out.losses)

  loss, grads = jax.value_and_grad(total)(jnp.asarray(_DATA.logps))
  theirs = _trl_loss("RLOO")
  np.testing.assert_allclose(loss, theirs[0], **_CLOSE)
  np.testing.assert_allclose(grads, theirs[1], **_CLOSE)


def _trl_rollout(name, scores, **attributes):
  """What the trainer makes of answers and their rewards, NaN for missing."""
  torch = pytest.importorskip("torch")
  rows = [[1] * int(n) for n in _DATA.lengths]
  sampler = [
    row[:n].tolist()
    for row, n in zip(_DATA.sampler_logps, _DATA.lengths, strict=True)
  ]
  made = [[[1]] * _B, rows, [""] * _B]
  if name == "GRPO":
    made = [[[1]] * _B, rows, None, [""] * _B, sampler, {}, None, None]
  this = _stand_in(
    _calculate_rewards=lambda *_: torch.tensor(scores.reshape(-1, 1)),
    _generate=lambda _: made,
    _get_per_token_logps_and_entropies=lambda model, *_, **__: (
      torch.tensor(_DATA.ref_logps if model == "ref" else _DATA.old_logps),
      None,
      None,
    ),
    ref_model="ref",
    **attributes,
  )
  trainer = _trainer(name)
  return trainer._generate_and_score_completions(this, [{"prompt": ""}] * _B)


def _scores(kind):
  """Scores, of which some are missing or all alike."""
  scores = _DATA.scores.copy()
  if kind == "missing":
    scores[0, 1] = scores[1, :3] = scores[2, :] = np.nan
  elif kind == "alike":
    scores[1] = 0.5
  return scores


def _our_advantages(scores, baseline, scale):
  return group_advantages(
    rewards=jnp.asarray(scores),
    present=jnp.asarray(~np.isnan(scores)),
    baseline=baseline,
    scale=scale,
    eps=1e-4,
  )


@pytest.mark.parametrize("kind", ["present", "missing", "alike"])
@pytest.mark.parametrize(
  "name,scale_rewards,baseline,scale",
  [
    ("GRPO", "group", "mean", "std"),
    ("GRPO", "none", "mean", "none"),
    ("RLOO", "none", "leave_one_out", "none"),
  ],
)
def test_advantages_of_groups(kind, name, scale_rewards, baseline, scale):
  scores = _scores(kind)
  theirs = _trl_rollout(name, scores, scale_rewards=scale_rewards)
  ours = _our_advantages(scores, baseline, scale)
  np.testing.assert_allclose(
    ours.reshape(-1), theirs["advantages"].numpy(), **_CLOSE
  )
  assert np.any(np.asarray(ours) != 0)


def test_rewards_of_rloo_with_their_divergence():
  # The sum of k1 over an answer, at the time of sampling, off its reward.
  theirs = _trl_rollout("RLOO", _DATA.scores, beta=0.3)
  kl = kl_estimate(
    logps=_flat(_DATA.old_logps), ref_logps=_flat(_DATA.ref_logps), kind="k1"
  )
  kl = _row_sums(kl.reshape(_B, _T)).reshape(_G, _K)
  scores = _DATA.scores - 0.3 * kl
  ours = _our_advantages(np.asarray(scores), "leave_one_out", "none")
  np.testing.assert_allclose(
    ours.reshape(-1), theirs["advantages"].numpy(), **_CLOSE
  )


def test_importance_weights_of_another_sampler():
  theirs = _trl_rollout(
    "GRPO",
    _DATA.scores,
    use_vllm=True,
    vllm_importance_sampling_correction=True,
    vllm_importance_sampling_mode="token_truncate",
    vllm_importance_sampling_clip_min=None,
    vllm_importance_sampling_clip_max=1.5,
  )
  ours = truncated_importance(
    old_logps=_flat(_DATA.old_logps),
    sampler_logps=_flat(_DATA.sampler_logps),
    cap=1.5,
  )
  np.testing.assert_allclose(
    ours.reshape(_B, _T), theirs["importance_sampling_ratio"].numpy(), **_CLOSE
  )
  assert 0 < np.mean(np.asarray(ours) == 1.5) < 1


def test_restated_advantages_over_time():
  torch = pytest.importorskip("torch")
  # Theirs goes one step further, to the reward it puts behind the end; with
  # values and rewards of 0 there that step is ours.
  gamma, lam = 0.9, 0.8
  rewards, values = torch.tensor(_DATA.rewards), torch.tensor(_DATA.old_values)
  found, later = [], torch.zeros(_B)
  for t in reversed(range(_T)):
    following = values[:, t + 1] if t < _T - 1 else 0.0
    later = (
      rewards[:, t] + gamma * following - values[:, t] + gamma * lam * later
    )
    found.append(later)
  theirs = torch.stack(found[::-1], dim=1)
  ours = gae(
    rewards=jnp.asarray(_DATA.rewards),
    values=jnp.asarray(_DATA.old_values),
    mask=_MASK,
    gamma=gamma,
    lam=lam,
  )
  np.testing.assert_allclose(ours.advantages, theirs.numpy(), **_CLOSE)
  returns = (theirs + values).numpy()
  np.testing.assert_allclose(ours.returns, returns, **_CLOSE)


@pytest.mark.parametrize("shift_mean", [True, False])
def test_restated_whitening(shift_mean):
  torch = pytest.importorskip("torch")
  # Their variance is corrected (n - 1), which torch's is by default.
  values, mask = torch.tensor(_DATA.rewards), torch.tensor(_DATA.mask)
  mean, variance = values[mask].mean(), values[mask].var()
  theirs = (values - mean) * torch.rsqrt(variance + 1e-8)
  if not shift_mean:
    theirs = theirs + mean
  ours = whiten(
    values=jnp.asarray(_DATA.rewards),
    mask=_MASK,
    shift_mean=shift_mean,
    eps=1e-8,
  )
  expected = theirs.masked_fill(~mask, 0.0).numpy()
  np.testing.assert_allclose(ours, expected, **_CLOSE)


def test_restated_value_loss():
  torch = pytest.importorskip("torch")
  values = torch.tensor(_DATA.values, requires_grad=True)
  old, goal = torch.tensor(_DATA.old_values), torch.tensor(_DATA.rewards)
  near = torch.clamp(values, old - 0.2, old + 0.2)
  squares = torch.max(torch.square(values - goal), torch.square(near - goal))
  (0.5 * squares).sum().backward()
  assert values.grad is not None

  def total(values):
    losses = clipped_value(
      values=values,
      old_values=_flat(_DATA.old_values),
      returns=_flat(_DATA.rewards),
      clip=0.2,
    )
    return jnp.sum(losses), losses

  grads, losses = jax.grad(total, has_aux=True)(_flat(_DATA.values))
  expected = 0.5 * squares.detach().numpy().reshape(-1)
  np.testing.assert_allclose(losses, expected, **_CLOSE)
  np.testing.assert_allclose(grads, values.grad.reshape(-1).numpy(), **_CLOSE)


@pytest.mark.parametrize("kind", ["k1", "k3"])
def test_restated_estimates_of_the_divergence(kind):
  torch = pytest.importorskip("torch")
  log_ratio = torch.tensor(_DATA.ref_logps) - torch.tensor(_DATA.logps)
  theirs = -log_ratio if kind == "k1" else log_ratio.exp() - 1 - log_ratio
  ours = kl_estimate(
    logps=_flat(_DATA.logps), ref_logps=_flat(_DATA.ref_logps), kind=kind
  )
  np.testing.assert_allclose(ours, theirs.reshape(-1).numpy(), **_CLOSE)


def test_restated_policy_loss():
  torch = pytest.importorskip("torch")
  log_ratio = torch.tensor(_DATA.logps) - torch.tensor(_DATA.old_logps)
  log_ratio.requires_grad_()
  advantages = torch.tensor(_DATA.rewards)
  ratio = torch.exp(log_ratio)
  within = torch.clamp(ratio, 0.8, 1.2)
  losses = torch.max(-advantages * ratio, -advantages * within)
  losses.sum().backward()
  assert log_ratio.grad is not None

  def total(log_ratios):
    out = clipped_policy(
      log_ratios=log_ratios,
      advantages=_flat(_DATA.rewards),
      clip_low=0.2,
      clip_high=0.2,
    )
    return jnp.sum(out.losses), out.losses

  grads, found = jax.grad(total, has_aux=True)(
    _flat(_DATA.logps - _DATA.old_logps)
  )
  expected = losses.detach().numpy().reshape(-1)
  np.testing.assert_allclose(found, expected, **_CLOSE)
  np.testing.assert_allclose(
    grads, log_ratio.grad.reshape(-1).numpy(), **_CLOSE
  )
