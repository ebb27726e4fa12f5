# SPDX-License-Identifier: Apache-2.0
"""NF4: hand-made blocks, a reference in loops, gradients, and what is kept."""

import statistics

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from ramjax.models import nf4, sharding

LEVELS = np.array(nf4.LEVELS, np.float32)
ZERO = 7  # The code of level 0.
HALF_GAP = float(np.max(np.diff(LEVELS))) / 2


def _dyadic(seed: int, *shape: int) -> np.ndarray:
  """Normal-like values on a grid: their means are exact in any order."""
  rng = np.random.default_rng(seed)
  # Rows of different sizes, so that the scales are far from equal.
  sizes = rng.integers(1, 9, size=(*shape[:-2], 1, shape[-1]))
  return (np.round(rng.normal(size=shape) * 256) * sizes / 1024).astype("f")


@jax.jit
def _linear(x, cotangent, packed):
  """The layer's output, and the gradient of its input."""
  output, vjp = jax.vjp(lambda x: nf4.linear_nf4(x, packed), x)
  return output, vjp(cotangent)[0]


def _normal(seed: int, *shape: int) -> np.ndarray:
  return np.random.default_rng(seed).normal(size=shape).astype("f")


def _unpack(codes: np.ndarray) -> np.ndarray:
  """[in / 2, out] bytes to [in, out] codes."""
  result = np.empty((2 * codes.shape[0], codes.shape[1]), int)
  for row, packed in enumerate(np.asarray(codes)):
    result[2 * row] = packed // 16
    result[2 * row + 1] = packed % 16
  return result


