# SPDX-License-Identifier: Apache-2.0
"""RoPE: hand-derived frequencies, and a rotation that only sees distances."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.models import positions, presets
from ramjax.models.config import LlamaConfig, RopeScaling

_CONFIG = LlamaConfig(
  vocab_size=8,
  width=8,
  mlp_width=8,
  num_layers=1,
  num_heads=1,
  num_kv_heads=1,
  head_dim=8,
)


_rotate = jax.jit(positions.rotate)
_angles = jax.jit(positions.rope_angles, static_argnums=1)


def _normal(*shape: int) -> np.ndarray:
  rng = np.random.default_rng(0)
  return rng.normal(size=shape).astype(np.float32)


def _frequencies(**fields) -> np.ndarray:
  return positions.rope_frequencies(dataclasses.replace(_CONFIG, **fields))


def test_frequencies_are_powers_of_theta():
  # theta^(-2i/8) for theta = 10^4: a factor of 10 from pair to pair.
  frequencies = _frequencies()
  np.testing.assert_allclose(frequencies, [1, 0.1, 0.01, 0.001], rtol=1e-7)
  assert frequencies.dtype == np.float32
  # theta^(-2i/4) for theta = 10^6.
  np.testing.assert_allclose(
    _frequencies(head_dim=4, rope_theta=1e6), [1, 0.001], rtol=1e-7
  )


def test_linear_scaling_divides_positions():
  scaled = dataclasses.replace(_CONFIG, rope_scaling=RopeScaling("linear", 4.0))
  at = jnp.array([[0, 1, 7, 500]], jnp.int32)
  for plain, stretched in zip(
    _angles(at, _CONFIG),
    _angles(4 * at, scaled),
    strict=True,
  ):
    # Dividing by a power of two is exact, so the angles are the same floats.
    np.testing.assert_array_equal(plain, stretched)


def test_llama3_scaling_keeps_blends_and_divides():
  # Wavelengths 2 pi / f are 6.28, 62.8, 628 and 6283. Over an original context
  # of 1000, those below 1000 / 4 are kept and those above 1000 / 1 divided.
  # The third makes 1000 * 0.01 / (2 pi) = 1.59155 turns, which is
  # (1.59155 - 1) / (4 - 1) = 0.197183 of the way from divided to kept:
  # 0.197183 * 0.01 + 0.802817 * 0.01 / 8 = 0.00297535.
  scaling = RopeScaling("llama3", 8.0, 1.0, 4.0, original_max_positions=1000)
  plain, scaled = _frequencies(), _frequencies(rope_scaling=scaling)
  np.testing.assert_array_equal(scaled[:2], plain[:2])
  np.testing.assert_allclose(scaled[2], 0.00297535, rtol=1e-6)
  assert scaled[3] == plain[3] / np.float32(8)
  assert scaled.dtype == np.float32


@pytest.mark.parametrize(
  "preset,factor", [("llama3_1_8b", 8), ("llama3_2_3b", 32)]
)
def test_released_llama3_scaling_is_exact_outside_the_blend(preset, factor):
  # Wavelength 2 pi 500000^(i/64): below 8192 / 4 up to i = 28.2, above 8192
  # from i = 34.98 on.
  config = presets.PRESETS[preset]
  plain = positions.rope_frequencies(
    dataclasses.replace(config, rope_scaling=None)
  )
  scaled = positions.rope_frequencies(config)
  np.testing.assert_array_equal(scaled[:29], plain[:29])
  np.testing.assert_array_equal(scaled[35:], plain[35:] / np.float32(factor))
  blended = scaled[29:35]
  assert np.all(blended < plain[29:35])
  assert np.all(blended > plain[29:35] / np.float32(factor))


def test_position_zero_is_not_rotated():
  x = jnp.arange(16.0).reshape(1, 1, 2, 8)
  cos, sin = _angles(jnp.zeros((1, 1), jnp.int32), _CONFIG)
  np.testing.assert_array_equal(_rotate(x, cos, sin), x)


def test_pair_is_component_i_and_i_plus_half():
  # Position 3: the second pair (components 1 and 5) turns by 0.3 rad; the unit
  # vector along 1 goes to (cos 0.3, sin 0.3), the one along 5 to
  # (-sin 0.3, cos 0.3).
  at = jnp.array([[3]], jnp.int32)
  cos, sin = _angles(at, _CONFIG)
  assert cos.shape == sin.shape == (1, 1, 1, 4)
  basis = jnp.eye(8)[None, None, jnp.array([1, 5])]
  rotated = _rotate(basis, cos, sin)[0, 0]
  c, s = math.cos(0.3), math.sin(0.3)
  np.testing.assert_allclose(rotated[0], [0, c, 0, 0, 0, s, 0, 0], atol=1e-7)
  np.testing.assert_allclose(rotated[1], [0, -s, 0, 0, 0, c, 0, 0], atol=1e-7)


@pytest.mark.parametrize(
  "scaling", [None, RopeScaling("linear", 2.0), RopeScaling("llama3", 8.0)]
)
def test_rotation_keeps_norms_and_sees_only_distances(scaling):
  config = dataclasses.replace(_CONFIG, rope_scaling=scaling)
  query, key = _normal(2, 1, 4, 1, 8)

  def rotated(x, at):
    angles = _angles(jnp.array([at], jnp.int32), config)
    return _rotate(x, *angles)

  near = rotated(query, [5, 9, 0, 3]), rotated(key, [2, 9, 7, 1])
  far = rotated(query, [805, 809, 800, 803]), rotated(key, [802, 809, 807, 801])
  for x, turned in zip((query, key) * 2, near + far, strict=True):
    np.testing.assert_allclose(
      np.linalg.norm(turned, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-5
    )
  # An angle near 800 is rounded by up to 3e-5 rad, a dot product by 1e-3 of
  # that in norm.
  near_dots = np.sum(np.asarray(near[0]) * np.asarray(near[1]), -1)
  far_dots = np.sum(np.asarray(far[0]) * np.asarray(far[1]), -1)
  np.testing.assert_allclose(near_dots, far_dots, atol=1e-3)
  plain = np.sum(np.asarray(query) * np.asarray(key), -1)
  assert np.abs(near_dots - plain)[0, [0, 2, 3]].min() > 1e-2
  np.testing.assert_allclose(near_dots[0, 1], plain[0, 1], atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_angles_are_float32_at_the_last_position(dtype):
  config = dataclasses.replace(presets.PRESETS["llama3_1_8b"], dtype=dtype)
  at = jnp.array([[0, 100_000, 131_071]], jnp.int32)
  cos, sin = _angles(at, config)
  assert cos.dtype == sin.dtype == jnp.float32
  # One rounding, of the product; then cosine and sine as float64 gives them.
  angles = np.asarray(at, np.float32)[0, :, None] * positions.rope_frequencies(
    config
  )
  angles = angles.astype(np.float64)
  np.testing.assert_allclose(cos[0, :, 0], np.cos(angles), atol=1e-6)
  np.testing.assert_allclose(sin[0, :, 0], np.sin(angles), atol=1e-6)


def test_bfloat16_is_rotated_in_float32():
  x = jnp.asarray(_normal(2, 3, 2, 8), jnp.bfloat16)
  at = jnp.array([[0, 1, 2], [100, 101, 102]], jnp.int32)
  angles = _angles(at, _CONFIG)
  rotated = _rotate(x, *angles)
  assert rotated.dtype == jnp.bfloat16
  wide = _rotate(x.astype(jnp.float32), *angles)
  np.testing.assert_array_equal(rotated, wide.astype(jnp.bfloat16))
