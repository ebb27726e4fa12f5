# SPDX-License-Identifier: Apache-2.0
"""Frozen matrices in four bits: the NF4 base of QLoRA (arXiv 2305.14314).

Section 3 of the paper: each block of 64 weights is divided by its absolute
maximum and rounded to the nearest of 16 levels; the absolute maxima, less their
mean, are quantised a second time ("double quantisation"). The second level here
is a linear int8, where the paper has an 8-bit float.

Everything is laid out like the kernel [..., in, out] that it stands for, so
that each part is sharded by the kernel's own axes.
"""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp

# The NF4 data type, appendix E of the paper, ascending. Quantiles of a normal
# distribution, scaled to [-1, 1], with an exact zero.
LEVELS = (
  -1.0,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0.0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1.0,
)
BLOCK = 64  # Weights of one scale: consecutive inputs of one output.
SCALE_BLOCK = 256  # Scales of one step: consecutive outputs of a block row.

_MIDPOINTS = tuple((low + high) / 2 for low, high in itertools.pairwise(LEVELS))
_MAX_SCALE_CODE = 127


class NF4(NamedTuple):
  """A quantised kernel [..., in, out].

  Attributes:
    codes: uint8 [..., in / 2, out]; indices into `LEVELS`, two a byte, the even
      row in the high nibble.
    scales: int8 [..., in / 64, out]; the second-level codes of the scales.
    scale_steps: float32 [..., in / 64, ceil(out / 256)]; what one unit of
      `scales` is worth.
    scale_mean: float32 [..., 1, 1]; what a scale of code zero is worth.
  """

  codes: jax.Array
  scales: jax.Array
  scale_steps: jax.Array
  scale_mean: jax.Array


@jax.jit
def quantize(kernel: jax.Array) -> NF4:
  """`kernel` [..., in, out] as NF4 with double-quantised scales.

  A block is 64 consecutive inputs of one output: for `in` a multiple of 64,
  the block that quantising the row-major [out, in] matrix gives. The codes are
  the nearest to the scales as `dequantize` will see them, not to the exact
  absolute maxima. Zeros stay exactly zero. Leading axes are walked one matrix
  at a time, so that the temporaries are those of one matrix.

  Raises:
    ValueError: `kernel` is no matrix, or `in` is no positive multiple of 64.
  """
  if kernel.ndim < 2:
    raise ValueError(
      f"kernel.shape={kernel.shape} has fewer than the two axes [in, out] of a"
      " matrix; leave other parameters unquantised"
    )
  if kernel.shape[-2] % BLOCK or not kernel.shape[-2]:
    raise ValueError(
      f"kernel.shape={kernel.shape} has in={kernel.shape[-2]} inputs, which is"
      f" not a positive multiple of the NF4 block of {BLOCK}; leave this matrix"
      " unquantised"
    )
  if kernel.ndim > 2:
    return jax.lax.map(quantize, kernel)
  return _quantize_matrix(kernel.astype(jnp.float32))


