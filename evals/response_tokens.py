# SPDX-License-Identifier: Apache-2.0
"""Which answer of a batch a token belongs to: the next one, the first, the last.

Position i predicts token i + 1, so what is computed at a position is of the
answer that the next token is part of.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ramjax.data.group_batches import GroupBatch


class NextAnswer(NamedTuple):
  """The answer that the token after each position belongs to.

  Attributes:
    predicted: [B, T] bool, there is one: the next token is of an answer, and in
      the same segment. Whether it is supervised is another matter.
    group: [B, T] int32, its group, counted within the row; 0 where there is
      none.
    answer: [B, T] int32, which of the group's answers it is; 0 where there is
      none.
  """

  predicted: jax.Array
  group: jax.Array
  answer: jax.Array


def next_answer(batch: GroupBatch) -> NextAnswer:
  """Tells for each position of a batch which answer it predicts a token of."""
  ids = _next_ids(batch)
  number = jnp.maximum(ids - 1, 0)
  num_answers = batch.features["present"].shape[2]
  return NextAnswer(ids > 0, number // num_answers, number % num_answers)


def tokens_of(groups: jax.Array, batch: GroupBatch) -> jax.Array:
  """A value of each group at the positions that predict its answers' tokens.

  Args:
    groups: [B, G].
    batch: Of groups.

  Returns:
    [B, T]; of no meaning where no answer's token is predicted.
  """
  return jnp.take_along_axis(groups, next_answer(batch).group, axis=1)


def sum_by_response(
  values: jax.Array, mask: jax.Array, batch: GroupBatch
) -> jax.Array:
  """Sums a value of every predicted token over the answer it belongs to.

  Args:
    values: [B * T], at the position that predicts the token.
    mask: [B * T] bool, what to count.
    batch: Whose answers.

  Returns:
    [B, G, K] of `values`' dtype.
  """
  shape = batch.tokens.shape
  ids = jnp.where(mask.reshape(shape), _next_ids(batch), 0)
  values = jnp.where(mask, values, 0).reshape(shape)
  return _by_response(jax.ops.segment_sum, values, ids, batch)


def first_places(batch: GroupBatch) -> jax.Array:
  """[B, G, K] int32: where in its row each answer's first token lies.

  Of no meaning, but in the row, where there is no answer.
  """
  places = _places(batch)
  found = _by_response(jax.ops.segment_min, places, batch.response_ids, batch)
  # The minimum over nothing is the largest integer.
  return jnp.minimum(found, places.shape[1] - 1)


def last_places(batch: GroupBatch) -> jax.Array:
  """[B, G, K] int32: where in its row each answer's last token lies.

  Found by the answer's tokens, never by comparing ids with those of EOS or
  padding. Of no meaning, but in the row, where there is no answer.
  """
  places = _places(batch)
  found = _by_response(jax.ops.segment_max, places, batch.response_ids, batch)
  return jnp.maximum(found, 0)  # Over nothing it is the least integer.


def _next_ids(batch: GroupBatch) -> jax.Array:
  """[B, T]: `response_ids` of the next token; 0 beyond the segment."""
  ids, segments = batch.response_ids, batch.segment_ids
  same_segment = segments == jnp.roll(segments, -1, axis=1)
  ids = jnp.where(same_segment, jnp.roll(ids, -1, axis=1), 0)
  return ids.at[:, -1].set(0)  # `roll` wrapped around.


def _places(batch: GroupBatch) -> jax.Array:
  shape = batch.tokens.shape
  return jnp.broadcast_to(jnp.arange(shape[1])[None], shape)


def _by_response(
  reduce: Callable[..., jax.Array],
  values: jax.Array,
  ids: jax.Array,
  batch: GroupBatch,
) -> jax.Array:
  """[B, T] values reduced over the positions of each answer: [B, G, K]."""
  num_groups, num_answers = batch.features["present"].shape[1:]
  num_segments = 1 + num_groups * num_answers
  found = jax.vmap(
    lambda row, ids: reduce(row, ids, num_segments=num_segments)
  )(values, ids)
  return found[:, 1:].reshape(-1, num_groups, num_answers)
