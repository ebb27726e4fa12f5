# SPDX-License-Identifier: Apache-2.0
"""How likely a model finds the continuations of contexts.

That, and whether greedy decoding would write them, is all that benchmarks of
likelihood ask of a model.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.evals import padded_rows, sharded_head
from ramjax.losses import supervised_chunks, vocabulary_blocks
from ramjax.losses.vocabulary_blocks import Axes
from ramjax.models import heads, llama, sharding
from ramjax.models.config import LlamaConfig

# Positions of a device whose logits exist at once: 64 MB for 128,000 tokens.
_CHUNK = 128
# Pairs that share a row, at most; a power of two.
_MOST_ASKED = 8


class TokenPair(NamedTuple):
  """Token ids of a context (with BOS, where there is one) and what follows."""

  context: Sequence[int]
  continuation: Sequence[int]


class ContinuationLogp(NamedTuple):
  """How likely one continuation is.

  Attributes:
    logp: Natural log-probability of all of its tokens, given the context.
    num_tokens: How many those are.
    is_greedy: Each of them is the likeliest token (of equals, the first).
    num_truncated: Tokens of the context that were cut on its left.
  """

  logp: float
  num_tokens: int
  is_greedy: bool
  num_truncated: int


class _Asked(NamedTuple):
  """What a pair asks of a row that it may share with others."""

  pair: int  # Its index among all.
  last: int  # The token that follows the row's.
  num_truncated: int


class _Row(NamedTuple):
  """Tokens the model reads, for all pairs that differ in their last one only.

  These are most choices of benchmarks that ask for a letter.
  """

  tokens: np.ndarray  # [n] int32, context and continuation but for the last.
  num_scored: int  # Tokens of the continuation, the last one among them.
  asked: list[_Asked]


def continuation_logps(
  params: llama.Params,
  config: LlamaConfig,
  pairs: Sequence[TokenPair],
  *,
  batch_size: int,
  max_length: int,
  progress: Callable[[int], object] | None = None,
) -> list[ContinuationLogp]:
  """Scores continuations of contexts, the longest first.

  Of a pair of more than `max_length + 1` tokens the last so many are kept: the
  model reads all but the last, and reads once what pairs share that differ in
  the last only. Only positions that predict a continuation's token reach the
  vocabulary, a chunk at a time. On a mesh (`jax.set_mesh`) the rows of a batch
  are split over it, and `batch_size` is rounded up to a multiple of the parts.

  Args:
    params: Of a language model.
    config: Its shape.
    pairs: To score. A context has at least one token (a text without context
      is given BOS or EOS by the caller), and so has a continuation.
    batch_size: Rows in a batch at most, at least 1; fewer where they would be
      more than `padded_rows.MOST_TOKENS`. Pairs that share one count once.
    max_length: Tokens the model reads at most.
    progress: Called with the number of pairs that a batch had.

  Returns:
    One result for each pair, in the order of `pairs`.

  Raises:
    ValueError: An empty context or continuation, a continuation of more than
      `max_length` tokens, ids the model has not, a size below 1, or a result
      that is no finite number.
  """
  for name, value in (("batch_size", batch_size), ("max_length", max_length)):
    if value < 1:
      raise ValueError(f"{name}={value} must be at least 1.")
  rows = _rows(pairs, max_length, config.vocab_size)
  rows.sort(key=lambda row: -len(row.tokens))
  found: dict[int, ContinuationLogp] = {}
  for batch, logps, misses in _scored_batches(
    params, config, rows, batch_size=batch_size
  ):
    for i, row in enumerate(batch):
      for k, asked in enumerate(row.asked):
        logp = float(np.sum(logps[k, i], dtype=np.float64))
        if not math.isfinite(logp):
          raise ValueError(
            f"the log-probability of pair {asked.pair + 1} is {logp}: the model"
            f" overflows in dtype={config.dtype!r}. Compute in float32, or look"
            " for what is wrong with its weights."
          )
        found[asked.pair] = ContinuationLogp(
          logp, row.num_scored, not misses[k, i].any(), asked.num_truncated
        )
    if progress is not None:
      progress(sum(len(row.asked) for row in batch))
  return [found[i] for i in range(len(pairs))]


def _rows(
  pairs: Sequence[TokenPair], max_length: int, vocab_size: int
) -> list[_Row]:
  """Rows for all pairs; a row is shared by `_MOST_ASKED` at most."""
  rows = []
  open_rows: dict[tuple[bytes, int], _Row] = {}
  for index, pair in enumerate(pairs):
    tokens = _kept(index, pair, max_length, vocab_size)
    num_scored = len(pair.continuation)
    num_truncated = len(pair.context) + num_scored - len(tokens)
    key = tokens[:-1].tobytes(), num_scored
    if key not in open_rows or len(open_rows[key].asked) == _MOST_ASKED:
      open_rows[key] = _Row(tokens[:-1], num_scored, [])
      rows.append(open_rows[key])
    open_rows[key].asked.append(_Asked(index, int(tokens[-1]), num_truncated))
  return rows


def _kept(
  index: int, pair: TokenPair, max_length: int, vocab_size: int
) -> np.ndarray:
  """The last `max_length + 1` tokens of a pair, as int32."""
  context, continuation = pair
  if not len(context):
    raise ValueError(
      f"pair {index + 1} has an empty context: begin it with BOS or EOS, so"
      " that its first token is predicted from something."
    )
  if not 0 < len(continuation) <= max_length:
    raise ValueError(
      f"the continuation of pair {index + 1} has {len(continuation)} tokens,"
      f" and 1 to max_length={max_length} can be scored: raise max_length, or"
      " leave the pair out."
    )
  tokens = np.array([*context, *continuation])
  if not 0 <= tokens.min() <= tokens.max() < vocab_size:
    raise ValueError(
      f"pair {index + 1} has ids from {tokens.min()} to {tokens.max()}, and the"
      f" model vocab_size={vocab_size}: take the model's own tokenizer."
    )
  return tokens[-(max_length + 1) :].astype(np.int32)


def _scored_batches(
  params: Any, config: LlamaConfig, rows: Sequence[_Row], *, batch_size: int
) -> Iterator[tuple[Sequence[_Row], np.ndarray, np.ndarray]]:
  """Batches of rows with [K, B, T] log-probabilities and misses of each."""
  num_shards = _num_shards()
  queued = None
  start = 0
  # A batch is queued before the last one's results are waited for.
  while start < len(rows):
    # The first row is the longest.
    room = max(
      1,
      padded_rows.MOST_TOKENS
      // padded_rows.padded_length(len(rows[start].tokens)),
    )
    num_rows = min(batch_size, len(rows), room)
    num_rows = -(-num_rows // num_shards) * num_shards
    batch = rows[start : start + num_rows]
    start += num_rows
    arrays = _arrays(batch, num_rows)
    result = _score(config, params, *arrays)
    if queued is not None:
      yield queued[0], *jax.device_get(queued[1])
    queued = batch, result
  if queued is not None:
    yield queued[0], *jax.device_get(queued[1])


def _num_shards() -> int:
  """Ways that the mesh of the surrounding `jax.set_mesh` splits rows."""
  mesh = jax.sharding.get_mesh()
  return 1 if mesh.empty else sharding.num_batch_shards(mesh)


def _arrays(
  batch: Sequence[_Row], num_rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """[B, T] inputs, [K, B, T] targets, and the [B, T] mask of what counts."""
  length = padded_rows.padded_length(max(len(row.tokens) for row in batch))
  num_asked = max(len(row.asked) for row in batch)
  # 1, 2, 4 or 8: few shapes, because each is compiled.
  num_asked = 1 << (num_asked - 1).bit_length()
  inputs = np.zeros((num_rows, length), np.int32)
  targets = np.zeros((num_asked, num_rows, length), np.int32)
  mask = np.zeros((num_rows, length), np.bool_)
  for i, row in enumerate(batch):
    end = len(row.tokens)
    inputs[i, :end] = row.tokens
    targets[:, i, : end - 1] = row.tokens[1:]
    for k, asked in enumerate(row.asked):
      targets[k, i, end - 1] = asked.last
    mask[i, end - row.num_scored : end] = True
  return inputs, targets, mask


@functools.partial(jax.jit, static_argnums=0)
def _score(
  config: LlamaConfig,
  params: Any,
  inputs: jax.Array,
  targets: jax.Array,
  mask: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """[K, B, T] log-probabilities of targets and misses; 0 where not masked."""
  positions = jnp.arange(inputs.shape[1], dtype=jnp.int32)
  hidden = llama.apply(
    params,
    config,
    inputs,
    positions=jnp.broadcast_to(positions[None], inputs.shape),
  )
  kernel = heads.lm_kernel(params, config)
  tokens = hidden, jnp.moveaxis(targets, 0, -1), mask
  logps, misses = sharded_head.per_device(_of_tokens, kernel, tokens)
  return jnp.moveaxis(logps, -1, 0), jnp.moveaxis(misses, -1, 0)


def _of_tokens(
  kernel: jax.Array, tokens: Any, axes: Axes
) -> tuple[jax.Array, jax.Array]:
  """[N, K] log-probabilities and misses of [N, K] targets."""
  hidden, targets, mask = tokens
  order = supervised_chunks.supervised_first(mask)
  blocks = vocabulary_blocks.cut(hidden.shape[1], kernel.shape[1], axes)
  ordered = order.take(hidden), order.take(targets)

  def of_block(block, found):
    def of_chunk(chunk, found):
      x, target, normalizer, best, best_token, target_logits = (
        chunk.take(values) for values in (*ordered, *found)
      )
      logits = blocks.logits(x, block)
      normalizer = jnp.logaddexp(normalizer, jax.nn.logsumexp(logits, axis=-1))
      # Of equals the first, which the blocks come in the order of.
      own = jnp.max(logits, axis=1)
      token = block.first_token + jnp.argmax(logits, axis=1).astype(jnp.int32)
      best_token = jnp.where(own > best, token, best_token)
      column = blocks.column_of(target, block)
      picked = jnp.take_along_axis(logits, jnp.maximum(column, 0), axis=1)
      target_logits = jnp.where(column >= 0, picked, target_logits)
      own = normalizer, jnp.maximum(best, own), best_token, target_logits
      return tuple(map(chunk.put, found, own))

    return supervised_chunks.for_each(order, _CHUNK, of_chunk, found)

  zeros = jnp.zeros(mask.shape, jnp.float32)
  nothing = (
    zeros - jnp.inf,
    zeros - jnp.inf,
    jnp.zeros(mask.shape, jnp.int32),
    jnp.zeros(targets.shape, jnp.float32),
  )
  normalizers, best, best_tokens, target_logits = blocks.for_each(
    kernel, hidden.dtype, of_block, nothing
  )
  normalizers = jnp.where(order.supervised, normalizers, 0.0)
  logps = (
    axes.sum_vocab(target_logits) - axes.log_sum_vocab(normalizers)[:, None]
  )
  if axes.vocab:
    best, best_tokens = (
      axes.each_vocab(x[:, None]) for x in (best, best_tokens)
    )
    first = jnp.argmax(best, axis=1)[:, None]
    best_tokens = jnp.take_along_axis(best_tokens, first, axis=1)[:, 0]
  misses = ordered[1] != best_tokens[:, None]
  return order.put_back(logps), order.put_back(misses)