@functools.partial(jax.jit, static_argnums=1)
def dequantize(nf4: NF4, dtype: jax.typing.DTypeLike) -> jax.Array:
  """The kernel [..., in, out] in `dtype`, computed in float32."""
  *lead, half, out = nf4.codes.shape
  codes = jnp.stack([nf4.codes >> 4, nf4.codes & 15], axis=-2)
  blocks = codes.reshape(*lead, 2 * half // BLOCK, BLOCK, out)
  scales = _scales(nf4.scales, nf4.scale_steps, nf4.scale_mean)
  weights = _levels(blocks) * scales[..., None, :]
  return weights.reshape(*lead, 2 * half, out).astype(dtype)


@jax.custom_vjp
def linear_nf4(x: jax.Array, nf4: NF4) -> jax.Array:
  """`x` [..., in] times the kernel [in, out] of `nf4`, in `x`'s dtype.

  The base is frozen: the gradient flows to `x` only. The backward pass
  dequantises again; were the dequantised matrix a residual, a scan over layers
  would keep every layer's, and nothing would be saved. Use it in a scan: where
  forward and backward are one block of code, XLA finds the two dequantisations
  equal, runs one, and keeps its matrix in between.
  """
  rows = x.reshape(-1, x.shape[-1]) @ dequantize(nf4, x.dtype)
  return rows.reshape(*x.shape[:-1], nf4.codes.shape[-1])


def _linear_forward(x: jax.Array, nf4: NF4) -> tuple[jax.Array, NF4]:
  return linear_nf4(x, nf4), nf4


def _linear_backward(nf4: NF4, cotangent: jax.Array) -> tuple[jax.Array, None]:
  kernel = dequantize(nf4, cotangent.dtype)
  rows = cotangent.reshape(-1, cotangent.shape[-1]) @ kernel.T
  return rows.reshape(*cotangent.shape[:-1], kernel.shape[0]), None


linear_nf4.defvjp(_linear_forward, _linear_backward)


def _quantize_matrix(kernel: jax.Array) -> NF4:
  """float32 [in, out] as NF4."""
  inputs, out = kernel.shape
  blocks = kernel.reshape(inputs // BLOCK, BLOCK, out)
  largest = jnp.max(jnp.abs(blocks), axis=1)
  mean = jnp.mean(largest, keepdims=True)
  deviation = largest - mean
  padded = jnp.pad(jnp.abs(deviation), ((0, 0), (0, -out % SCALE_BLOCK)))
  groups = padded.reshape(len(padded), -1, SCALE_BLOCK)
  steps = jnp.max(groups, axis=-1) / _MAX_SCALE_CODE
  scale_codes = jnp.round(_quotient(deviation, _spread(steps, out)))
  scale_codes = jnp.clip(scale_codes, -_MAX_SCALE_CODE, _MAX_SCALE_CODE)
  scale_codes = scale_codes.astype(jnp.int8)

  # Rounding can take a scale far below the mean to zero or less: a negative
  # one serves with the levels mirrored, zero gives zeros.
  scales = _scales(scale_codes, steps, mean)
  codes = _codes(_quotient(blocks, scales[:, None, :]))
  pairs = codes.reshape(inputs // 2, 2, out)
  packed = pairs[:, 0] << 4 | pairs[:, 1]
  return NF4(packed, scale_codes, steps, mean)


def _quotient(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
  """The quotient, 0 where the denominator is zero or as good as zero."""
  usable = jnp.abs(denominator) >= jnp.finfo(jnp.float32).tiny
  return jnp.where(usable, numerator / jnp.where(usable, denominator, 1.0), 0.0)


def _spread(steps: jax.Array, out: int) -> jax.Array:
  """Steps [..., ceil(out / 256)], one for each of `out` outputs."""
  return jnp.repeat(steps, SCALE_BLOCK, axis=-1)[..., :out]


def _scales(codes: jax.Array, steps: jax.Array, mean: jax.Array) -> jax.Array:
  """The scales [..., in / 64, out] in float32."""
  return mean + codes.astype(jnp.float32) * _spread(steps, codes.shape[-1])


def _codes(ratios: jax.Array) -> jax.Array:
  """Index of the level nearest to each ratio; of two, the lower."""
  codes = jnp.zeros(ratios.shape, jnp.uint8)
  for midpoint in _MIDPOINTS:
    codes += (ratios > midpoint).astype(jnp.uint8)
  return codes


def _levels(codes: jax.Array) -> jax.Array:
  """The level of each code, as a tree of choices on the code's bits.

  Elementwise, so that it fuses with what follows on every backend; TPUs have
  no fast gather from a table, and on CPU neither is measurably faster.
  """
  bits = [codes >> place & 1 for place in range(4)]
  # The first choice is arithmetic, exact as one term is zero: `where` would
  # broadcast the levels, and a scan hoists and keeps such constants, 16 arrays
  # of the matrix's size.
  is_high = bits[0].astype(jnp.float32)
  is_low = 1 - is_high
  values = [
    is_low * low + is_high * high
    for low, high in zip(LEVELS[::2], LEVELS[1::2], strict=True)
  ]
  for bit in bits[1:]:
    values = [
      jnp.where(bit != 0, high, low)
      for low, high in zip(values[::2], values[1::2], strict=True)
    ]
  return values[0]
