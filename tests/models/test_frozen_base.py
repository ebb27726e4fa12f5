# SPDX-License-Identifier: Apache-2.0
"""The frozen base is what the forward pass reads, in four bits or sixteen."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_adapters
from tiny_adapters import WIDE

from ramjax.models import (
  frozen_base,
  heads,
  llama,
  lora,
  nf4,
  partition,
  sharding,
)
from ramjax.models.lora_config import LAYER_MODULES

TOKENS = np.random.default_rng(0).integers(0, WIDE.vocab_size, (2, 5))
MESH = tiny_adapters.one_device


@functools.partial(jax.jit, static_argnames="config")
def _logits(params, config):
  positions = jnp.broadcast_to(jnp.arange(5)[None], TOKENS.shape)
  hidden = llama.apply(params, config, jnp.asarray(TOKENS), positions=positions)
  return heads.lm_logits(params, config, hidden)


@jax.jit
def _dequantized(frozen):
  """The same tree with plain kernels."""
  plain = jax.tree.map(lambda x: x, frozen)
  for name in LAYER_MODULES:
    path = lora.module_path(name)
    module = dict(lora.leaf_at(frozen, path))
    parts = nf4.NF4(**module.pop("nf4"))
    module["kernel"] = nf4.dequantize(parts, jnp.float32)
    lora.put_at(plain, path, module)
  return plain


@pytest.fixture(scope="module")
def four_bits():
  """The NF4 base, whatever adapters come to stand on it."""
  return tiny_adapters.frozen(_quantized("ranks"))


def _quantized(kind):
  return tiny_adapters.adapted(kind, WIDE, quantization="nf4")


@pytest.mark.parametrize(
  "kind", [pytest.param("ranks", marks=pytest.mark.slow), "dora_ranks"]
)
def test_outputs_and_gradients_are_those_of_the_four_bits_values(
  four_bits, kind
):
  config = _quantized(kind)
  trained, frozen = tiny_adapters.random_adapters(config), four_bits
  plain = dataclasses.replace(config, quantization="none")

  @functools.partial(jax.jit, static_argnames="config")
  def run(trained, frozen, config):
    def loss(trained):
      logits = _logits(partition.join(trained, frozen), config)
      return jnp.mean(jnp.sin(logits)), logits

    (_, logits), gradients = jax.value_and_grad(loss, has_aux=True)(trained)
    return logits, gradients

  logits, found = run(trained, frozen, config)
  expected_logits, expected = run(trained, _dequantized(frozen), plain)
  np.testing.assert_allclose(logits, expected_logits, rtol=0, atol=1e-5)
  # Of the adapters alone, and of every one.
  assert jax.tree.structure(found) == jax.tree.structure(trained)
  assert all(np.any(leaf) for leaf in jax.tree.leaves(found))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    found,
    expected,
  )


def test_four_bits_replace_the_layers_kernels_alone(four_bits):
  config, frozen = _quantized("ranks"), four_bits
  shapes, _ = llama.abstract_params(config)
  _, expected = partition.split(shapes, config)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), frozen) == jax.tree.map(
    lambda x: (x.shape, x.dtype), expected
  )
  assert set(frozen["layers"]["mlp"]["up"]) == {"nf4"}
  base = tiny_adapters.base_params(config)
  kernel = base["layers"]["mlp"]["up"]["kernel"]
  near = nf4.dequantize(
    nf4.NF4(**frozen["layers"]["mlp"]["up"]["nf4"]), jnp.float32
  )
  error = np.linalg.norm(near - kernel) / np.linalg.norm(kernel)
  assert 0.02 < error < 0.15
  np.testing.assert_array_equal(
    frozen["lm_head"]["kernel"], base["lm_head"]["kernel"]
  )


def test_base_is_kept_in_the_dtype_of_the_computation():
  config = tiny_adapters.adapted("ranks", dtype="bfloat16", num_labels=1)
  frozen = tiny_adapters.frozen(config)
  dtypes = {str(leaf.dtype) for leaf in jax.tree.leaves(frozen)}
  assert dtypes == {"bfloat16", "float32"}
  # The score head is trained: its master is not rounded.
  base = tiny_adapters.base_params(config)
  np.testing.assert_array_equal(
    frozen["score"]["kernel"], base["score"]["kernel"]
  )
  adapted = tiny_adapters.started(config)
  trained, _ = partition.split(adapted, config)
  assert {str(x.dtype) for x in jax.tree.leaves(trained)} == {"float32"}


@pytest.mark.parametrize(
  "fields", [{"quantization": "nf4"}, {"dtype": "bfloat16"}]
)
def test_magnitudes_are_those_of_the_kernels_as_they_are_read(
  four_bits, fields
):
  config = tiny_adapters.adapted("dora_ranks", WIDE, **fields)
  frozen = (
    four_bits if "quantization" in fields else tiny_adapters.frozen(config)
  )
  params = frozen_base.adapt(frozen, config, jax.random.key(0), MESH())
  down = params["layers"]["mlp"]["down"]
  if "nf4" in down:
    kernel = nf4.dequantize(nf4.NF4(**down["nf4"]), jnp.float32)
  else:
    kernel = down["kernel"].astype(jnp.float32)
  np.testing.assert_allclose(
    down["magnitude"], np.linalg.norm(kernel, axis=1), rtol=1e-5
  )
  wide = dataclasses.replace(config, dtype="float32")
  without = dataclasses.replace(
    wide, lora=dataclasses.replace(wide.lora, dora=False)
  )
  # So the first forward pass is the base's, which plain LoRA's is.
  np.testing.assert_allclose(
    _logits(params, wide), _logits(params, without), rtol=0, atol=1e-6
  )


@pytest.mark.slow
def test_every_device_holds_its_part():
  config = tiny_adapters.adapted("dora_ranks", WIDE, quantization="nf4")
  mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})
  one = tiny_adapters.started(config)
  spread = tiny_adapters.started(config, mesh)
  shardings = llama.param_shardings(config, mesh)
  trained, _ = partition.split(spread, config)
  wanted, _ = partition.split(shardings, config)
  assert jax.tree.all(
    jax.tree.map(
      lambda x, s: x.sharding.is_equivalent_to(s, x.ndim), trained, wanted
    )
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6),
    jax.device_get(trained),
    jax.device_get(partition.split(one, config)[0]),
  )


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_score_head_takes_no_language_head_from_its_source(
  four_bits, quantization
):
  scored = dataclasses.replace(
    tiny_adapters.adapted("ranks", WIDE),
    num_labels=1,
    quantization=quantization,
  )
  plain = dataclasses.replace(scored, num_labels=0)
  source = tiny_adapters.base_source(plain)
  loaded = frozen_base.load(source, scored, MESH())
  expected = (
    dict(four_bits)
    if quantization == "nf4"
    else frozen_base.load(source, plain, MESH())
  )
  assert set(expected) - set(loaded) == {"lm_head"}
  # The score head is not there either: the caller makes it anew.
  assert "score" not in loaded
  del expected["lm_head"]
  jax.tree.map(np.testing.assert_array_equal, loaded, expected)
