# SPDX-License-Identifier: Apache-2.0
"""Divergence at each token: hand values, a dense reference, chunks, refusals."""

import jax
import numpy as np
import pytest

from ramjax.losses.token_kl import token_kl

_N, _D, _E, _V = 12, 5, 3, 9


# Jitted: each operation by itself would be a program to compile.
_kl = jax.jit(token_kl, static_argnames="chunk_size")


def _inputs(seed=0):
  rng = np.random.default_rng(seed)
  shapes = dict(
    hidden=(_N, _D), kernel=(_D, _V), ref_hidden=(_N, _E), ref_kernel=(_E, _V)
  )
  arrays = {k: rng.normal(size=shape) for k, shape in shapes.items()}
  return {k: x.astype(np.float32) for k, x in arrays.items()} | dict(
    mask=rng.random(_N) < 0.6
  )


def _log_softmax(logits):
  return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def _dense(hidden, kernel, ref_hidden, ref_kernel, mask):
  own = _log_softmax(hidden @ kernel)
  ref = _log_softmax(ref_hidden @ ref_kernel)
  return np.where(mask, np.sum(np.exp(own) * (own - ref), axis=1), 0.0)


def test_two_tokens_by_hand():
  # (3/4, 1/4) against (1/2, 1/2): 3/4 log 3/2 + 1/4 log 1/2.
  kl = _kl(
    hidden=np.float32([[np.log(3.0), 0.0]]),
    kernel=np.eye(2, dtype=np.float32),
    ref_hidden=np.zeros((1, 2), np.float32),
    ref_kernel=np.eye(2, dtype=np.float32),
    mask=np.array([True]),
  )
  np.testing.assert_allclose(
    kl, [0.75 * np.log(1.5) + 0.25 * np.log(0.5)], rtol=1e-6
  )


@pytest.mark.parametrize("chunk_size", [1, 3, 5, 100])
def test_equals_the_dense_divergence(chunk_size):
  inputs = _inputs()
  kl = _kl(**inputs, chunk_size=chunk_size)
  np.testing.assert_allclose(kl, _dense(**inputs), rtol=1e-5, atol=1e-6)


def test_a_model_does_not_diverge_from_itself():
  inputs = _inputs()
  inputs |= dict(ref_hidden=inputs["hidden"], ref_kernel=inputs["kernel"])
  np.testing.assert_array_equal(_kl(**inputs), np.zeros(_N))


def test_an_unsupervised_token_is_not_looked_at():
  inputs = _inputs()
  spoilt = inputs["hidden"].copy()
  spoilt[np.flatnonzero(~inputs["mask"])[0]] = np.nan
  np.testing.assert_array_equal(
    _kl(**inputs), _kl(**{**inputs, "hidden": spoilt})
  )


def test_chunks_of_nothing_are_refused():
  with pytest.raises(ValueError, match="chunk_size=0"):
    _kl(**_inputs(), chunk_size=0)
