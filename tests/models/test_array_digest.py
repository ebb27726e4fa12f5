# SPDX-License-Identifier: Apache-2.0
"""The digest of an array: one value on any mesh, another after any change."""

import itertools

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from ramjax.models import array_digest, sharding

_P = PartitionSpec


def _digest(array):
  (sums,) = array_digest.finish([array_digest.start(array)])
  return sums


def _by_loop(array):
  """The two sums by their definition, an element at a time, in Python."""
  array = np.asarray(array)
  width = array.dtype.itemsize
  total = weighted = 0
  for linear, index in enumerate(np.ndindex(array.shape)):
    data = array[index].tobytes()
    words = [data[i : i + 4] for i in range(0, width, 4)]
    for number, word in enumerate(words):
      at = number + sum(
        i * 0xADB4A92D ** (axis + 1) for axis, i in enumerate(index)
      )
      mixed = int.from_bytes(word, "little")
      mixed = (mixed + (number + linear) * 0x9E3779B1) % 2**32
      mixed = (mixed ^ (mixed >> 16)) * 0x85EBCA6B % 2**32
      mixed = (mixed ^ (mixed >> 13)) * 0xC2B2AE35 % 2**32
      mixed ^= mixed >> 16
      total += mixed
      weighted += mixed * (at % 2**32 | 1)
  return total % 2**32, weighted % 2**32


def _array(dtype, shape=(4, 8)):
  numbers = np.random.default_rng(0).standard_normal(shape) * 50
  return (np.abs(numbers) > 20) if dtype is bool else numbers.astype(dtype)


@pytest.mark.parametrize(
  "dtype",
  [
    *(np.float32, np.float16, jnp.bfloat16, np.int32, np.int8),
    *(ml_dtypes.float8_e4m3fn, bool),
  ],
)
def test_it_equals_a_loop_over_the_bits(dtype):
  array = _array(dtype)
  assert _digest(jnp.asarray(array)) == _by_loop(array)


def test_unsigned_bytes_and_scalars_equal_the_loop():
  data = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
  assert _digest(jnp.asarray(data)) == _by_loop(data)
  scalar = np.float32(-0.0)
  assert _digest(jnp.asarray(scalar)) == _by_loop(scalar)


def test_the_zero_scalar_by_hand():
  # Bits 0 at index 0: every step of the mix keeps 0.
  assert _digest(jnp.float32(0)) == (0, 0)


def test_a_key_has_the_digest_of_its_data():
  key = jax.random.key(7)
  assert _digest(key) == _by_loop(jax.random.key_data(key))


@pytest.mark.parametrize(
  "axes,spec",
  [
    ({"fsdp": 8}, _P("fsdp")),
    ({"fsdp": 4, "tensor": 2}, _P("fsdp", "tensor")),
    ({"fsdp": 4, "tensor": 2}, _P(None, ("tensor", "fsdp"))),
    ({"fsdp": 4, "tensor": 2}, _P("tensor")),  # Each block on four devices.
    ({"fsdp": 8}, _P()),  # And the whole on eight.
  ],
)
def test_it_is_the_same_however_the_array_is_split(axes, spec):
  array = _array(np.float32, (8, 16, 3))
  mesh = sharding.make_mesh(axes)
  split = jax.device_put(array, NamedSharding(mesh, spec))
  assert _digest(split) == _digest(jnp.asarray(array))


def test_nothing_is_exchanged_between_devices():
  mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})
  split = jax.device_put(
    _array(np.float32, (8, 16)), NamedSharding(mesh, _P("fsdp"))
  )
  program = array_digest._of_blocks(split.sharding, split.shape)
  text = program.lower(split).compile().as_text()
  for collective in ("all-reduce", "all-gather", "all-to-all", "permute"):
    assert collective not in text
  assert array_digest.start(split).shape == (8, 2)


def test_every_single_bit_flip_changes_the_first_sum():
  array = _array(np.float32, (5, 3))
  sound = _digest(jnp.asarray(array))[0]
  for element, bit in itertools.product(range(15), range(32)):
    flipped = array.copy()
    flipped.reshape(-1).view(np.uint32)[element] ^= np.uint32(1 << bit)
    assert _digest(jnp.asarray(flipped))[0] != sound


def test_order_and_shape_count():
  array = _array(np.float32, (8, 8))
  sound = _digest(jnp.asarray(array))
  for other in (array[::-1], array[:, ::-1], array.T, array.reshape(4, 16)):
    assert _digest(jnp.asarray(np.ascontiguousarray(other))) != sound
  zeros = jnp.zeros((4, 4))
  assert _digest(zeros) != _digest(jnp.zeros((4, 5)))
  assert _digest(zeros) != _digest(zeros.at[2, 2].set(-0.0))


def test_sums_of_parts_add_up_modulo_two_to_the_32():
  assert array_digest.add([(2**32 - 1, 5), (3, 2**32 - 5)]) == (2, 0)


def test_complex_numbers_are_refused():
  with pytest.raises(TypeError, match="complex64 has no digest"):
    array_digest.start(jnp.zeros(2, jnp.complex64))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(7,), (5, 6), (2, 5, 6), (2, 3, 4, 5)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_host_sums_blocks_to_the_same_whole(dtype, shape, order):
  array = _array(dtype, shape)
  for axis in range(len(shape)):
    parts = []
    for start, stop in ((0, 1), (1, shape[axis])):
      block = np.asarray(array.take(range(start, stop), axis), order=order)
      first = [0] * len(shape)
      first[axis] = start
      parts.append(array_digest.of_block(block, first, shape))
    assert array_digest.add(parts) == _digest(jnp.asarray(array))


def test_the_host_sums_large_blocks_in_pieces(monkeypatch):
  array = _array(np.float32, (9, 40))
  whole = array_digest.of_block(array, [0, 0], array.shape)
  for at_once in (1, 100):
    monkeypatch.setattr(array_digest, "_AT_ONCE", at_once)
    assert array_digest.of_block(array, [0, 0], array.shape) == whole
