# SPDX-License-Identifier: Apache-2.0
"""token_gaps: the target's logit over a candidate's, and two columns' gradient."""

import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.token_gaps import token_gaps

_N, _D, _V, _K = 24, 8, 11, 3

# Jitted: each operation by itself would be a program to compile.
_gaps = jax.jit(
  token_gaps, static_argnames=("stop_candidate_gradient", "chunk_size")
)


def _inputs(dtype: Any = jnp.float32) -> dict[str, Any]:
  rng = np.random.default_rng(0)
  return dict(
    hidden=jnp.asarray(rng.normal(size=(_N, _D)), dtype),
    kernel=jnp.asarray(rng.normal(size=(_D, _V)), jnp.float32),
    targets=jnp.asarray(rng.integers(0, _V, _N), jnp.int32),
    mask=jnp.asarray(rng.random(_N) < 0.6),
    noise=jnp.asarray(rng.gumbel(size=(_N, _K)), jnp.float32),
  )


def _of_logits(logits, targets, noise=None, stop=False):
  """Gaps of given logits: identity hidden states, the logits as kernel."""
  logits = jnp.asarray(logits, jnp.float32)
  count = len(logits)
  return _gaps(
    hidden=np.eye(count, dtype=np.float32),
    kernel=logits,
    targets=np.asarray(targets, np.int32),
    mask=np.ones(count, bool),
    noise=np.asarray(np.zeros((count, 1)) if noise is None else noise),
    stop_candidate_gradient=stop,
  )


@functools.partial(jax.jit, static_argnames="stop")
def _dense(hidden, kernel, targets, mask, noise, stop):
  """The same from all the logits, the way the paper's code goes about it.

  Takes the top K + 1 and drops the target from them, or else their last.
  """
  logits = hidden @ kernel
  rows = jnp.arange(len(targets))
  top, tokens = jax.lax.top_k(logits, noise.shape[1] + 1)
  is_target = tokens == targets[:, None]
  last = jnp.arange(top.shape[1]) == noise.shape[1]
  drop = is_target | (last[None, :] & ~is_target.any(1, keepdims=True))
  keep = jnp.argsort(drop, axis=1, stable=True)[:, :-1]
  top = jnp.take_along_axis(top, keep, axis=1)
  drawn = jnp.argmax(jax.lax.stop_gradient(top) + noise, axis=1)
  candidate = top[rows, drawn]
  candidate = jax.lax.stop_gradient(candidate) if stop else candidate
  return jnp.where(mask, logits[rows, targets] - candidate, 0)


@pytest.mark.parametrize(
  "target,gap",
  [(0, 3.0 - 2.0), (1, 1.0 - 3.0), (2, 2.0 - 3.0), (3, -1.0 - 3.0)],
)
def test_one_candidate_is_the_largest_other_logit(target, gap):
  gaps = _of_logits([[3.0, 1.0, 2.0, -1.0]], [target])
  np.testing.assert_allclose(gaps, [gap])


def test_tokens_of_the_published_example_have_its_losses():
  # softplus(1) and softplus(-1): 1.313262 and 0.313262.
  gaps = _of_logits(
    [[1.0, 2.0, 0.5, 0.0, -1.0], [0.3, 0.2, 2.5, 1.5, 0.0]], [1, 3]
  )
  np.testing.assert_allclose(gaps, [1.0, -1.0])


@pytest.mark.parametrize(
  "noise,gap",
  [
    # Others, descending: 2, 1, -1. Target: 3.
    ([0.0, 0.0, 0.0], 3 - 2),
    ([0.0, 1.1, 0.0], 3 - 1),
    ([0.0, 1.1, 4.0], 3 + 1),
  ],
)
def test_noise_belongs_to_the_candidates_in_descending_order(noise, gap):
  gaps = _of_logits([[-1.0, 3.0, 1.0, 2.0]], [1], noise=[noise])
  np.testing.assert_allclose(gaps, [gap])


def test_logits_that_tie_with_the_target_are_candidates():
  np.testing.assert_array_equal(_of_logits([[5.0, 5.0, 5.0]], [1]), [0.0])


