# SPDX-License-Identifier: Apache-2.0
"""Perplexity: by hand, over batches of unequal weight, beside a baseline."""

import math

import jax.numpy as jnp
import numpy as np

from ramjax.data.batches import TokenBatch
from ramjax.evals import perplexity
from ramjax.evals.likelihood import next_token_targets
from ramjax.losses.weighted_mean import WeightedMean


def test_perplexity_is_exp_of_the_mean_over_tokens_not_over_batches():
  # Batches of 3 and 1 tokens with means 1 and 5: the mean over tokens is 2.
  parts = [
    WeightedMean(jnp.float32(3.0), jnp.float32(3.0)),
    WeightedMean(jnp.float32(5.0), jnp.float32(1.0)),
  ]
  scores = perplexity.perplexity(None, parts, lambda params, batch: batch)
  assert scores["loss"] == 2.0
  np.testing.assert_allclose(scores["perplexity"], math.exp(2.0))


def test_a_hopeless_model_is_infinite_not_an_error():
  part = WeightedMean(jnp.float32(1e4), jnp.float32(1.0))
  scores = perplexity.perplexity(None, [part], lambda params, batch: batch)
  assert scores["perplexity"] == math.inf


def test_unigram_perplexity_by_hand():
  # Counts 1 + (2, 1, 0, 0) of 4 ids: probabilities 3/7, 2/7, 1/7, 1/7.
  value = perplexity.unigram_perplexity(
    [np.array([0, 0]), np.array([1])],
    [np.array([0, 3])],
    vocab_size=4,
  )
  np.testing.assert_allclose(value, math.sqrt(7 / 3 * 7))


def test_unigram_perplexity_of_a_uniform_corpus_is_the_vocabulary():
  tokens = np.arange(10)
  value = perplexity.unigram_perplexity([tokens], [tokens], vocab_size=10)
  np.testing.assert_allclose(value, 10.0)


def test_targets_never_cross_a_segment_or_wrap_around_a_row():
  batch = TokenBatch(
    tokens=jnp.array([[5, 6, 7, 8, 9, 0]]),
    # Even a mask that supervises a first token must not reach across.
    response_mask=jnp.array([[True, True, False, True, True, False]]),
    segment_ids=jnp.array([[1, 1, 1, 2, 2, 0]]),
    positions=jnp.array([[0, 1, 2, 0, 1, 0]]),
  )
  targets, mask = next_token_targets(batch)
  assert targets[0, :5].tolist() == [6, 7, 8, 9, 0]
  assert mask[0].tolist() == [True, False, False, True, False, False]


def test_the_last_position_never_predicts_the_first_token():
  batch = TokenBatch(
    tokens=jnp.array([[5, 6]]),
    response_mask=jnp.array([[True, True]]),
    segment_ids=jnp.array([[1, 1]]),
    positions=jnp.array([[0, 1]]),
  )
  _, mask = next_token_targets(batch)
  assert mask[0].tolist() == [True, False]
