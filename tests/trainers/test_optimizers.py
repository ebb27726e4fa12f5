# SPDX-License-Identifier: Apache-2.0
"""Optimizers and schedules by name: first updates by hand, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.trainers import optimizers

_NAMES = ("adamw", "adafactor", "lion", "muon")


def _params():
  return {
    "embed": {"embedding": jnp.full((8, 4), 2.0)},
    "final_norm": {"scale": jnp.full(4, 2.0)},
    "layers": {
      "mlp": {"up": {"kernel": jnp.full((3, 4, 6), 2.0)}},
      "mlp_norm": {"scale": jnp.full((3, 4), 2.0)},
    },
  }


def _optimizer(name, learning_rate=0.1, **options):
  defaults = dict(b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.0, clip_norm=0.0)
  return optimizers.make_optimizer(
    name, lambda _: learning_rate, **{**defaults, **options}
  )


def _first_update(optimizer, grads, params=None):
  @jax.jit
  def first(params, grads):
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    return updates

  return first(params or _params(), grads)


def test_warmup_then_cosine_by_hand():
  schedule = optimizers.make_schedule(
    "cosine", learning_rate=1.0, warmup_steps=4, total_steps=14, final_share=0.1
  )
  # Warm-up 1/4 .. 4/4; the cosine starts at the peak, is half way between
  # peak and tenth after 5 of its 10 steps, and ends at the tenth.
  np.testing.assert_allclose(
    [schedule(s) for s in (0, 1, 3, 4, 9, 14)],
    [0.25, 0.5, 1.0, 1.0, 0.55, 0.1],
    rtol=1e-6,
  )


def test_linear_and_constant_by_hand():
  linear = optimizers.make_schedule(
    "linear", learning_rate=2.0, warmup_steps=0, total_steps=10, final_share=0.5
  )
  np.testing.assert_allclose([linear(s) for s in (0, 5, 10)], [2.0, 1.5, 1.0])
  constant = optimizers.make_schedule(
    "constant", learning_rate=2.0, warmup_steps=1, total_steps=9, final_share=0
  )
  np.testing.assert_allclose([constant(s) for s in (0, 1, 8)], [2.0, 2.0, 2.0])


@pytest.mark.parametrize("name", _NAMES)
def test_every_optimizer_moves_every_parameter_against_its_gradient(name):
  key = jax.random.key(0)
  grads = jax.tree.map(
    lambda p: 1 + 0.1 * jax.random.normal(key, p.shape), _params()
  )
  updates = _first_update(_optimizer(name), grads)
  for update, grad in zip(
    jax.tree.leaves(updates), jax.tree.leaves(grads), strict=True
  ):
    assert np.isfinite(update).all()
    assert float(jnp.sum(update * grad)) < 0


@pytest.mark.parametrize("name", _NAMES)
def test_weight_decay_is_scaled_by_the_learning_rate_and_spares_norms(name):
  grads = jax.tree.map(jnp.zeros_like, _params())
  updates = _first_update(_optimizer(name, weight_decay=0.5), grads)
  kernel = updates["layers"]["mlp"]["up"]["kernel"]
  # 0.1 (learning rate) * 0.5 (decay) * 2 (weight).
  np.testing.assert_allclose(kernel, jnp.full((3, 4, 6), -0.1), rtol=1e-5)
  np.testing.assert_array_equal(updates["layers"]["mlp_norm"]["scale"], 0.0)
  np.testing.assert_array_equal(updates["final_norm"]["scale"], 0.0)


def test_first_adamw_update_is_the_learning_rate_times_the_sign():
  grads = jax.tree.map(lambda p: -3.0 * jnp.ones_like(p), _params())
  updates = _first_update(_optimizer("adamw"), grads)
  for update in jax.tree.leaves(updates):
    np.testing.assert_allclose(update, jnp.full(update.shape, 0.1), rtol=1e-5)


def test_muon_orthogonalises_each_layer_by_itself():
  key = jax.random.key(1)
  grads = jax.tree.map(lambda p: jax.random.normal(key, p.shape), _params())
  update = _first_update(_optimizer("muon"), grads)
  for layer in np.asarray(update["layers"]["mlp"]["up"]["kernel"]):
    singular = np.linalg.svd(layer, compute_uv=False)
    # Newton-Schulz stops near, not at, equal singular values.
    assert singular.max() / singular.min() < 2.0


def test_muon_orthogonalises_a_critics_layers_too():
  key = jax.random.key(1)
  params = {"critic": _params()}
  grads = jax.tree.map(lambda p: jax.random.normal(key, p.shape), params)
  optimizer = _optimizer("muon")
  updates = _first_update(optimizer, grads, params)
  alone = _first_update(optimizer, grads["critic"])
  jax.tree.map(
    lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5),
    updates["critic"],
    alone,
  )


def test_clipping_scales_to_the_given_norm():
  grads = jax.tree.map(jnp.ones_like, _params())
  clipped = optimizers.make_optimizer(
    "lion", lambda _: 1.0, b1=0.0, b2=0.0, eps=0, weight_decay=0, clip_norm=1.0
  )
  params = _params()
  _, state = clipped.update(grads, clipped.init(params), params)
  # Lion with b2 = 0 keeps the clipped gradient itself as its momentum.
  momentum = [leaf for leaf in jax.tree.leaves(state) if jnp.shape(leaf) != ()]
  norm = np.sqrt(sum(float(jnp.sum(jnp.square(m))) for m in momentum))
  np.testing.assert_allclose(norm, 1.0, rtol=1e-5)


def test_an_unknown_optimizer_is_refused_with_the_known_ones():
  with pytest.raises(ValueError, match="'sgd' is not one of adamw, adafactor"):
    _optimizer("sgd")


def test_an_unknown_schedule_is_refused_with_the_known_ones():
  with pytest.raises(ValueError, match="'step' is not one of cosine, linear"):
    optimizers.make_schedule(
      "step", learning_rate=1, warmup_steps=0, total_steps=1, final_share=0
    )


def test_a_warmup_longer_than_the_run_is_refused():
  with pytest.raises(ValueError, match="warmup_steps=11 must be between 0 and"):
    optimizers.make_schedule(
      "cosine", learning_rate=1, warmup_steps=11, total_steps=10, final_share=0
    )


@pytest.mark.parametrize("field", ["clip_norm", "weight_decay"])
def test_negative_strengths_are_refused(field):
  with pytest.raises(ValueError, match=f"{field}=-1"):
    _optimizer("adamw", **{field: -1})
