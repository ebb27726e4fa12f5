# SPDX-License-Identifier: Apache-2.0
"""A digest of an array's bits that is the same however the array is split.

Two sums modulo 2^32 over the elements, each mixed with where it stands. Integer
sums do not depend on their order, so every sharding, mesh and process gives the
same two numbers. Each device reads only what it holds and nothing is exchanged:
the host adds up 8 bytes a device.

One element that changes always changes the first sum: the mix is a bijection of
its 32 bits. Two that change together do so but for one case in 2^64.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

# Odd, so that multiplying by one loses nothing modulo 2^32. The first is 2^32
# over the golden ratio; then MurmurHash3's finalizer (Appleby, public domain),
# whose shifts are 16, 13, 16; the last, powers of which weigh the axes in the
# second sum, is a multiplier of Steele and Vigna (arXiv 2001.05304).
_INDEX = 0x9E3779B1
_MIX = (0x85EBCA6B, 0xC2B2AE35)
_AXIS = 0xADB4A92D

# Elements that the host mixes at a time: they stay in a core's cache.
_AT_ONCE = 2**16

Sums = tuple[jax.Array, jax.Array]


@jax.jit
def digest(array: jax.Array) -> Sums:
  """The two sums of an array, or of a block of one taken by itself.

  Args:
    array: Of any shape; of booleans, integers, floats (of 4 to 64 bits) or
      PRNG keys.

  Returns:
    Two uint32 scalars.

  Raises:
    TypeError: Elements of another kind, such as complex numbers.
  """
  return _sums(array, [0] * array.ndim, array.shape)


def of_block(
  block: np.ndarray, first: Sequence[int], shape: Sequence[int]
) -> tuple[int, int]:
  """The part of an array's sums that a block of it makes; `add` them.

  On the host, by NumPy: whoever reads files may have no device, or be one of
  several processes that must not start different programs.

  Args:
    block: Floats of at most 32 bits, [..., R, C] or [C], in any memory order.
    first: Where it begins in each axis.
    shape: Of the array.
  """
  linear, weights = [], []
  for axis, (start, length) in enumerate(zip(first, block.shape, strict=True)):
    at = np.arange(start, start + length).astype(np.uint32)
    linear.append(at * _modulo(_INDEX * math.prod(shape[axis + 1 :])))
    weights.append(at * _modulo(_AXIS ** (axis + 1)))
  bits = block.view(f"uint{8 * block.dtype.itemsize}")
  if bits.ndim == 1:
    nothing = np.zeros(1, np.uint32)
    bits, linear, weights = bits[None], [nothing, *linear], [nothing, *weights]
  parts = []
  for index in np.ndindex(bits.shape[:-2]):
    # Where the matrix lies moves all that its rows add.
    rows = [
      by[-2] + _modulo(sum(int(by[k][at]) for k, at in enumerate(index)))
      for by in (linear, weights)
    ]
    parts.append(_of_matrix(bits[index], rows, [linear[-1], weights[-1]]))
  return add(parts)


def _of_matrix(
  bits: np.ndarray, rows: Sequence[np.ndarray], columns: Sequence[np.ndarray]
) -> tuple[int, int]:
  """The sums over a matrix: what row and column add to both mixes is given."""
  if bits.strides[0] < bits.strides[1]:
    bits, rows, columns = bits.T, columns, rows
  parts = []
  step = max(1, _AT_ONCE // bits.shape[1])
  for top in range(0, len(bits), step):
    linear, weights = (by[top : top + step, None] for by in rows)
    mixed = bits[top : top + step].astype(np.uint32)
    mixed += linear + columns[0]
    for shift, factor in ((16, _MIX[0]), (13, _MIX[1])):
      mixed ^= mixed >> shift
      mixed *= _modulo(factor)
    mixed ^= mixed >> 16
    weighted = mixed * ((weights + columns[1]) | _modulo(1))
    parts.append([int(x.sum(dtype=np.uint32)) for x in (mixed, weighted)])
  return add(parts)


def start(array: jax.Array) -> jax.Array:
  """Queues the sums of the blocks of an array; waits for nothing.

  No collective: the programs of a training step, queued behind this on devices
  that run several at once, could not get in its way.

  Args:
    array: See `digest`; on one device, or with a `NamedSharding`.

  Returns:
    uint32 [devices, 2], each row on the device that summed it; a block that
    several hold is summed by one of them.
  """
  if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
    array = jax.random.key_data(array)
  if not isinstance(array.sharding, NamedSharding):
    return jnp.stack(digest(array))[None]
  return _of_blocks(array.sharding, array.shape)(array)


def finish(started: Sequence[jax.Array]) -> list[tuple[int, int]]:
  """The sums of what this process holds, of each array; waits for them.

  Args:
    started: What `start` gave for each.

  Returns:
    Two numbers an array; with several processes, `add` them over these.
  """
  parts = jax.device_get(
    [[block.data for block in sums.addressable_shards] for sums in started]
  )
  return [
    add([tuple(map(int, row)) for part in blocks for row in part])
    for blocks in parts
  ]


def add(sums: Sequence[Sequence[int]]) -> tuple[int, int]:
  """The sums of a whole from those of its parts."""
  return sum(s[0] for s in sums) % 2**32, sum(s[1] for s in sums) % 2**32


@functools.lru_cache(maxsize=1024)
def _of_blocks(
  sharding: NamedSharding, shape: tuple[int, ...]
) -> Callable[[jax.Array], jax.Array]:
  """A jitted `start` of the arrays of one sharding and shape."""
  mesh = sharding.mesh
  axes = [_axes_of(part) for part in sharding.spec]
  axes += [()] * (len(shape) - len(axes))
  unused = set(mesh.axis_names) - {name for names in axes for name in names}

  def of_block(block: jax.Array) -> jax.Array:
    first = [
      lax.axis_index(names) * size if names else 0
      for names, size in zip(axes, block.shape, strict=True)
    ]
    pair = jnp.stack(_sums(block, first, shape))
    copy = sum(lax.axis_index(name) for name in sorted(unused))
    return jnp.where(copy == 0, pair, jnp.uint32(0))[None]

  return jax.jit(
    jax.shard_map(
      of_block,
      mesh=mesh,
      in_specs=sharding.spec,
      out_specs=PartitionSpec(mesh.axis_names),
      check_vma=False,
    )
  )


def _axes_of(part: Any) -> tuple[str, ...]:
  """The mesh axes in one entry of a PartitionSpec."""
  if part is None:
    return ()
  return part if isinstance(part, tuple) else (part,)


def _sums(block: jax.Array, first: Sequence[Any], shape: Sequence[int]) -> Sums:
  """The sums over a block that begins at `first` in an array of `shape`."""
  total = weighted = jnp.uint32(0)
  for number, word in enumerate(_words(block)):
    linear = jnp.full(word.shape, number, jnp.uint32)
    axes = jnp.full(word.shape, number, jnp.uint32)
    for axis in range(word.ndim):
      at = lax.broadcasted_iota(jnp.uint32, word.shape, axis)
      at += jnp.asarray(first[axis]).astype(jnp.uint32)
      linear += at * _modulo(math.prod(shape[axis + 1 :]))
      # Not the linear index again: that repeats after 2^32 elements.
      axes += at * _modulo(_AXIS ** (axis + 1))
    mixed = word + linear * _modulo(_INDEX)
    mixed = (mixed ^ (mixed >> 16)) * _modulo(_MIX[0])
    mixed = (mixed ^ (mixed >> 13)) * _modulo(_MIX[1])
    mixed ^= mixed >> 16
    # Both in one reduction: XLA's CPU compiler then makes a single pass of it,
    # 10 to 20 times as fast as that of two sums.
    sums = lax.reduce(
      (mixed, mixed * (axes | jnp.uint32(1))),
      (jnp.uint32(0), jnp.uint32(0)),
      lambda one, other: (one[0] + other[0], one[1] + other[1]),
      tuple(range(word.ndim)),
    )
    total, weighted = total + sums[0], weighted + sums[1]
  return total, weighted


def _words(array: jax.Array) -> tuple[jax.Array, ...]:
  """The bits of each element as one or two numbers of 32."""
  if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
    array = jax.random.key_data(array)
  if array.dtype == jnp.bool_:
    return (array.astype(jnp.uint32),)
  if jnp.issubdtype(array.dtype, jnp.floating):
    bits = jnp.finfo(array.dtype).bits
  elif jnp.issubdtype(array.dtype, jnp.integer):
    bits = jnp.iinfo(array.dtype).bits
  else:
    raise TypeError(
      f"an array of {array.dtype} has no digest; there is one of booleans,"
      " integers, floats and PRNG keys."
    )
  if bits == 64:
    pairs = lax.bitcast_convert_type(array, jnp.uint32)
    return pairs[..., 0], pairs[..., 1]
  unsigned = lax.bitcast_convert_type(array, jnp.dtype(f"uint{bits}"))
  return (unsigned.astype(jnp.uint32),)


def _modulo(number: int) -> np.uint32:
  return np.uint32(number % 2**32)
