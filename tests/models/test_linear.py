# SPDX-License-Identifier: Apache-2.0
"""What a linear layer declares, and what it computes from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_adapters
from flax import linen as nn

from ramjax.models import nf4
from ramjax.models.linear import Linear, LMHead, Matrix

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3, 64)), "float32")


def _declared(module, *inputs):
  """Shapes and axes of the parameters of a module."""
  boxed = jax.eval_shape(
    lambda: module.init(jax.random.key(0), *inputs).get("params", {})
  )
  return {
    "/".join(entry.key for entry in path): (
      box.value.shape,
      str(box.value.dtype),
      box.names,
    )
    for path, box in jax.tree_util.tree_leaves_with_path(
      boxed, is_leaf=lambda x: isinstance(x, nn.Partitioned)
    )
  }


def _linear(kind, *, with_bias=False, **fields):
  config = tiny_adapters.adapted(kind, **fields)
  axes = ("embed", "heads")
  return Linear(config, "attention/value", 32, axes, with_bias=with_bias)


def test_plain_layer_is_a_kernel_and_a_bias():
  layer = Linear(
    tiny_adapters.CONFIG, "attention/value", 32, ("embed", "heads"), True
  )
  assert _declared(layer, X, {}) == {
    "kernel": ((64, 32), "float32", ("embed", "heads")),
    "bias": ((32,), "float32", ("heads",)),
  }


def test_adapter_is_sharded_as_its_kernel():
  scales = {"attention/value": 1.0}
  assert _declared(_linear("dora_ranks"), X, scales) == {
    "kernel": ((64, 32), "float32", ("embed", "heads")),
    "lora_a": ((64, 4), "float32", ("embed", "rank")),
    "lora_b": ((4, 32), "float32", ("rank", "heads")),
    "magnitude": ((32,), "float32", ("heads",)),
  }


def test_module_without_an_adapter_declares_none():
  assert set(_declared(_linear("ranks"), X, {})) == {"kernel"}


def test_four_bits_stand_in_the_kernel_s_place():
  declared = _declared(_linear("ranks", quantization="nf4"), X, {})
  assert declared == {
    "nf4/codes": ((32, 32), "uint8", ("embed", "heads")),
    "nf4/scales": ((1, 32), "int8", ("quantized", "heads")),
    "nf4/scale_steps": ((1, 1), "float32", ("quantized", "quantized")),
    "nf4/scale_mean": ((1, 1), "float32", ("quantized", "quantized")),
  }


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_bias_is_added_after_the_magnitude(quantization):
  rng = np.random.default_rng(1)
  w, a, b = (
    rng.standard_normal(shape).astype("float32")
    for shape in ((64, 32), (64, 4), (4, 32))
  )
  m, bias = np.abs(w[0]) + 1, w[1]
  params = {"lora_a": a, "lora_b": b, "magnitude": m, "bias": bias}
  if quantization == "nf4":
    parts = nf4.quantize(jnp.asarray(w))
    params["nf4"] = parts._asdict()
    w = np.asarray(nf4.dequantize(parts, jnp.float32))
  else:
    params["kernel"] = w
  layer = _linear("dora_ranks", with_bias=True, quantization=quantization)
  found = jax.jit(layer.apply)({"params": params}, X, {"attention/value": 0.5})
  direction = w + 0.5 * a @ b
  kernel = direction * m / np.linalg.norm(direction, axis=0)
  np.testing.assert_allclose(
    found, np.asarray(X) @ kernel + bias, rtol=1e-4, atol=1e-4
  )


def test_output_is_in_the_dtype_of_the_input():
  layer = _linear("dora_ranks", with_bias=True)
  scales = {"attention/value": jnp.float32(0.5)}
  out = jax.eval_shape(
    lambda: layer.init_with_output(
      jax.random.key(0), X.astype("bfloat16"), scales
    )[0]
  )
  assert out.dtype == jnp.bfloat16 and out.shape == (2, 3, 32)


def test_lm_head_has_an_adapter_where_the_config_says_so():
  plain = {"kernel": ((32, 72), "float32", ("embed", "vocab"))}
  assert _declared(LMHead(tiny_adapters.CONFIG)) == plain
  assert _declared(LMHead(tiny_adapters.adapted("dora_lm_head"))) == plain | {
    "lora_a": ((32, 3), "float32", ("embed", "rank")),
    "lora_b": ((3, 72), "float32", ("rank", "vocab")),
    "magnitude": ((72,), "float32", ("vocab",)),
  }


def test_matrix_is_named_as_asked():
  declared = _declared(Matrix((4, 6), ("vocab", "embed"), leaf="embedding"))
  assert declared == {"embedding": ((4, 6), "float32", ("vocab", "embed"))}