def _reference(kernel: np.ndarray) -> tuple[np.ndarray, ...]:
  """codes, scales, steps, mean and weights of one [in, out], in loops."""
  inputs, out = kernel.shape
  largest = np.zeros((inputs // 64, out), np.float32)
  for i in range(inputs):
    for o in range(out):
      largest[i // 64, o] = max(largest[i // 64, o], abs(kernel[i, o]))
  mean = np.array(largest.astype(np.float64).mean(), np.float32)
  steps = np.zeros((inputs // 64, (out + 255) // 256), np.float32)
  for b in range(inputs // 64):
    for o in range(out):
      step = np.float32(abs(largest[b, o] - mean) / np.float32(127))
      steps[b, o // 256] = max(steps[b, o // 256], step)
  scales = np.zeros(largest.shape, np.int8)
  wide = np.zeros(largest.shape, np.float32)
  for b in range(inputs // 64):
    for o in range(out):
      step = steps[b, o // 256]
      if step:
        scales[b, o] = np.round((largest[b, o] - mean) / step)
      wide[b, o] = mean + np.float32(scales[b, o]) * step
  codes = np.full(kernel.shape, ZERO)
  weights = np.zeros(kernel.shape, np.float32)
  for i in range(inputs):
    for o in range(out):
      scale = wide[i // 64, o]
      if scale:
        codes[i, o] = np.argmin(abs(kernel[i, o] / scale - LEVELS))
      weights[i, o] = LEVELS[codes[i, o]] * scale
  return codes, scales, steps, mean, weights


def test_levels_are_the_quantiles_of_the_paper():
  # 8 positive and 7 negative quantiles of a normal, evenly spaced in
  # probability down to 1/2, a zero, all over the largest. The outermost
  # probability is the mean of those of 15 and 16 halves.
  offset = 1 - (1 / 30 + 1 / 32) / 2
  assert offset == pytest.approx(0.9677083, abs=5e-8)
  inverse = statistics.NormalDist().inv_cdf
  positive = [inverse(p) for p in np.linspace(offset, 0.5, 9)[:-1]]
  negative = [-inverse(p) for p in np.linspace(offset, 0.5, 8)[:-1]]
  levels = np.array(sorted([*negative, 0, *positive])) / max(positive)
  np.testing.assert_allclose(nf4.LEVELS, levels, atol=1e-6, rtol=0)


def test_hand_made_block():
  kernel = np.zeros((64, 1), np.float32)
  # Largest 2, so the ratios are -1, 1, 0.5 (nearer to 0.4407 than to 0.5626),
  # -0.6 (nearer to -0.5251 than to -0.6962) and 0.1 (nearer to 0.0796).
  kernel[[0, 1, 3, 5, 63], 0] = -2, 2, 1, -1.2, 0.2
  packed = nf4.quantize(kernel)
  expected = np.full((32, 1), 0x77)
  expected[[0, 1, 2, 31], 0] = 0x0F, 0x7C, 0x72, 0x78
  np.testing.assert_array_equal(packed.codes, expected)
  assert packed.codes.dtype == jnp.uint8
  # One scale is its own mean.
  assert packed.scales.tolist() == [[0]] and packed.scales.dtype == jnp.int8
  assert packed.scale_steps.tolist() == [[0.0]]
  assert packed.scale_mean.tolist() == [[2.0]]
  weights = np.asarray(nf4.dequantize(packed, jnp.float32))
  assert weights[[0, 1, 2, 3, 5, 63], 0].tolist() == [
    *(-2.0, 2.0, 0.0),
    *(2 * LEVELS[[12, 2, 8]]).tolist(),
  ]


def test_hand_made_scales():
  # Largest 1, 2 and 6: mean 3, deviations -2, -1 and 3, so a step of 3 / 127
  # and codes -84.67, -42.33 and 127.
  kernel = np.zeros((64, 3), np.float32)
  kernel[9] = 1, -2, 6
  packed = nf4.quantize(kernel)
  assert packed.scales.tolist() == [[-85, -42, 127]]
  np.testing.assert_allclose(packed.scale_steps, [[3 / 127]], rtol=1e-6)
  np.testing.assert_allclose(
    nf4.dequantize(packed, jnp.float32)[9],
    [3 - 85 * 3 / 127, -3 + 42 * 3 / 127, 6],
    rtol=1e-6,
  )


@pytest.mark.parametrize("out", [3, 256, 300])
def test_equals_a_reference_in_loops(out):
  rng = np.random.default_rng(out)
  kernel = rng.normal(size=(128, out)).astype("f")
  codes, scales, steps, mean, weights = _reference(kernel)
  packed = nf4.quantize(kernel)
  np.testing.assert_array_equal(_unpack(packed.codes), codes)
  np.testing.assert_array_equal(packed.scales, scales)
  np.testing.assert_allclose(packed.scale_steps, steps, rtol=1e-6)
  np.testing.assert_allclose(packed.scale_mean, mean[None, None], rtol=1e-6)
  unpacked = nf4.dequantize(packed, jnp.float32)
  np.testing.assert_allclose(unpacked, weights, rtol=1e-6, atol=1e-6)


def test_blocks_are_those_of_the_row_major_out_in_matrix():
  kernel = _dyadic(0, 128, 3)
  kernel[64:] *= 4
  flat = np.abs(kernel.T.reshape(-1, 64)).max(axis=1)
  packed = nf4.quantize(kernel)
  scales = packed.scale_mean + packed.scales * packed.scale_steps
  step = float(packed.scale_steps.max())
  np.testing.assert_allclose(scales.T.reshape(-1), flat, atol=0.51 * step)


def test_levels_times_one_scale_come_back_exactly():
  rng = np.random.default_rng(0)
  codes = rng.integers(16, size=(128, 5))
  codes[[0, 64]] = 15  # Each block reaches its scale.
  kernel = LEVELS[codes] * np.float32(0.25)
  packed = nf4.quantize(kernel)
  np.testing.assert_array_equal(_unpack(packed.codes), codes)
  np.testing.assert_array_equal(nf4.dequantize(packed, jnp.float32), kernel)


def test_levels_times_scales_come_back_to_half_a_step():
  rng = np.random.default_rng(1)
  codes = rng.integers(16, size=(128, 300))
  codes[[0, 64]] = 15
  scales = rng.uniform(0.5, 1, size=(2, 1, 300)).astype("f")
  kernel = (LEVELS[codes].reshape(2, 64, 300) * scales).reshape(128, 300)
  packed = nf4.quantize(kernel)
  np.testing.assert_array_equal(_unpack(packed.codes), codes)
  error = np.abs(nf4.dequantize(packed, jnp.float32) - kernel)
  half_steps = np.repeat(packed.scale_steps / 2, [256, 44], axis=1)
  bound = np.abs(LEVELS[codes]) * np.repeat(half_steps, 64, axis=0)
  assert (error <= bound + 1e-6).all()


def test_error_is_within_half_a_gap_and_the_scale_error():
  kernel = np.random.default_rng(2).standard_t(3, size=(256, 300)).astype("f")
  packed = nf4.quantize(kernel)
  error = np.abs(nf4.dequantize(packed, jnp.float32) - kernel)
  largest = np.abs(kernel).reshape(4, 64, 300).max(axis=1)
  half_steps = np.repeat(packed.scale_steps / 2, [256, 44], axis=1)
  bound = np.repeat(largest * HALF_GAP + half_steps, 64, axis=0)
  assert (error <= bound + 1e-6).all()


def test_codes_are_the_best_for_the_scales_kept():
  kernel = np.random.default_rng(3).normal(size=(64, 40)).astype("f")
  kernel[0, 0] = 50  # Makes the step large, the other scales rough.
  packed = nf4.quantize(kernel)
  scales = packed.scale_mean + packed.scales * packed.scale_steps
  choices = np.asarray(scales)[..., None] * LEVELS
  best = np.abs(kernel[..., None] - choices).min(axis=-1)
  error = np.abs(nf4.dequantize(packed, jnp.float32) - kernel)
  np.testing.assert_allclose(error, best, atol=1e-5)


@pytest.mark.parametrize(
  "scale", [0.0, 1e-42, 1e-38, 1e30], ids=["0", "1e-42", "1e-38", "1e30"]
)
def test_zero_tiny_and_huge_kernels_stay_finite(scale):
  kernel = np.ones((64, 4), np.float32) * np.float32(scale)
  kernel[:, 1] = 0
  weights = nf4.dequantize(nf4.quantize(kernel), jnp.float32)
  assert np.isfinite(weights).all()
  # Half a step of the scales, 3 / 4 / 127 / 2.
  np.testing.assert_allclose(weights, kernel, rtol=3e-3, atol=1e-37)


def test_zero_blocks_among_large_ones_are_zero():
  kernel = _dyadic(4, 128, 6)
  kernel[:64, 2] = 0
  kernel[64:, 5] = 0
  weights = nf4.dequantize(nf4.quantize(kernel), jnp.float32)
  np.testing.assert_array_equal(weights[:64, 2], 0)
  np.testing.assert_array_equal(weights[64:, 5], 0)


def test_leading_axes_are_separate_matrices():
  kernels = _dyadic(5, 2, 3, 64, 5) * np.arange(1, 7).reshape(2, 3, 1, 1)
  packed = jax.device_get(nf4.quantize(kernels))
  assert [part.shape for part in packed] == [
    (2, 3, 32, 5),
    (2, 3, 1, 5),
    (2, 3, 1, 1),
    (2, 3, 1, 1),
  ]
  weights = np.asarray(nf4.dequantize(packed, jnp.float32))
  for i, j in np.ndindex(2, 3):
    one = nf4.quantize(kernels[i, j])
    for part, stacked in zip(one, packed, strict=True):
      np.testing.assert_array_equal(part, stacked[i, j])
    np.testing.assert_array_equal(
      nf4.dequantize(one, jnp.float32), weights[i, j]
    )


@pytest.mark.parametrize("shape", [(65, 8), (2, 32, 8), (0, 8)])
def test_inputs_not_in_blocks_are_refused(shape):
  with pytest.raises(
    ValueError, match=rf"in={shape[-2]} inputs, .* multiple of the NF4 block of"
  ):
    nf4.quantize(jnp.zeros(shape))


def test_vector_is_refused():
  with pytest.raises(ValueError, match=r"kernel.shape=\(64,\) has fewer than"):
    nf4.quantize(jnp.zeros(64))


@pytest.mark.parametrize("lead", [(), (5,), (2, 3)])
def test_linear_and_its_gradient_are_those_of_the_dequantised(lead):
  packed = nf4.quantize(_dyadic(6, 128, 24))
  kernel = nf4.dequantize(packed, jnp.float32)
  x, cotangent = _normal(0, *lead, 128), _normal(1, *lead, 24)

  @jax.jit
  def of_the_kernel(x, cotangent):
    output, vjp = jax.vjp(lambda x: x @ kernel, x)
    return output, vjp(cotangent)[0]

  output, gradient = _linear(x, cotangent, packed)
  want, want_gradient = of_the_kernel(x, cotangent)
  np.testing.assert_allclose(output, want, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(gradient, want_gradient, rtol=1e-6, atol=1e-5)


def test_bfloat16_stays_bfloat16():
  packed = nf4.quantize(_dyadic(7, 64, 8))
  kernel = nf4.dequantize(packed, jnp.bfloat16)
  assert kernel.dtype == jnp.bfloat16
  x = _normal(0, 3, 64).astype(jnp.bfloat16)
  got, gradient = _linear(x, np.ones((3, 8), jnp.bfloat16), packed)
  assert got.dtype == gradient.dtype == jnp.bfloat16
  wide = np.float32(kernel)
  np.testing.assert_allclose(
    np.float32(got), np.float32(x) @ wide, rtol=2e-2, atol=2e-2
  )
  np.testing.assert_allclose(
    np.float32(gradient)[0], wide.sum(axis=1), rtol=2e-2, atol=2e-2
  )


def test_base_gets_no_gradient():
  packed = nf4.quantize(_dyadic(8, 64, 8))
  x = jnp.ones((3, 64))
  _, vjp = jax.vjp(nf4.linear_nf4, x, packed)
  _, frozen = vjp(jnp.ones((3, 8)))
  assert frozen.codes.dtype == frozen.scales.dtype == jax.dtypes.float0
  np.testing.assert_array_equal(frozen.scale_steps, 0)
  np.testing.assert_array_equal(frozen.scale_mean, 0)


def _scanned(x: jax.Array, packed: nf4.NF4) -> jax.Array:
  """A sum over the outputs of square layers, stacked and scanned."""
  result, _ = jax.lax.scan(
    lambda h, layer: (jnp.tanh(nf4.linear_nf4(h, layer)), None), x, packed
  )
  return result.sum()


def test_gradient_through_a_scan_of_layers():
  packed = nf4.quantize(_dyadic(9, 3, 64, 64) / 16)
  x = _normal(0, 5, 64)

  def unrolled(x: jax.Array) -> jax.Array:
    for kernel in nf4.dequantize(packed, jnp.float32):
      x = jnp.tanh(x @ kernel)
    return x.sum()

  got = jax.jit(jax.grad(_scanned))(x, packed)
  assert np.abs(got).max() > 0.01
  expected = jax.jit(jax.grad(unrolled))(x)
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_no_dequantised_matrix_is_kept_for_the_backward():
  packed = nf4.quantize(_dyadic(10, 3, 64, 64))
  x = jnp.ones((5, 64))
  _, vjp = jax.vjp(lambda x: _scanned(x, packed), x)
  floats = [
    leaf.size
    for leaf in jax.tree.leaves(vjp)
    if jnp.issubdtype(leaf.dtype, jnp.floating)
  ]
  assert floats and max(floats) < 64 * 64
  # Nor a constant of that size, hoisted out of the scan: of what exists beside
  # the scans, only the codes are as large.
  jaxpr = jax.make_jaxpr(lambda x, packed: jax.vjp(_scanned, x, packed)[1])
  equations = jaxpr(x, packed).jaxpr.eqns
  sizes = [var.aval.size for eqn in equations for var in eqn.outvars]
  assert any(eqn.primitive.name == "scan" for eqn in equations)
  assert max(sizes) < 64 * 64


def test_sharded_equals_unsharded():
  kernels = _dyadic(11, 2, 256, 256) / 64
  x = _normal(0, 8, 256)
  packed = nf4.quantize(kernels)
  gradient = jax.jit(jax.grad(_scanned))(x, packed)

  mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})
  split = NamedSharding(mesh, PartitionSpec(None, "fsdp", "tensor"))
  rows = NamedSharding(mesh, PartitionSpec(None, "fsdp"))
  whole = NamedSharding(mesh, PartitionSpec())
  parts = [split, split, rows, whole]
  layout = jax.tree.unflatten(jax.tree.structure(packed), parts)
  quantize = jax.jit(nf4.quantize, out_shardings=layout)
  placed = quantize(jax.device_put(kernels, split))
  assert placed.codes.addressable_shards[0].data.shape == (2, 32, 128)
  assert placed.scales.addressable_shards[0].data.shape == (2, 1, 128)
  jax.tree.map(np.testing.assert_array_equal, placed, packed)

  batch = NamedSharding(mesh, PartitionSpec("fsdp"))
  got = jax.jit(jax.grad(_scanned), out_shardings=batch)(
    jax.device_put(x, batch), placed
  )
  np.testing.assert_allclose(got, gradient, rtol=1e-4, atol=1e-6)
