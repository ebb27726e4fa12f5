# SPDX-License-Identifier: Apache-2.0
"""An LM head's matrix, a block of the vocabulary at a time.

Inside `jax.shard_map` a device holds [D / width ways, V / vocab ways] of the
matrix. A block of its columns is gathered from the devices that hold the other
rows, used for all tokens of this device, and dropped; the block's gradient is
summed over those devices, each of which keeps its own rows. So a matrix crosses
devices once in the forward pass, and once with its gradient in the backward
pass, however many tokens there are; and whole it never exists.

The number of blocks is the same on every device, and that of the chunks of
tokens within a block is not (`supervised_chunks`): devices wait for one another
between blocks only.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

_Carry = TypeVar("_Carry")

# Of a block's float32 gradient, on each device: 8,192 columns at a width of
# 4,096. The smaller, the more often a chunk of tokens is read; at that size a
# token's 8 KiB of hidden state buy 67 MFLOP.
_BLOCK_BYTES = 2**27
# Columns of a TPU's tile.
_LANES = 128


class Axes(NamedTuple):
  """Mesh axes of a `jax.shard_map` over which a [D, V] matrix is split.

  Attributes:
    width: Over which D is split, and its tokens are as well.
    vocab: Over which V is split, and its tokens are not.
  """

  width: tuple[str, ...] = ()
  vocab: tuple[str, ...] = ()

  @property
  def width_ways(self) -> int:
    """Devices that share D."""
    return jax.lax.axis_size(self.width) if self.width else 1

  @property
  def vocab_ways(self) -> int:
    """Devices that share V."""
    return jax.lax.axis_size(self.vocab) if self.vocab else 1

  @property
  def vocab_index(self) -> jax.Array | int:
    """Which part of the vocabulary this device holds."""
    return jax.lax.axis_index(self.vocab) if self.vocab else 0

  def sum_vocab(self, values: jax.Array) -> jax.Array:
    """Sum over the devices that hold other parts of the vocabulary."""
    return jax.lax.psum(values, self.vocab) if self.vocab else values

  def mean_vocab(self, values: jax.Array) -> jax.Array:
    """Mean over those devices, which hold equal parts."""
    return jax.lax.pmean(values, self.vocab) if self.vocab else values

  def all_rows(self, values: jax.Array) -> jax.Array:
    """[ways * n, ...] of this device's [n, ...]: matrix rows, or tokens."""
    if not self.width:
      return values
    return jax.lax.all_gather(values, self.width, tiled=True)

  def each_vocab(self, values: jax.Array) -> jax.Array:
    """[N, ways * K] of those devices' [N, K], in the vocabulary's order."""
    return jax.lax.all_gather(values, self.vocab, axis=1, tiled=True)

  def tokens_to_rows(self, values: jax.Array) -> jax.Array:
    """From all D of this device's tokens to its part of D, of all tokens.

    [N, D] to [ways * N, d], over the devices that hold the other rows.
    """
    if not self.width:
      return values
    return jax.lax.all_to_all(values, self.width, 1, 0, tiled=True)

  def rows_to_tokens(self, values: jax.Array) -> jax.Array:
    """The way back, [ways * N, d] to [N, D]."""
    if not self.width:
      return values
    return jax.lax.all_to_all(values, self.width, 0, 1, tiled=True)

  def log_sum_vocab(self, values: jax.Array) -> jax.Array:
    """Log of the sum of exp(values) over those devices; finite values."""
    if not self.vocab:
      return values
    largest = jax.lax.pmax(values, self.vocab)
    return largest + jnp.log(self.sum_vocab(jnp.exp(values - largest)))


# One device holds all of the matrix.
WHOLE = Axes()


class Block(NamedTuple):
  """Some columns that lie beside each other."""

  index: jax.Array  # int32, 0 is the first block
  start: jax.Array  # int32, its first column among those of this device
  repeated: jax.Array  # int32, columns at its start that the last block had
  first_token: jax.Array  # int32, the token of its first column
  kernel: jax.Array  # [D, C], in the dtype of the matmuls


@dataclasses.dataclass(frozen=True)
class Blocks:
  """How this device's part of a matrix is cut.

  Attributes:
    num_columns: Columns that this device holds.
    size: Columns of a block.
    axes: Of the mesh.
  """

  num_columns: int
  size: int
  axes: Axes

  @property
  def count(self) -> int:
    """How many blocks there are."""
    return -(-self.num_columns // self.size)

  def for_each(
    self,
    kernel: jax.Array,
    dtype: jax.typing.DTypeLike,
    body: Callable[[Block, _Carry], _Carry],
    carry: _Carry,
  ) -> _Carry:
    """Calls `body(block, carry)` for each block of `kernel`, this device's."""

    def step(index: jax.Array, carry: _Carry) -> _Carry:
      return body(self.block(kernel, dtype, index), carry)

    if self.count == 1:
      return step(jnp.int32(0), carry)
    return jax.lax.fori_loop(0, self.count, step, carry)

  def block(
    self, kernel: jax.Array, dtype: jax.typing.DTypeLike, index: jax.Array
  ) -> Block:
    """Block number `index` of this device's part of a matrix."""
    # The last block begins early, to be whole.
    start = jnp.minimum(index * self.size, self.num_columns - self.size)
    columns = self.axes.all_rows(self.own_columns(kernel, start).astype(dtype))
    first_token = start + self.axes.vocab_index * self.num_columns
    return Block(index, start, index * self.size - start, first_token, columns)

  def own_columns(self, kernel: jax.Array, start: jax.Array) -> jax.Array:
    """[d, C] of this device's [d, V] at a block."""
    if self.count == 1:
      return kernel
    return jax.lax.dynamic_slice_in_dim(kernel, start, self.size, axis=1)

  def logits(self, hidden: jax.Array, block: Block) -> jax.Array:
    """[T, C] float32 of [T, D] hidden states; -inf where repeated."""
    logits = jnp.matmul(
      hidden, block.kernel, preferred_element_type=jnp.float32
    )
    if self.num_columns % self.size == 0:
      return logits
    column = jnp.arange(self.size)[None, :]
    return jnp.where(column < block.repeated, -jnp.inf, logits)

  def column_of(self, targets: jax.Array, block: Block) -> jax.Array:
    """[T] int32 column of each target in the block; -1 where it has none."""
    column = targets.astype(jnp.int32) - block.first_token
    inside = (column >= block.repeated) & (column < self.size)
    return jnp.where(inside, column, -1)

  def add_gradient(
    self, kernel_grad: jax.Array, own: jax.Array, block: Block
  ) -> jax.Array:
    """Adds a block's [D, C] gradient, summed over tokens, to this device's."""
    if self.axes.width:
      own = jax.lax.psum_scatter(own, self.axes.width, tiled=True)
    if self.count == 1:
      return own
    own += self.own_columns(kernel_grad, block.start)
    return jax.lax.dynamic_update_slice_in_dim(
      kernel_grad, own, block.start, axis=1
    )


def cut(width: int, num_columns: int, axes: Axes) -> Blocks:
  """The blocks of a matrix of `width` rows, of which others hold some.

  One block where this device holds all rows: there is nothing to gather.

  Args:
    width: D, of the whole matrix.
    num_columns: Of this device.
    axes: Of the mesh.
  """
  if axes.width_ways == 1:
    return Blocks(num_columns, num_columns, axes)
  most = max(1, _BLOCK_BYTES // (4 * width))
  size = -(-num_columns // -(-num_columns // most))
  if size > _LANES:
    size = min(-(-size // _LANES) * _LANES, num_columns)
  return Blocks(num_columns, size, axes)
