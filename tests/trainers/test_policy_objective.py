# SPDX-License-Identifier: Apache-2.0
"""The clipped update against one written sample by sample, without packing.

And: what must not change it (packing, microbatches, devices), and what holds
where nothing was learned yet.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives
import tiny_rollouts
from tiny_groups import CONFIG

from ramjax.configs import base
from ramjax.losses.token_weights import token_weights
from ramjax.models import heads, llama, sharding
from ramjax.trainers import policy_objective, rollout_batches
from ramjax.trainers import step as step_lib
from ramjax.trainers.state import CRITIC

_LENGTH = 16
_CRITIC = dataclasses.replace(CONFIG, num_labels=1)
_MAX_NEW_TOKENS = 6

# Options of the loss, the temperature, whether there is a critic.
_CASES = {
  "ppo": (
    dict(dual_clip=1.1, importance_cap=1.2, value_clip=0.5, kl_coef=0.05),
    0.7,
    True,
  ),
  "gspo": (
    dict(
      ratio="sequence",
      reduction="sequence",
      clip_low=0.05,
      clip_high=0.02,
      kl_in="loss",
      kl_estimator="k3",
      kl_coef=0.3,
    ),
    1.0,
    False,
  ),
  "dr_grpo": (dict(reduction="constant", kl_coef=0.0), 1.0, False),
  "dapo": (
    dict(clip_high=0.28, kl_in="loss", kl_estimator="k2", kl_coef=0.1),
    1.3,
    False,
  ),
}


def _loss(name):
  loss = base.ppo().loss.to_dict()
  return loss | _CASES[name][0] | dict(chunk_size=16)


def _objective(name):
  loss, (_, temperature, has_critic) = _loss(name), _CASES[name]
  return policy_objective.make_objective(
    CONFIG,
    loss=loss,
    temperature=temperature,
    reference_config=CONFIG if loss["kl_coef"] else None,
    critic_config=_CRITIC if has_critic else None,
  )


@functools.cache
def _params():
  policy = tiny_objectives.random_params(CONFIG, 1)
  return {**policy, CRITIC: tiny_objectives.random_params(_CRITIC, 2)}


@functools.cache
def _sampled():
  """A rollout not far from the policy, so that some ratios are clipped."""
  rollout = tiny_rollouts.random_rollout()
  rng = np.random.default_rng(5)
  logps = _run(_token_logps, _policy(), rollout, 1.0)
  near = logps + rng.normal(0, 0.25, logps.shape)
  old_logps = np.where(rollout.mask, near, 0).astype(np.float32)
  values = _run(_token_values, _params()[CRITIC], rollout)
  moved = values + rng.normal(0, 0.6, values.shape)
  return tiny_rollouts.replaced(
    rollout,
    old_logps=old_logps,
    drawn_logps=np.where(
      rollout.mask, old_logps + 0.3 * rollout.returns, 0
    ).astype(np.float32),
    ref_logps=np.where(
      rollout.mask, old_logps + 0.2 * rollout.values, 0
    ).astype(np.float32),
    values=np.where(rollout.mask, moved, 0).astype(np.float32),
  )


def _run(function, params, *constants):
  """`function(params, *constants)`, compiled."""
  return jax.device_get(jax.jit(lambda p: function(p, *constants))(params))


def _policy():
  return {name: x for name, x in _params().items() if name != CRITIC}


def _outputs(params, config, rollout):
  rows = tiny_rollouts.plain_rows(rollout, _LENGTH)
  return llama.apply(
    params,
    config,
    rows.tokens,
    positions=rows.positions,
    segment_ids=rows.segment_ids,
  )


def _by_token(outputs, rollout):
  """[N, R] of [N, T, ...]: what is said before each token of an answer."""
  columns = np.arange(rollout.responses.shape[1])
  places = rollout.prompt_lengths[:, None] - 1 + columns
  return outputs[np.arange(len(places))[:, None], places]


def _token_logps(params, rollout, temperature):
  logits = heads.lm_logits(params, CONFIG, _outputs(params, CONFIG, rollout))
  logps = jax.nn.log_softmax(_by_token(logits / temperature, rollout))
  rows, columns = np.indices(rollout.responses.shape)
  return logps[rows, columns, rollout.responses]


def _token_values(params, rollout):
  outputs = _outputs(params, _CRITIC, rollout)
  return _by_token(heads.scores(params, outputs)[..., 0], rollout)


def _by_samples(params, name, rollout):
  """The loss in the words of the papers, answer by answer."""
  loss, (_, temperature, has_critic) = _loss(name), _CASES[name]
  logps = _token_logps(
    {k: x for k, x in params.items() if k != CRITIC}, rollout, temperature
  )
  values = _token_values(params[CRITIC], rollout) if has_critic else None
  total, divisor = 0.0, 0.0
  for i, length in enumerate(rollout.response_lengths.tolist()):
    new, old = logps[i, :length], rollout.old_logps[i, :length]
    ratios = jnp.exp(new - old)
    if loss["ratio"] == "sequence":
      ratios = jnp.exp(jnp.mean(new - old)) * jnp.ones(length)
    advantages = rollout.advantages[i, :length]
    low, high = 1 - loss["clip_low"], 1 + loss["clip_high"]
    bounded = jnp.minimum(
      ratios * advantages, jnp.clip(ratios, low, high) * advantages
    )
    if loss["dual_clip"]:
      least = jnp.maximum(bounded, loss["dual_clip"] * advantages)
      bounded = jnp.where(advantages < 0, least, bounded)
    terms = -bounded
    if loss["importance_cap"]:
      trust = np.exp(old - rollout.drawn_logps[i, :length])
      terms = np.minimum(trust, loss["importance_cap"]) * terms
    if loss["kl_in"] == "loss":
      apart = new - rollout.ref_logps[i, :length]
      k = dict(k2=apart**2 / 2, k3=jnp.exp(-apart) - 1 + apart)
      terms += loss["kl_coef"] * k[loss["kl_estimator"]]
    if values is not None:
      returns, before = rollout.returns[i, :length], rollout.values[i, :length]
      moved = jnp.clip(
        values[i, :length] - before, -loss["value_clip"], loss["value_clip"]
      )
      errors = jnp.maximum(
        (values[i, :length] - returns) ** 2, (before + moved - returns) ** 2
      )
      terms += loss["value_coef"] * errors / 2
    if loss["reduction"] == "token":
      total, divisor = total + terms.sum(), divisor + length
    elif loss["reduction"] == "sequence":
      total, divisor = total + terms.mean(), divisor + 1
    else:
      total, divisor = total + terms.sum() / _MAX_NEW_TOKENS, divisor + 1
  return total / divisor


def _batch(name, rollout, places):
  weighted = token_weights(
    mask=jnp.asarray(rollout.mask),
    reduction=_loss(name)["reduction"],
    max_length=_MAX_NEW_TOKENS,
  )
  features = tiny_rollouts.features(rollout)
  features["weights"] = np.asarray(weighted.weights)
  features["counts"] = np.asarray(weighted.counts)
  chosen = np.arange(len(rollout.scores))
  return rollout_batches.pack(rollout, chosen, places, features)


def _computed(name, batch, *, num_microbatches=1, axes=None):
  """Gradient, loss and metrics of a step."""
  params = _params() if _CASES[name][2] else _policy()
  if axes is not None:
    mesh = sharding.make_mesh(axes)
    with jax.set_mesh(mesh):
      placed = sharding.place_batch(batch, mesh)
      return _program(name, num_microbatches)(params, placed)
  return _program(name, num_microbatches)(params, batch)


@functools.cache
def _program(name, num_microbatches):
  objective = _objective(name)

  @jax.jit
  def compute(params, batch):
    grads, loss, metrics = step_lib.accumulate_gradients(
      objective.loss_fn,
      params,
      batch,
      jax.random.key(0),
      num_microbatches=num_microbatches,
    )
    return grads, loss.value, {k: x.value for k, x in metrics.items()}

  return lambda *arguments: jax.device_get(compute(*arguments))


@functools.cache
def _single_rows(name):
  rollout = _sampled()
  places = tiny_rollouts.row_each(rollout, _LENGTH)
  return _computed(name, _batch(name, rollout, places))


def _assert_same(found, expected, tolerance=1e-5):
  grads, loss, metrics = found
  others, value, told = expected
  np.testing.assert_allclose(loss, value, rtol=tolerance)
  leaves = jax.tree_util.tree_leaves_with_path(others)
  assert max(np.abs(leaf).max() for _, leaf in leaves) > 1e-3
  for (path, other), one in zip(leaves, jax.tree.leaves(grads), strict=True):
    np.testing.assert_allclose(
      one,
      other,
      atol=tolerance * max(np.abs(other).max(), 1e-2),
      err_msg=jax.tree_util.keystr(path),
    )
  assert metrics.keys() == told.keys()
  for name, other in told.items():
    np.testing.assert_allclose(
      metrics[name], other, rtol=tolerance, atol=tolerance, err_msg=name
    )


# Where compiling takes long for what other cases try, too.
_SLOW = pytest.mark.slow


@pytest.mark.parametrize(
  "name",
  [
    "ppo",
    pytest.param("gspo", marks=_SLOW),
    pytest.param("dr_grpo", marks=_SLOW),
    pytest.param("dapo", marks=_SLOW),
  ],
)
def test_loss_and_gradient_are_those_of_the_papers(name):
  rollout = _sampled()
  params = _params() if _CASES[name][2] else _policy()
  value, grads = _run(jax.value_and_grad(_by_samples), params, name, rollout)
  found, loss, metrics = _single_rows(name)
  _assert_same((found, loss, {}), (grads, value, {}))
  # Else bounds and terms were not tried.
  assert 0.05 < metrics["clipped"] < 0.95
  assert ("ref_kl" in metrics) == (_loss(name)["kl_coef"] > 0)
  assert ("value_loss" in metrics) == _CASES[name][2]
  assert ("importance" in metrics) == (name == "ppo")


_TWICE = ["ppo", pytest.param("gspo", marks=_SLOW)]


@pytest.mark.parametrize("name", _TWICE)
def test_packing_changes_nothing(name):
  rollout = _sampled()
  places = tiny_rollouts.packed(rollout, _LENGTH)
  assert places.num_rows < len(rollout.scores)
  _assert_same(
    _computed(name, _batch(name, rollout, places)), _single_rows(name)
  )


@pytest.mark.parametrize("name", _TWICE)
def test_neither_shared_prompts_nor_microbatches_of_them_change_anything(name):
  rollout = tiny_rollouts.grouped(_sampled(), 4)
  places = tiny_rollouts.packed(
    rollout, _LENGTH, multiple=2, groups=np.arange(8) // 4
  )
  assert places.branches.max() > 2 and places.num_rows < 8
  apart = tiny_rollouts.row_each(rollout, _LENGTH)
  batch = _batch(name, rollout, places)
  _assert_same(
    _computed(name, batch, num_microbatches=2),
    _computed(name, _batch(name, rollout, apart)),
  )


@pytest.mark.parametrize("name", _TWICE)
def test_microbatches_change_nothing(name):
  rollout = _sampled()
  places = tiny_rollouts.packed(rollout, _LENGTH, multiple=2)
  batch = _batch(name, rollout, places)
  found = _computed(name, batch, num_microbatches=2)
  _assert_same(found, _single_rows(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo"])
@pytest.mark.parametrize("share", [False, True])
def test_eight_devices_change_nothing(name, share):
  rollout = tiny_rollouts.grouped(_sampled(), 4)
  groups = np.arange(8) // 4 if share else None
  places = tiny_rollouts.packed(rollout, _LENGTH, multiple=8, groups=groups)
  batch = _batch(name, rollout, places)
  found = _computed(name, batch, axes={"data": 2, "fsdp": 4})
  apart = tiny_rollouts.row_each(rollout, _LENGTH)
  _assert_same(found, _computed(name, _batch(name, rollout, apart)))


@functools.cache
def _assess(temperature=1.0, reference=True, has_critic=False):
  return policy_objective.make_assess(
    CONFIG,
    temperature=temperature,
    chunk_size=16,
    reference_config=CONFIG if reference else None,
    critic_config=_CRITIC if has_critic else None,
  )


def _unpacked(assessed, rollout, places):
  chosen = np.arange(len(rollout.scores))
  return {
    field: rollout_batches.unpack(
      np.asarray(getattr(assessed, field)), rollout, chosen, places
    )
    for field in assessed._fields
  }


def test_assessing_is_a_plain_forward_of_each_model():
  rollout = tiny_rollouts.random_rollout()
  reference = tiny_objectives.random_params(CONFIG, 3)
  places = tiny_rollouts.packed(rollout, _LENGTH, multiple=2)
  batch = rollout_batches.pack(rollout, np.arange(8), places, {})
  assess = _assess(temperature=0.7, has_critic=True)
  found = _unpacked(
    assess(_params(), reference, batch, num_microbatches=2), rollout, places
  )
  expected = {
    "logps": _run(_token_logps, _policy(), rollout, 0.7),
    "ref_logps": _run(_token_logps, reference, rollout, 0.7),
    "values": _run(_token_values, _params()[CRITIC], rollout),
  }
  for name, values in expected.items():
    values = np.where(rollout.mask, values, 0)
    np.testing.assert_allclose(found[name], values, atol=2e-5, err_msg=name)
    assert np.abs(values).max() > 0.3


def test_without_a_reference_the_policy_is_its_own():
  rollout = tiny_rollouts.random_rollout()
  places = tiny_rollouts.packed(rollout, _LENGTH)
  batch = rollout_batches.pack(rollout, np.arange(8), places, {})
  found = _assess(reference=False)(_policy(), {}, batch, num_microbatches=1)
  np.testing.assert_array_equal(found.ref_logps, found.logps)
  assert not found.values.any() and found.logps.any()


@pytest.mark.parametrize("name", ["ppo", "gspo"])
def test_where_nothing_was_learned_ratios_are_1_and_the_divergence_0(name):
  rollout = tiny_rollouts.random_rollout()
  temperature, has_critic = _CASES[name][1:]
  params = _params() if has_critic else _policy()
  places = tiny_rollouts.packed(rollout, _LENGTH, multiple=2)
  batch = rollout_batches.pack(rollout, np.arange(8), places, {})
  assess = _assess(temperature, has_critic=has_critic)
  found = _unpacked(
    assess(params, _policy(), batch, num_microbatches=2), rollout, places
  )
  rollout = tiny_rollouts.replaced(
    rollout, old_logps=found["logps"], ref_logps=found["ref_logps"]
  )
  # Packed beside other answers than when it was assessed.
  single = tiny_rollouts.row_each(rollout, _LENGTH)
  _, _, metrics = _computed(name, _batch(name, rollout, single))
  assert metrics["gate/off_ratio"] < 1e-5
  assert abs(metrics["ref_kl"]) < 1e-5
  assert abs(metrics["policy_kl"]) < 1e-6
  assert metrics["clipped"] == 0


def test_another_temperature_is_another_policy():
  rollout = tiny_rollouts.random_rollout()
  places = tiny_rollouts.row_each(rollout, _LENGTH)
  batch = rollout_batches.pack(rollout, np.arange(8), places, {})
  found = _assess()(_policy(), _policy(), batch, num_microbatches=1)
  logps = _unpacked(found, rollout, places)["logps"]
  rollout = tiny_rollouts.replaced(rollout, old_logps=logps, ref_logps=logps)
  _, _, metrics = _computed("dapo", _batch("dapo", rollout, places))
  assert metrics["gate/off_ratio"] > 0.05


@pytest.mark.parametrize(
  "fields,message",
  [
    (dict(ratio="word"), "loss.ratio='word' is not one of token, sequence"),
    (dict(kl_in="both"), "loss.kl_in='both' is not one of reward, loss"),
    (dict(kl_coef=-0.1), "loss.kl_coef=-0.1"),
    (
      dict(kl_target=6.0, kl_in="loss", kl_estimator="k3"),
      "loss.kl_target=6.0 adapts the KL",
    ),
    (dict(kl_in="loss", kl_estimator="k1"), "choose k2 or k3"),
    (dict(kl_target=6.0, kl_coef=0.0), "loss.kl_target=6.0 adapts the KL"),
    (dict(kl_estimator="k4"), "kind='k4' must be one of"),
    (dict(reduction="mean"), "reduction='mean' must be one of"),
    (dict(clip_low=0.0), "clip_low=0.0 must be in"),
    (dict(dual_clip=0.5), "dual_clip=0.5 must be above 1"),
    (dict(value_clip=0.0), "clip=0.0 must be above 0"),
    (dict(value_coef=-1.0), "loss.value_coef=-1.0 must be at least 0"),
    (dict(importance_cap=0.5), "cap=0.5 must be at least 1"),
  ],
  ids=str,
)
def test_an_option_that_cannot_be_is_refused_before_anything_runs(
  fields, message
):
  with pytest.raises(ValueError, match=message):
    policy_objective.refuse_unknown(base.ppo().loss.to_dict() | fields)