def test_candidates_are_drawn_from_the_softmax_of_their_logits():
  # Logits 2, 1, 0 beside a target of 9, of which the first two count.
  draws = 4000
  noise = np.random.default_rng(3).gumbel(size=(draws, 2))
  gaps = _gaps(
    hidden=np.ones((draws, 1), np.float32),
    kernel=np.array([[2.0, 9.0, 1.0, 0.0]], np.float32),
    targets=np.ones(draws, np.int32),
    mask=np.ones(draws, bool),
    noise=jnp.asarray(noise, jnp.float32),
    stop_candidate_gradient=False,
  )
  seen = np.array(
    [(np.asarray(gaps) == 7).sum(), (np.asarray(gaps) == 8).sum()]
  )
  assert seen.sum() == draws
  expected = draws * np.exp([2.0, 1.0]) / np.exp([2.0, 1.0]).sum()
  # Chi-square of one degree of freedom: 6.63 is exceeded once in a hundred.
  assert ((seen - expected) ** 2 / expected).sum() < 6.63


@pytest.mark.parametrize(
  "chunk_size,num_candidates",
  [(1, 1), (5, _K), (8, _K), (5, _V - 1), (1000, 2)],
)
def test_any_chunking_equals_the_dense_gaps(chunk_size, num_candidates):
  inputs = _inputs()
  inputs["noise"] = jnp.asarray(
    np.random.default_rng(5).gumbel(size=(_N, num_candidates)), jnp.float32
  )
  gaps = _gaps(
    **inputs,
    stop_candidate_gradient=False,
    chunk_size=chunk_size,
  )
  np.testing.assert_allclose(gaps, _dense(**inputs, stop=False), atol=1e-5)


@pytest.mark.parametrize(
  "chunk_size,stop", [(5, False), (3, True), (100, False)]
)
def test_gradient_equals_that_of_the_dense_gaps(stop, chunk_size):
  inputs = _inputs()
  weights = np.random.default_rng(1).normal(size=_N).astype(np.float32)

  def total(hidden, kernel):
    gaps = token_gaps(
      **dict(inputs, hidden=hidden, kernel=kernel),
      stop_candidate_gradient=stop,
      chunk_size=chunk_size,
    )
    return jnp.sum(weights * gaps)

  def dense_total(hidden, kernel):
    changed = dict(inputs, hidden=hidden, kernel=kernel)
    return jnp.sum(weights * _dense(**changed, stop=stop))

  at = (inputs["hidden"], inputs["kernel"])
  grads = jax.jit(jax.grad(total, (0, 1)))(*at)
  expected = jax.jit(jax.grad(dense_total, (0, 1)))(*at)
  np.testing.assert_allclose(grads[0], expected[0], atol=1e-5)
  np.testing.assert_allclose(grads[1], expected[1], atol=1e-5)


@pytest.mark.parametrize("stop,candidate", [(False, -2.0), (True, 0.0)])
def test_gradient_reaches_two_logits_or_one(stop, candidate):
  # d gap / d logits: 1 for the target, -1 for the candidate or 0.
  logits = jnp.array([[3.0, 1.0, 2.0, -1.0]])
  grad = jax.jit(jax.grad(lambda z: 2 * _of_logits(z, [1], stop=stop)[0]))(
    logits
  )
  np.testing.assert_array_equal(grad, [[candidate, 2.0, 0.0, 0.0]])


def test_every_supervised_token_counts_once_when_the_last_chunk_overruns():
  inputs = dict(_inputs(), mask=np.ones(_N, bool))

  def gradient(gaps_of):
    def total(hidden):
      return jnp.sum(gaps_of(dict(inputs, hidden=hidden)))

    return jax.jit(jax.grad(total))(inputs["hidden"])

  grad = gradient(
    lambda x: _gaps(**x, stop_candidate_gradient=False, chunk_size=7)
  )
  expected = gradient(lambda x: _dense(**x, stop=False))
  np.testing.assert_allclose(grad, expected, atol=1e-5)


def test_unsupervised_tokens_are_zero_and_carry_no_gradient():
  inputs = _inputs()
  unsupervised = ~np.asarray(inputs["mask"])
  poisoned = np.array(inputs["hidden"])
  poisoned[unsupervised.argmax()] = np.nan

  def total(hidden, kernel):
    changed = dict(inputs, hidden=hidden, kernel=kernel)
    gaps = token_gaps(**changed, stop_candidate_gradient=False, chunk_size=5)
    return jnp.sum(gaps), gaps

  grads, gaps = jax.jit(jax.grad(total, (0, 1), has_aux=True))(
    poisoned, inputs["kernel"]
  )
  assert (np.asarray(gaps)[unsupervised] == 0).all()
  assert (np.asarray(grads[0])[unsupervised] == 0).all()
  assert (np.asarray(grads[0])[~unsupervised] != 0).any(axis=1).all()
  assert np.isfinite(grads[1]).all()


