# SPDX-License-Identifier: Apache-2.0
"""Attention: equals a loop over queries, and leaks nothing, to the last bit.

By XLA; what every backend is held to is in `test_attention_backends.py`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.models import attention, config
from ramjax.models.cache import one_layer

_B, _N, _K, _H = 2, 4, 2, 4
# One, odd, the first length of one block, of two, of eight, and one whose two
# blocks are no power of two.
_LENGTHS = [1, 7, 64, 128, 130, 512]

_attend = jax.jit(attention.attend, static_argnames="backend")


@jax.jit
def _attend_cache(query, key, value, slots):
  """With keys and values [B, S, K, H], as they are computed."""
  return attention.attend_cache(query, *one_layer(key, value), slots=slots)


def _inputs(length, seed=0):
  rng = np.random.default_rng(seed)

  def normal(heads):
    return rng.normal(size=(_B, length, heads, _H)).astype(np.float32)

  return normal(_N), normal(_K), normal(_K)


def _segments(length):
  """Row 0: two segments, not cut at a block; row 1: three and padding."""
  at = np.arange(length)
  return np.stack(
    [
      1 + (at >= 0.4 * length),
      (1 + (at >= 0.2 * length) + (at >= 0.55 * length)) * (at < 0.8 * length),
    ]
  ).astype(np.int32)


def _one_query(query, keys, values):
  """Softmax attention of a query [H] over keys [S, H], in float64."""
  scores = keys.astype(np.float64) @ query.astype(np.float64) / np.sqrt(_H)
  weights = np.exp(scores - scores.max())
  return weights / weights.sum() @ values.astype(np.float64)


def _naive(query, key, value, segment_ids, branch_ids=None):
  if branch_ids is None:
    branch_ids = np.zeros_like(segment_ids)
  output = np.zeros(query.shape)
  for b, t, n in np.ndindex(query.shape[:3]):
    branches = branch_ids[b, : t + 1]
    seen = np.flatnonzero(
      (segment_ids[b, : t + 1] == segment_ids[b, t])
      & ((branches == 0) | (branches == branches[t]))
    )
    kv_head = n // (_N // _K)
    output[b, t, n] = _one_query(
      query[b, t, n], key[b, seen, kv_head], value[b, seen, kv_head]
    )
  return output


@pytest.mark.parametrize("length", _LENGTHS)
def test_equals_a_loop_over_queries(length):
  query, key, value = _inputs(length)
  segment_ids = _segments(length)
  output = _attend(query, key, value, segment_ids=segment_ids)
  expected = _naive(query, key, value, segment_ids)
  np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)


def test_hand_value_of_two_tokens():
  # The second token's scores are q.k / sqrt(1) = (0, log 3): weights 1/4, 3/4.
  query = jnp.array([0.0, 1.0]).reshape(1, 2, 1, 1)
  key = jnp.array([0.0, np.log(3.0)], jnp.float32).reshape(1, 2, 1, 1)
  value = jnp.array([8.0, 4.0]).reshape(1, 2, 1, 1)
  ids = jnp.ones((1, 2), jnp.int32)
  output = _attend(query, key, value, segment_ids=ids)
  np.testing.assert_allclose(output[0, :, 0, 0], [8.0, 5.0], rtol=1e-6)


def _with_noise(arrays, where):
  """`arrays` with other values at `where` [B, T]."""
  noisy = [np.where(where[:, :, None, None], 100 * x + 7, x) for x in arrays]
  return [x.astype(np.float32) for x in noisy]


@pytest.mark.parametrize("length", [7, 128, 512])
@pytest.mark.parametrize("changed", [0, 1, 2, 3])
def test_no_bit_of_a_segment_depends_on_another(length, changed):
  arrays = _inputs(length)
  segment_ids = _segments(length)
  hit = segment_ids == changed
  before = np.asarray(_attend(*arrays, segment_ids=segment_ids))
  after = np.asarray(
    _attend(*_with_noise(arrays, hit), segment_ids=segment_ids)
  )
  np.testing.assert_array_equal(before[~hit], after[~hit])
  assert np.any(before[hit] != after[hit]) and np.all(np.isfinite(after))


@pytest.mark.parametrize("start", [1, 63, 64, 100])
def test_no_bit_depends_on_the_future(start):
  arrays = _inputs(128)
  segment_ids = np.ones((_B, 128), np.int32)
  future = np.broadcast_to(np.arange(128) >= start, (_B, 128))
  before = _attend(*arrays, segment_ids=segment_ids)
  after = _attend(*_with_noise(arrays, future), segment_ids=segment_ids)
  np.testing.assert_array_equal(before[:, :start], after[:, :start])
  assert np.any(np.asarray(before[:, start:] != after[:, start:]))


def test_no_gradient_crosses_segments():
  query, key, value = _inputs(7)
  segment_ids = jnp.asarray(_segments(7))

  def second_segment(query, key, value):
    output = attention.attend(query, key, value, segment_ids=segment_ids)
    return jnp.sum(jnp.where(segment_ids[:, :, None, None] == 2, output, 0))

  grads = jax.jit(jax.grad(second_segment, (0, 1, 2)))(query, key, value)
  for grad in grads:
    assert np.all(np.asarray(grad)[segment_ids != 2] == 0)
    assert np.any(np.asarray(grad)[segment_ids == 2] != 0)


def test_huge_scores_stay_finite():
  query, key, value = _inputs(7)
  output = _attend(
    1e4 * query, 1e4 * key, value, segment_ids=np.ones((_B, 7), np.int32)
  )
  assert np.all(np.isfinite(output))


def test_bfloat16_in_is_bfloat16_out_with_a_float32_softmax():
  # Uniform scores over 258 keys of value 1: bfloat16 sums would stop at 256.
  ones = jnp.ones((1, 258, 2, 4), jnp.bfloat16)
  output = _attend(ones, ones, ones, segment_ids=np.ones((1, 258), np.int32))
  assert output.dtype == jnp.bfloat16
  np.testing.assert_allclose(output.astype(jnp.float32), 1.0, rtol=2**-7)


def test_unknown_backend_is_refused():
  query, key, value = _inputs(1)
  with pytest.raises(
    ValueError, match="attention='flash' is not one of xla, splash, cudnn"
  ):
    attention.attend(
      jnp.asarray(query),
      jnp.asarray(key),
      jnp.asarray(value),
      segment_ids=jnp.ones((_B, 1), jnp.int32),
      backend="flash",
    )


@pytest.mark.parametrize(
  "name,platform,chosen",
  [
    ("auto", "cpu", "xla"),
    ("auto", "gpu", "cudnn"),
    ("auto", "cuda", "cudnn"),
    ("auto", "tpu", "splash"),
    ("xla", "tpu", "xla"),
    ("xla", "gpu", "xla"),
    ("splash", "tpu", "splash"),
    ("cudnn", "cuda", "cudnn"),
  ],
)
def test_backend_follows_the_platform(name, platform, chosen):
  assert attention.choose_backend(name, platform, cudnn=True) == chosen


def test_auto_leaves_cudnn_what_it_can_do():
  assert attention.choose_backend("auto", "gpu", cudnn=False) == "xla"
  assert attention.choose_backend("auto", "tpu", cudnn=False) == "splash"
  # Who names it is told by the kernel itself.
  assert attention.choose_backend("cudnn", "gpu", cudnn=False) == "cudnn"


@pytest.mark.parametrize(
  "name,platform,wording",
  [
    (
      "splash",
      "gpu",
      "'splash' does not run on gpu: set .* to 'cudnn' or 'xla'",
    ),
    (
      "cudnn",
      "tpu",
      "'cudnn' does not run on tpu: set .* to 'splash' or 'xla'",
    ),
    ("cudnn", "cpu", "'cudnn' does not run on cpu: set .* to 'xla'"),
    ("flash", "tpu", "'flash' is not one of auto, xla, splash, cudnn"),
    ("xla", "rocm", "'rocm' is not one of cpu, gpu, tpu"),
  ],
)
def test_backend_that_does_not_run_is_refused(name, platform, wording):
  with pytest.raises(ValueError, match=wording):
    attention.choose_backend(name, platform, cudnn=False)


def test_backends_are_those_of_a_config():
  assert tuple(attention.BACKENDS) == config.ATTENTION_BACKENDS


def test_cached_attention_equals_a_loop_over_queries():
  _, key, value = _inputs(9)
  query = _inputs(3, seed=1)[0]
  slots = np.array([[0, 1, 2], [5, 6, 8]], np.int32)
  output = _attend_cache(query, key, value, slots=slots)
  for b, t, n in np.ndindex(_B, 3, _N):
    seen = slice(slots[b, t] + 1)
    kv_head = n // (_N // _K)
    expected = _one_query(
      query[b, t, n], key[b, seen, kv_head], value[b, seen, kv_head]
    )
    np.testing.assert_allclose(output[b, t, n], expected, rtol=1e-5, atol=1e-5)


def test_no_bit_depends_on_later_slots():
  _, key, value = _inputs(9)
  query = _inputs(3, seed=1)[0]
  slots = np.array([[0, 1, 2], [3, 4, 5]], np.int32)
  later = np.arange(9)[None] > slots[:, -1:]
  before = _attend_cache(query, key, value, slots=slots)
  after = _attend_cache(query, *_with_noise([key, value], later), slots=slots)
  np.testing.assert_array_equal(before, after)


_attend_window = jax.jit(attention.attend, static_argnames="window")


@functools.partial(jax.jit, static_argnames="window")
def _attend_cache_window(query, key, value, slots, window):
  return attention.attend_cache(
    query, *one_layer(key, value), slots=slots, window=window
  )


def _dense(query, key, value, seen):
  """Softmax attention in float64 under a mask [B, T, S]."""
  key = np.repeat(key.astype(np.float64), _N // _K, axis=2)
  value = np.repeat(value.astype(np.float64), _N // _K, axis=2)
  scores = np.einsum("BTNH,BSNH->BNTS", query.astype(np.float64), key)
  scores = np.where(seen[:, None], scores / np.sqrt(_H), -np.inf)
  weights = np.exp(scores - scores.max(-1, keepdims=True))
  weights /= weights.sum(-1, keepdims=True)
  return np.einsum("BNTS,BSNH->BTNH", weights, value)


# Within a block of 64 queries, a whole one, over several, longer than the row.
@pytest.mark.parametrize("window", [1, 5, 64, 65, 200, 1000])
@pytest.mark.parametrize("length", [7, 128, 512])
def test_window_equals_dense_masking(length, window):
  arrays = _inputs(length)
  segment_ids = _segments(length)
  at = np.arange(length)
  distance = at[:, None] - at[None]
  seen = (distance >= 0) & (distance < window)
  seen = seen[None] & (segment_ids[:, :, None] == segment_ids[:, None])
  output = _attend_window(*arrays, segment_ids=segment_ids, window=window)
  np.testing.assert_allclose(
    output, _dense(*arrays, seen), rtol=1e-5, atol=1e-5
  )


def test_window_as_long_as_the_row_changes_no_bit():
  arrays = _inputs(512)
  segment_ids = _segments(512)
  np.testing.assert_array_equal(
    _attend_window(*arrays, segment_ids=segment_ids, window=512),
    _attend_window(*arrays, segment_ids=segment_ids, window=None),
  )


@pytest.mark.parametrize("changed", [0, 63, 64, 130, 400])
@pytest.mark.parametrize("window", [1, 3, 64, 100])
def test_no_bit_depends_on_keys_beyond_the_window(window, changed):
  arrays = _inputs(512)
  segment_ids = np.ones((_B, 512), np.int32)
  hit = np.zeros((_B, 512), bool)
  hit[:, changed] = True
  query, key, value = arrays
  before = _attend_window(
    query, key, value, segment_ids=segment_ids, window=window
  )
  after = _attend_window(
    query,
    *_with_noise([key, value], hit),
    segment_ids=segment_ids,
    window=window,
  )
  differs = np.any(np.asarray(before != after), axis=(0, 2, 3))
  # The query itself and the window - 1 after it, but none at distance window.
  np.testing.assert_array_equal(
    np.flatnonzero(differs), np.arange(changed, min(changed + window, 512))
  )


@pytest.mark.parametrize("window", [1, 3, 20])
def test_cached_window_equals_dense_masking(window):
  _, key, value = _inputs(9)
  query = _inputs(3, seed=1)[0]
  slots = np.array([[0, 1, 2], [5, 6, 8]], np.int32)
  distance = slots[:, :, None] - np.arange(9)
  seen = (distance >= 0) & (distance < window)
  output = _attend_cache_window(query, key, value, slots=slots, window=window)
  np.testing.assert_allclose(
    output, _dense(query, key, value, seen), rtol=1e-5, atol=1e-5
  )


def _branches(segment_ids):
  """Each segment is a prefix and the branches 1, 2 and 3."""
  branch_ids = np.zeros_like(segment_ids)
  for b, row in enumerate(segment_ids):
    for segment in set(row.tolist()) - {0}:
      at = np.flatnonzero(row == segment)
      for branch, start in ((1, 3), (2, 5), (3, 7)):
        branch_ids[b, at[start * len(at) // 9 :]] = branch
  return branch_ids


@pytest.mark.parametrize("length", _LENGTHS)
def test_branches_equal_a_loop_over_queries(length):
  arrays = _inputs(length)
  segment_ids = _segments(length)
  branch_ids = _branches(segment_ids)
  output = _attend(*arrays, segment_ids=segment_ids, branch_ids=branch_ids)
  expected = _naive(*arrays, segment_ids, branch_ids)
  np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)


def test_hand_value_of_two_branches():
  # The prompt and two answers of a token each: scores of a query with itself
  # are log 3, with the prompt 0, so weights are 1/4 and 3/4.
  query = jnp.array([0.0, 1.0, 1.0]).reshape(1, 3, 1, 1)
  key = jnp.array([0.0, np.log(3.0), np.log(3.0)], jnp.float32)
  value = jnp.array([8.0, 4.0, 16.0]).reshape(1, 3, 1, 1)
  output = _attend(
    query,
    key.reshape(1, 3, 1, 1),
    value,
    segment_ids=jnp.ones((1, 3), jnp.int32),
    branch_ids=jnp.array([[0, 1, 2]], jnp.int32),
  )
  np.testing.assert_allclose(output[0, :, 0, 0], [8.0, 5.0, 14.0], rtol=1e-6)


@pytest.mark.parametrize("length", [18, 128, 512])
@pytest.mark.parametrize("changed", [1, 2, 3])
def test_no_bit_of_a_branch_depends_on_another(length, changed):
  arrays = _inputs(length)
  ids = dict(segment_ids=_segments(length))
  ids["branch_ids"] = _branches(ids["segment_ids"])
  hit = (ids["segment_ids"] == 2) & (ids["branch_ids"] == changed)
  before = np.asarray(_attend(*arrays, **ids))
  after = np.asarray(_attend(*_with_noise(arrays, hit), **ids))
  np.testing.assert_array_equal(before[~hit], after[~hit])
  # Not one of its own outputs stayed.
  assert np.all(np.any(before != after, axis=(2, 3))[hit])


def test_every_branch_depends_on_its_prefix():
  arrays = _inputs(18)
  ids = dict(segment_ids=_segments(18))
  ids["branch_ids"] = _branches(ids["segment_ids"])
  hit = (ids["segment_ids"] == 2) & (ids["branch_ids"] == 0)
  before = np.asarray(_attend(*arrays, **ids))
  after = np.asarray(_attend(*_with_noise(arrays, hit), **ids))
  moved = np.any(before != after, axis=(2, 3))
  np.testing.assert_array_equal(moved, ids["segment_ids"] == 2)


@pytest.mark.parametrize("branch", [1, 2, 3])
def test_no_gradient_crosses_branches(branch):
  query, key, value = _inputs(18)
  segment_ids = _segments(18)
  branch_ids = _branches(segment_ids)
  own = branch_ids == branch

  def of_branch(query, key, value):
    output = attention.attend(
      query,
      key,
      value,
      segment_ids=jnp.asarray(segment_ids),
      branch_ids=jnp.asarray(branch_ids),
    )
    return jnp.sum(jnp.where(own[:, :, None, None], output, 0))

  grads = jax.jit(jax.grad(of_branch, (0, 1, 2)))(query, key, value)
  for i, grad in enumerate(grads):
    reached = np.any(np.asarray(grad) != 0, axis=(2, 3))
    # Keys and values of the prefix too.
    seen = own | ((branch_ids == 0) & (segment_ids > 0))
    np.testing.assert_array_equal(reached, own if i == 0 else seen)


def test_one_branch_changes_no_bit():
  arrays = _inputs(128)
  segment_ids = _segments(128)
  expected = _attend(*arrays, segment_ids=segment_ids)
  for branch_ids in (np.zeros_like(segment_ids), segment_ids):
    output = _attend(*arrays, segment_ids=segment_ids, branch_ids=branch_ids)
    np.testing.assert_array_equal(output, expected)


def test_branches_and_a_window_are_refused():
  query, key, value = map(jnp.asarray, _inputs(7))
  ids = jnp.ones((_B, 7), jnp.int32)
  with pytest.raises(
    ValueError, match=r"sliding_window=4 .* set data\.share_prompt=False"
  ):
    attention.attend(
      query, key, value, segment_ids=ids, branch_ids=ids, window=4
    )
