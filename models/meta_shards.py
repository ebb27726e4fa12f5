# SPDX-License-Identifier: Apache-2.0
"""Tensors of Meta's checkpoints, put together from model-parallel shards.

Each shard holds its part of every matrix: rows of those that widen (wq, w1,
output), columns of those that narrow (wo, w2). Query and key rows also come in
another order: Meta's RoPE turns the pairs (2i, 2i + 1) of a head, Hugging
Face's and ours the pairs (i, i + H/2).
"""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ramjax.models.tensors import TensorError

EMBEDDING, HEAD = "tok_embeddings.weight", "output.weight"
FIRST_MLP = "layers.0.feed_forward.w1.weight"
# Tables that follow from params.json.
BUFFERS = ("rope.freqs",)


class _Tensor(NamedTuple):
  """How Meta stores one of Hugging Face's tensors.

  Attributes:
    name: Meta's; inside the layer for those of layers.
    axes: Along which it may be split; () is a copy in every shard.
    rotated: Whether its rows are turned by RoPE.
    repeats: Whether shards may hold the same rows: KV heads, when they are
      fewer than the shards.
  """

  name: str
  axes: tuple[int, ...]
  rotated: bool = False
  repeats: bool = False


_LAYER: Mapping[str, _Tensor] = {
  "input_layernorm.weight": _Tensor("attention_norm.weight", ()),
  "self_attn.q_proj.weight": _Tensor("attention.wq.weight", (0,), rotated=True),
  "self_attn.k_proj.weight": _Tensor(
    "attention.wk.weight", (0,), rotated=True, repeats=True
  ),
  "self_attn.v_proj.weight": _Tensor("attention.wv.weight", (0,), repeats=True),
  "self_attn.o_proj.weight": _Tensor("attention.wo.weight", (1,)),
  "post_attention_layernorm.weight": _Tensor("ffn_norm.weight", ()),
  "mlp.gate_proj.weight": _Tensor("feed_forward.w1.weight", (0,)),
  "mlp.up_proj.weight": _Tensor("feed_forward.w3.weight", (0,)),
  "mlp.down_proj.weight": _Tensor("feed_forward.w2.weight", (1,)),
}
_TOP: Mapping[str, _Tensor] = {
  # Llama 1 and 2 split its columns, Llama 3 its rows.
  "model.embed_tokens.weight": _Tensor(EMBEDDING, (1, 0)),
  "model.norm.weight": _Tensor("norm.weight", ()),
  "lm_head.weight": _Tensor(HEAD, (0,)),
}
_PREFIX = "model.layers."


def stored_as(hf_name: str) -> _Tensor:
  """How Meta stores a tensor, with its full name."""
  if not hf_name.startswith(_PREFIX):
    return _TOP[hf_name]
  layer, _, inner = hf_name.removeprefix(_PREFIX).partition(".")
  stored = _LAYER[inner]
  return stored._replace(name=f"layers.{layer}.{stored.name}")


def vocab_size(part: tuple[int, ...], num_shards: int, width: int) -> int:
  """Rows of the embedding, from the shape of one shard's part.

  Raises:
    TensorError: It is split neither by rows nor by columns.
  """
  if len(part) == 2 and part[1] == width:
    return part[0] * num_shards
  if len(part) == 2 and part[1] * num_shards == width:
    return part[0]
  raise TensorError(
    f"{EMBEDDING!r} has shape {list(part)} in each of {num_shards} shards:"
    f" neither its rows nor its columns make up a width of {width}."
  )


