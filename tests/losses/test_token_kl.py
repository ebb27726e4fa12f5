# SPDX-License-Identifier: Apache-2.0
"""Divergence at each token: hand values, a dense reference, chunks, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.token_kl import token_kl

_N, _D, _E, _V = 12, 5, 3, 9


def _inputs(seed=0):
  keys = jax.random.split(jax.random.key(seed), 5)
  return dict(
    hidden=jax.random.normal(keys[0], (_N, _D)),
    kernel=jax.random.normal(keys[1], (_D, _V)),
    ref_hidden=jax.random.normal(keys[2], (_N, _E)),
    ref_kernel=jax.random.normal(keys[3], (_E, _V)),
    mask=jax.random.bernoulli(keys[4], 0.6, (_N,)),
  )


def _dense(hidden, kernel, ref_hidden, ref_kernel, mask):
  own = jax.nn.log_softmax(hidden @ kernel)
  ref = jax.nn.log_softmax(ref_hidden @ ref_kernel)
  return np.where(mask, np.sum(np.exp(own) * (own - ref), axis=1), 0.0)


def test_two_tokens_by_hand():
  # (3/4, 1/4) against (1/2, 1/2): 3/4 log 3/2 + 1/4 log 1/2.
  kl = token_kl(
    hidden=jnp.array([[np.log(3.0), 0.0]], jnp.float32),
    kernel=jnp.eye(2),
    ref_hidden=jnp.zeros((1, 2)),
    ref_kernel=jnp.eye(2),
    mask=jnp.array([True]),
  )
  np.testing.assert_allclose(
    kl, [0.75 * np.log(1.5) + 0.25 * np.log(0.5)], rtol=1e-6
  )


@pytest.mark.parametrize("chunk_size", [1, 3, 5, 100])
def test_equals_the_dense_divergence(chunk_size):
  inputs = _inputs()
  kl = token_kl(**inputs, chunk_size=chunk_size)
  np.testing.assert_allclose(kl, _dense(**inputs), rtol=1e-5, atol=1e-6)


def test_a_model_does_not_diverge_from_itself():
  inputs = _inputs()
  inputs |= dict(ref_hidden=inputs["hidden"], ref_kernel=inputs["kernel"])
  np.testing.assert_array_equal(token_kl(**inputs), np.zeros(_N))


def test_an_unsupervised_token_is_not_looked_at():
  inputs = _inputs()
  where = int(np.flatnonzero(~np.asarray(inputs["mask"]))[0])
  spoilt = inputs["hidden"].at[where].set(jnp.nan)
  np.testing.assert_array_equal(
    token_kl(**inputs), token_kl(**{**inputs, "hidden": spoilt})
  )


def test_chunks_of_nothing_are_refused():
  with pytest.raises(ValueError, match="chunk_size=0"):
    token_kl(**_inputs(), chunk_size=0)