def test_no_supervised_token_gives_zeros_and_a_zero_gradient():
  inputs = dict(_inputs(), mask=np.zeros(_N, bool))

  @jax.jit
  @jax.value_and_grad
  def total(kernel):
    changed = dict(inputs, kernel=kernel)
    return jnp.sum(_gaps(**changed, stop_candidate_gradient=False))

  value, grad = total(inputs["kernel"])
  assert value == 0 and not np.any(grad)


def test_bfloat16_hidden_states_keep_float32_sums():
  inputs = _inputs(jnp.bfloat16)
  rounded = dict(
    inputs,
    hidden=np.float32(inputs["hidden"]),
    kernel=np.float32(np.asarray(inputs["kernel"]).astype(jnp.bfloat16)),
  )

  def total(hidden, kernel):
    changed = dict(inputs, hidden=hidden, kernel=kernel)
    gaps = token_gaps(**changed, stop_candidate_gradient=False)
    return jnp.sum(gaps), gaps

  at = (inputs["hidden"], inputs["kernel"])
  grads, gaps = jax.jit(jax.grad(total, (0, 1), has_aux=True))(*at)
  assert gaps.dtype == jnp.float32
  np.testing.assert_allclose(gaps, _dense(**rounded, stop=False), atol=1e-5)

  def dense_total(hidden, kernel):
    changed = dict(rounded, hidden=hidden, kernel=kernel)
    return jnp.sum(_dense(**changed, stop=False))

  expected = jax.jit(jax.grad(dense_total, (0, 1)))(
    rounded["hidden"], rounded["kernel"]
  )
  assert grads[0].dtype == jnp.bfloat16 and grads[1].dtype == jnp.float32
  np.testing.assert_allclose(np.float32(grads[0]), expected[0], rtol=1e-2)
  np.testing.assert_allclose(grads[1], expected[1], atol=1e-5)


def test_a_bfloat16_kernel_sums_its_gradient_in_float32():
  # 300 tokens that add 1 each to one column: bfloat16 sums stop at 256.
  @jax.jit
  @jax.grad
  def gradient(kernel):
    gaps = _gaps(
      hidden=np.ones((300, 1), jnp.bfloat16),
      kernel=kernel,
      targets=np.zeros(300, np.int32),
      mask=np.ones(300, bool),
      noise=np.zeros((300, 1), np.float32),
      stop_candidate_gradient=True,
      chunk_size=1,
    )
    return jnp.sum(gaps)

  kernel_grad = gradient(np.ones((1, 2), jnp.bfloat16))
  np.testing.assert_array_equal(np.float32(kernel_grad), [[300, 0]])


def test_logits_exist_for_one_chunk_and_not_in_the_backward_pass():
  count, vocabulary, chunk_size = 96, 211, 5
  inputs = dict(
    hidden=jnp.ones((count, _D)),
    kernel=jnp.ones((_D, vocabulary)),
    targets=jnp.zeros(count, jnp.int32),
    mask=jnp.ones(count, bool),
    noise=jnp.zeros((count, 1)),
  )

  def total(hidden):
    return jnp.sum(
      token_gaps(
        **dict(inputs, hidden=hidden),
        stop_candidate_gradient=False,
        chunk_size=chunk_size,
      )
    )

  program = str(jax.make_jaxpr(jax.grad(total))(inputs["hidden"]))
  widths = {
    int(shape.split(",")[0])
    for shape in re.findall(r"f32\[([\d,]+)\]", program)
    if shape.endswith(f",{vocabulary}")
  }
  assert widths == {_D, chunk_size}
  # One matmul of logits: the backward pass looks columns up.
  assert program.count("= dot_general[") == 1


def test_huge_logits_stay_finite():
  gaps = _of_logits([[1e30, -1e30], [1e30, -1e30]], [0, 1])
  np.testing.assert_allclose(gaps, [2e30, -2e30])


@pytest.mark.parametrize("width", [0, _V])
def test_more_candidates_than_other_tokens_or_none_are_refused(width):
  inputs = dict(_inputs(), noise=jnp.zeros((_N, width)))
  with pytest.raises(ValueError, match=rf"K={width} .* in \[1, 10\]"):
    token_gaps(**inputs, stop_candidate_gradient=False)


def test_chunks_of_nothing_are_refused():
  with pytest.raises(ValueError, match="chunk_size=0"):
    _gaps(**_inputs(), stop_candidate_gradient=False, chunk_size=0)


def test_noise_of_other_tokens_is_refused():
  inputs = dict(_inputs(), noise=jnp.zeros((_N - 1, _K)))
  with pytest.raises(TypeError, match="noise"):
    token_gaps(**inputs, stop_candidate_gradient=False)