class Joined(NamedTuple):
  """A tensor whose parts lie in several arrays.

  Attributes:
    name: Meta's, for messages.
    groups: The parts in order; the arrays of one group must be equal.
    axis: Along which the groups follow one another.
    head_dim: Of the heads whose rows are brought into the order of halves; 0
      keeps the rows as they are.
  """

  name: str
  groups: tuple[tuple[np.ndarray, ...], ...]
  axis: int
  head_dim: int

  def rows(self, start: int, stop: int) -> np.ndarray:
    """Rows of the whole tensor, reading no other bytes than their heads'.

    Raises:
      TensorError: Shards that must hold the same bytes do not.
    """
    if not self.head_dim:
      return self._stored_rows(start, stop)
    # Whole heads are read, because rows move within their head.
    first = start - start % self.head_dim
    last = -(-stop // self.head_dim) * self.head_dim
    heads = in_halves(self._stored_rows(first, last), self.head_dim)
    return heads[start - first : stop - first]

  def _stored_rows(self, start: int, stop: int) -> np.ndarray:
    if self.axis == 1:
      parts = [self._one(group, start, stop) for group in self.groups]
      return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    parts, at = [], 0
    for group in self.groups:
      length = group[0].shape[0]
      first, last = max(start - at, 0), min(stop - at, length)
      if first < last:
        parts.append(self._one(group, first, last))
      at += length
    return parts[0] if len(parts) == 1 else np.concatenate(parts)

  def _one(
    self, copies: tuple[np.ndarray, ...], start: int, stop: int
  ) -> np.ndarray:
    """Rows of the first of several copies, once they are seen to be equal."""
    rows = copies[0][start:stop]
    if len(copies) > 1:
      expected = rows.tobytes()
      if any(copy[start:stop].tobytes() != expected for copy in copies[1:]):
        raise TensorError(
          f"tensor {self.name!r} must be the same in {len(copies)} shards, and"
          " is not: these are shards of different models, or damaged."
        )
    return rows


def in_halves(rows: np.ndarray, head_dim: int) -> np.ndarray:
  """Brings the rows of whole heads from the order of pairs to that of halves.

  Args:
    rows: [N * H, D], where RoPE turns rows 2i and 2i + 1 of a head together.
    head_dim: H.

  Returns:
    A copy in which it turns rows i and i + H/2 together: row i of a head was
    row 2i, and row i + H/2 was row 2i + 1.
  """
  pairs = rows.reshape(-1, head_dim // 2, 2, rows.shape[1])
  return pairs.swapaxes(1, 2).reshape(rows.shape)


def join(
  hf_name: str,
  shards: Sequence[Mapping[str, np.ndarray]],
  shape: tuple[int, ...],
  head_dim: int,
) -> Joined:
  """Finds how a tensor is split, by the shapes of its parts.

  Args:
    hf_name: Hugging Face's name of it.
    shards: By Meta's names, each tensor's part; in the order of the shards.
    shape: Of the whole tensor.
    head_dim: H of the model.

  Returns:
    The tensor, with nothing read yet.

  Raises:
    TensorError: It is missing from a shard, the parts differ in shape or
      dtype, or do not make up the whole.
  """
  stored = stored_as(hf_name)
  for number, shard in enumerate(shards):
    if stored.name not in shard:
      raise TensorError(
        f"tensor {stored.name!r} is missing from shard {number:02d}:"
        f" {len(shard)} others are there."
      )
  parts = [shard[stored.name] for shard in shards]
  kinds = {(part.shape, str(part.dtype)) for part in parts}
  if len(kinds) > 1:
    raise TensorError(
      f"tensor {stored.name!r} differs between the shards: {sorted(kinds)}."
    )
  joined = functools.partial(
    Joined, stored.name, head_dim=head_dim if stored.rotated else 0
  )
  part, num = parts[0].shape, len(parts)
  if not stored.axes and part == shape:
    return joined(groups=(tuple(parts),), axis=0)
  for axis in stored.axes:
    scaled = tuple(n * num if i == axis else n for i, n in enumerate(part))
    if scaled == shape:
      return joined(groups=tuple((one,) for one in parts), axis=axis)
  if stored.repeats and part[1:] == shape[1:]:
    # Shards next to each other serve the queries of one KV head, so they have
    # that head's rows.
    times, rest = divmod(part[0] * num, shape[0])
    if times > 1 and not rest and num % times == 0:
      groups = tuple(
        tuple(parts[at : at + times]) for at in range(0, num, times)
      )
      return joined(groups=groups, axis=0)
  raise TensorError(
    f"tensor {stored.name!r} has shape {list(part)} in each of {num} shards,"
    f" and params.json makes the whole {list(shape)}: a shard is missing, or"
    " these belong to another model."
  )
