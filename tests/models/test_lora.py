# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of adapters, by hand, and in a whole model."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_adapters
from tiny_adapters import KINDS

from ramjax.models import (
  heads,
  hf_names,
  llama,
  lora,
  merged_lora,
  partition,
  sampler,
  sharding,
  source_params,
)
from ramjax.models.sampling_options import SamplingOptions

TOKENS = np.random.default_rng(0).integers(0, 72, (8, 6))


@functools.partial(jax.jit, static_argnames="config")
def _logits(params, config):
  positions = jnp.broadcast_to(jnp.arange(6)[None], TOKENS.shape)
  hidden = llama.apply(params, config, jnp.asarray(TOKENS), positions=positions)
  return heads.lm_logits(params, config, hidden)


@functools.partial(jax.jit, static_argnames="config")
def _gradients(trained, frozen, config):
  """Of a loss that every trained leaf matters to."""
  return jax.grad(
    lambda t: jnp.mean(jnp.sin(_logits(partition.join(t, frozen), config)))
  )(trained)


@functools.cache
def _base():
  """What all kinds of adapters stand on."""
  return tiny_adapters.base_params(tiny_adapters.CONFIG)


def _all_params(config):
  return partition.join(_base(), tiny_adapters.random_adapters(config))


def _flat(tree):
  return {
    "/".join(entry.key for entry in path): np.asarray(leaf)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


# x [1, 2], W [2, 2], A [2, 1], B [1, 2]: all by hand.
X = jnp.array([[1.0, 2.0]])
W = jnp.array([[1.0, 0.0], [2.0, 3.0]])
PAIR = {"lora_a": jnp.array([[1.0], [1.0]]), "lora_b": jnp.array([[2.0, -1.0]])}


def test_update_is_added_by_its_scale():
  # x W = [5, 6]; x A = 3; 3 B = [6, -3]; half of it is [3, -1.5].
  output = lora.adapt(X, X @ W, PAIR, 0.5)
  np.testing.assert_array_equal(output, [[8.0, 4.5]])
  # A B has the rows [2, -1] twice.
  merged = lora.merged_kernel(W, PAIR, 0.5)
  np.testing.assert_array_equal(merged, [[2.0, -0.5], [3.0, 2.5]])


def test_dora_scales_each_output_to_its_magnitude():
  adapter = PAIR | {"magnitude": jnp.array([2.0, 13.0])}
  # W + 1 A B = [[3, -1], [4, 2]]: columns of norm 5 and sqrt(5).
  expected = np.array([[3.0, -1.0], [4.0, 2.0]]) * [2 / 5, 13 / 5**0.5]
  merged = lora.merged_kernel(W, adapter, 1.0)
  np.testing.assert_allclose(merged, expected, rtol=1e-6)
  output = lora.adapt(X, X @ W, adapter, 1.0, W)
  np.testing.assert_allclose(output, X @ expected, rtol=1e-6)


def test_dora_leaves_an_output_of_zeros_alone():
  adapter = PAIR | {"magnitude": jnp.array([2.0, 13.0])}
  adapter["lora_b"] = jnp.zeros((1, 2))
  merged = lora.merged_kernel(W.at[:, 0].set(0.0), adapter, 1.0)
  np.testing.assert_allclose(merged, [[0, 0], [0, 13]], rtol=1e-6)


def test_scale_of_zero_is_no_adapter():
  adapter = PAIR | {"magnitude": jnp.array([2.0, 13.0])}
  np.testing.assert_array_equal(lora.adapt(X, X @ W, adapter, 0.0, W), X @ W)
  np.testing.assert_array_equal(lora.merged_kernel(W, adapter, 0.0), W)


def _random(*shapes):
  rng = np.random.default_rng(2)
  return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def test_gradients_are_the_closed_form():
  x, w, a, b, dy = _random((5, 4), (4, 3), (4, 2), (2, 3), (5, 3))
  scale = 0.7

  def value(leaves):
    return jnp.sum(lora.adapt(jnp.asarray(x), x @ w, leaves, scale) * dy)

  found = jax.jit(jax.grad(value))({"lora_a": a, "lora_b": b})
  np.testing.assert_allclose(
    found["lora_a"], scale * x.T @ (dy @ b.T), rtol=1e-4, atol=1e-6
  )
  np.testing.assert_allclose(
    found["lora_b"], scale * (x @ a).T @ dy, rtol=1e-4, atol=1e-6
  )


def test_dora_gradients_hold_the_norm_constant():
  x, w, a, b, dy, m = _random((5, 4), (4, 3), (4, 2), (2, 3), (5, 3), (3,))
  scale = 0.7

  def value(leaves):
    output = lora.adapt(jnp.asarray(x), x @ w, leaves, scale, jnp.asarray(w))
    return jnp.sum(output * dy)

  leaves = {"lora_a": a, "lora_b": b, "magnitude": m}
  found = jax.jit(jax.grad(value))(leaves)
  direction = w + scale * a @ b
  norm = np.linalg.norm(direction, axis=0)
  through = dy * (m / norm)
  expected = {
    "lora_a": scale * x.T @ (through @ b.T),
    "lora_b": scale * (x @ a).T @ through,
    "magnitude": np.sum(dy * (x @ direction), axis=0) / norm,
  }
  for leaf, array in expected.items():
    np.testing.assert_allclose(found[leaf], array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  "kind",
  [
    "ranks",
    "dora_lm_head",
    pytest.param("lora", marks=pytest.mark.slow),
    pytest.param("dora", marks=pytest.mark.slow),
  ],
)
def test_first_forward_is_the_base(kind):
  config = tiny_adapters.adapted(kind)
  mesh = tiny_adapters.one_device()
  params = tiny_adapters.started(config, mesh)
  plain = dataclasses.replace(config, lora=None)
  expected, found = _logits(_base(), plain), _logits(params, config)
  if KINDS[kind].dora:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
  else:
    np.testing.assert_array_equal(found, expected)


def test_adapters_start_uniform_within_the_rank_of_each_layer():
  config = tiny_adapters.adapted("dora_ranks")
  base = _base()
  init = jax.jit(lora.init_adapters, static_argnums=1)
  adapters = jax.device_get(init(base, config, jax.random.key(0)))
  value = adapters["layers"]["attention"]["value"]
  a = np.asarray(value["lora_a"])  # [3, 32, 4] of ranks 2, 0, 4.
  assert a.shape == (3, 32, 4) and not value["lora_b"].any()
  assert not a[0, :, 2:].any() and not a[1].any()
  assert a[0, :, :2].all() and a[2].all()
  assert 0.9 * 32**-0.5 < np.max(np.abs(a)) <= 32**-0.5
  kernel = np.asarray(base["layers"]["attention"]["value"]["kernel"])
  np.testing.assert_allclose(
    value["magnitude"], np.sqrt(np.sum(kernel**2, axis=1)), rtol=1e-6
  )


@pytest.mark.parametrize(
  "kind",
  [
    pytest.param("rslora", marks=pytest.mark.slow),
    pytest.param("ranks", marks=pytest.mark.slow),
    "dora",
    "lm_head",
  ],
)
def test_adapters_and_merged_weights_compute_the_same(kind):
  config = tiny_adapters.adapted(kind)
  source = merged_lora.MergedLora(
    tiny_adapters.base_source(config),
    config,
    tiny_adapters.random_adapters(config),
  )
  merged = source_params.load_params(source, tiny_adapters.one_device())
  expected = _logits(merged, source.config)
  found = _logits(_all_params(config), config)
  base = _logits(_base(), source.config)
  assert np.max(np.abs(found - base)) > 1e-2
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


# `test_remat` and `test_llama` have quick ones, of a model without adapters.
@pytest.mark.slow
@pytest.mark.parametrize("remat", ["full", "dots"])
def test_recomputing_changes_no_gradient(remat):
  config = tiny_adapters.adapted("dora_ranks")
  trained, frozen = partition.split(_all_params(config), config)
  expected = _flat(_gradients(trained, frozen, config))
  again = dataclasses.replace(config, remat=remat)
  for name, leaf in _flat(_gradients(trained, frozen, again)).items():
    np.testing.assert_allclose(leaf, expected[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
  "optimizer",
  [
    pytest.param(optax.adamw(0.1, weight_decay=0.1), marks=pytest.mark.slow),
    # Of each layer's A and B, also where the trainer leaves them to AdamW.
    optax.contrib.muon(
      0.1,
      weight_decay=0.1,
      muon_weight_dimension_numbers=lambda params: jax.tree.map(
        lambda _: optax.contrib.MuonDimensionNumbers(1, 2), params
      ),
    ),
  ],
  ids=["adamw", "muon"],
)
def test_what_a_layer_does_not_use_stays_zero(optimizer):
  config = tiny_adapters.adapted("ranks")
  trained, frozen = partition.split(_all_params(config), config)
  trained = jax.tree.map(jnp.asarray, trained)
  before, state = _flat(trained), optimizer.init(trained)

  @jax.jit
  def step(trained, state):
    gradients = _gradients(trained, frozen, config)
    updates, state = optimizer.update(gradients, state, trained)
    return optax.apply_updates(trained, updates), state

  for _ in range(5):
    trained, state = step(trained, state)
  for name, leaf in _flat(trained).items():
    unused = before[name] == 0
    assert not leaf[unused].any(), name
    assert np.all(leaf[~unused] != before[name][~unused]), name


@pytest.mark.slow
def test_eight_devices_compute_what_one_does():
  config = tiny_adapters.adapted("dora_ranks")
  params = tiny_adapters.all_params(config)
  mesh = sharding.make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
  spread = jax.device_put(params, llama.param_shardings(config, mesh))
  with jax.set_mesh(mesh):
    found = _logits(spread, config)
  np.testing.assert_allclose(found, _logits(params, config), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_generation_is_that_of_the_merged_model():
  config = tiny_adapters.adapted("dora_ranks")
  source = merged_lora.MergedLora(
    tiny_adapters.base_source(config),
    config,
    tiny_adapters.random_adapters(config),
  )
  merged = source_params.load_params(source, tiny_adapters.one_device())
  options = SamplingOptions(temperature=0.0, max_tokens=5)
  requests = [
    sampler.Request(np.array(TOKENS[i, :length], np.int32), options)
    for i, length in enumerate((6, 4))
  ]
  results = [
    [row.tokens for row in sampler.sample(params, shape, requests)]
    for params, shape in (
      (tiny_adapters.all_params(config), config),
      (merged, source.config),
    )
  ]
  np.testing.assert_array_equal(*results)


def test_scales_are_by_layer():
  scales = lora.layer_scales(KINDS["ranks"])
  assert set(scales) == {"attention/query", "attention/output", "mlp/up"}
  np.testing.assert_array_equal(scales["attention/query"], [4, 0, 0.75])
  np.testing.assert_array_equal(scales["mlp/up"], [2, 2, 2.5])
  assert lora.layer_scales(None) == {}
  assert lora.layer_scales(KINDS["dora_lm_head"]) == {}


def test_module_paths_lead_to_the_kernels():
  config = tiny_adapters.CONFIG
  paths = {at.path for at in hf_names.locations(config).values()}
  for name in ("attention/query", "mlp/down", "lm_head"):
    assert (*lora.module_path(name), "kernel") in paths


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_bfloat16_rounds_the_adapted_output_once(kind):
  # A magnitude 0.2 % off is below the step of bfloat16 at 1 (0.4 to 0.8 %),
  # and must show all the same.
  # So is 16 / 3 as a bfloat16; there the update stands alone. Apart, because
  # the two errors have opposite signs.
  rng = np.random.default_rng(0)

  def bf16(*shape):
    return np.asarray(rng.normal(size=shape), jnp.bfloat16).astype(np.float32)

  x, w, a, b = bf16(512, 16), bf16(16, 8), bf16(16, 2), bf16(2, 8)
  adapter = {"lora_a": a, "lora_b": b}
  if kind == "dora":
    scale = 4.0
    adapter["magnitude"] = 1.002 * np.linalg.norm(w + scale * a @ b, axis=0)
  else:
    scale, w = 16 / 3, np.zeros_like(w)
  adapter = {n: jnp.asarray(leaf, jnp.float32) for n, leaf in adapter.items()}
  kernel, narrow = jnp.asarray(w), jnp.asarray(x, jnp.bfloat16)
  output = narrow @ kernel.astype(jnp.bfloat16)
  found = lora.adapt(narrow, output, adapter, scale, kernel)
  assert found.dtype == jnp.bfloat16
  exact = jnp.asarray(x) @ lora.merged_kernel(kernel, adapter, scale)
  # Rounding errors have either sign; a wrong factor would shift them all.
  ratio = jnp.sum(found.astype(jnp.float32) * exact) / jnp.sum(exact * exact)
  assert float(ratio) == pytest.approx(1, abs=5e-4)
