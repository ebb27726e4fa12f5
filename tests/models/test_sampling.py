# SPDX-License-Identifier: Apache-2.0
"""Sampling: greedy is the argmax of the full forward; rows are independent."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.models import heads, llama, sampling

_NEW = 6
_LENGTHS = (3, 8, 5)


# Half the time to compile.
_QUICK = {"xla_backend_optimization_level": 0}

_generate = jax.jit(
  sampling.generate,
  static_argnames=("config", "max_new_tokens", "stop_tokens", "temperature"),
  compiler_options=_QUICK,
)


@functools.partial(jax.jit, static_argnames="config", compiler_options=_QUICK)
def _logits(params, config, tokens):
  at = jnp.broadcast_to(jnp.arange(tokens.shape[1])[None], tokens.shape)
  hidden = llama.apply(params, config, tokens, positions=at)
  return heads.lm_logits(params, config, hidden)


def _prompts(config):
  rng = np.random.default_rng(2)
  return [rng.integers(0, config.vocab_size, size) for size in _LENGTHS]


@pytest.fixture(scope="module")
def reference(config, params):
  """Greedy continuations [3, 6] without a cache, one forward per token."""
  rows = np.zeros((3, max(_LENGTHS) + _NEW), np.int32)
  for row, prompt in zip(rows, _prompts(config), strict=True):
    row[: len(prompt)] = prompt
  ends = np.array(_LENGTHS)
  for step in range(_NEW):
    logits = _logits(params, config, rows)
    last = np.asarray(logits)[np.arange(3), ends + step - 1]
    rows[np.arange(3), ends + step] = last.argmax(-1)
  return np.stack(
    [row[n : n + _NEW] for row, n in zip(rows, _LENGTHS, strict=True)]
  )


@pytest.fixture(scope="module")
def stopped(reference):
  """A stop token of row 0 and one of row 1, and where rows first meet one."""
  stops = int(reference[0, 2]), int(reference[1, 0])
  hits = np.isin(reference, stops)
  return stops, np.where(hits.any(1), hits.argmax(1), _NEW)


def _greedy(params, config, prompts, stop_tokens):
  tokens, lengths = sampling.pad_prompts(prompts, batch_size=3, multiple=10)
  return _generate(
    params,
    config,
    tokens,
    lengths,
    max_new_tokens=_NEW,
    stop_tokens=stop_tokens,
  )


def test_greedy_is_the_argmax_of_the_full_forward_until_a_stop_token(
  config, params, reference, stopped
):
  stops, expected = stopped
  # The case is worth testing: one row stops at once, one in the middle, one
  # never.
  assert expected[1] == 0 and 0 < expected[0] < _NEW and expected[2] == _NEW
  tokens, lengths = _greedy(params, config, _prompts(config), stops)
  np.testing.assert_array_equal(lengths, expected)
  for row, length in enumerate(expected):
    np.testing.assert_array_equal(tokens[row, :length], reference[row, :length])


@pytest.mark.parametrize("row", range(3))
def test_no_row_depends_on_the_others(config, params, stopped, row):
  stops, _ = stopped
  together = _greedy(params, config, _prompts(config), stops)
  # `pad_prompts` fills up with the first prompt: the others are copies.
  alone = _greedy(params, config, [_prompts(config)[row]], stops)
  length = together.lengths[row]
  np.testing.assert_array_equal(alone.lengths, [length] * 3)
  for tokens in np.asarray(alone.tokens):
    np.testing.assert_array_equal(
      tokens[:length], np.asarray(together.tokens)[row, :length]
    )


def _chi_square(counts, logits):
  exact = np.exp(logits - logits.max())
  expected = counts.sum() * exact / exact.sum()
  return np.sum((counts - expected) ** 2 / expected)


def test_samples_follow_the_softmax_at_the_temperature(config, params):
  vocab, batch, temperature = 8, 4096, 0.5
  config = dataclasses.replace(config, vocab_size=vocab)
  params = params | {
    "embed": {"embedding": params["embed"]["embedding"][:vocab]},
    "lm_head": {"kernel": params["lm_head"]["kernel"][:, :vocab]},
  }
  prompt = np.array([[3, 1, 4]], np.int32)
  tokens, lengths = _generate(
    params,
    config,
    prompt.repeat(batch, 0),
    np.full(batch, 3, np.int32),
    max_new_tokens=2,
    stop_tokens=(),
    temperature=temperature,
    key=jax.random.key(0),
  )
  first, second = np.asarray(tokens).T
  assert np.all(np.asarray(lengths) == 2)
  # Chi-square of 7 degrees of freedom: 7 on average, above 30 once in 10,000.
  longer = np.array([[3, 1, 4, 0]], np.int32)
  logits = np.asarray(_logits(params, config, longer), np.float64)[0, 2]
  counts = np.bincount(first, minlength=vocab)
  assert _chi_square(counts, logits / temperature) < 30
  # The bound can tell: temperature 1 would be far outside.
  assert _chi_square(counts, logits) > 150
  # The second token, given the first: its key is a new one.
  common = counts.argmax()
  longer[0, 3] = common
  logits = np.asarray(_logits(params, config, longer), np.float64)[0, 3]
  counts = np.bincount(second[first == common], minlength=vocab)
  assert _chi_square(counts, logits / temperature) < 30


@pytest.mark.parametrize("temperature", [0.7, -1.0])
def test_temperature_without_a_key_is_refused(config, params, temperature):
  with pytest.raises(
    ValueError, match=rf"temperature={temperature} must be 0 \(greedy\), or"
  ):
    sampling.generate(
      params,
      config,
      np.zeros((1, 2), np.int32),
      np.ones(1, np.int32),
      max_new_tokens=1,
      stop_tokens=(),
      temperature=temperature,
    )


def test_prompts_are_right_padded_to_a_multiple():
  prompts = [np.array([5, 6, 7]), np.array([8])]
  tokens, lengths = sampling.pad_prompts(prompts, batch_size=3, multiple=4)
  np.testing.assert_array_equal(
    tokens, [[5, 6, 7, 0], [8, 0, 0, 0], [5, 6, 7, 0]]
  )
  np.testing.assert_array_equal(lengths, [3, 1, 3])
  assert tokens.dtype == lengths.dtype == np.int32


@pytest.mark.parametrize("longest,length", [(32, 32), (33, 64)])
def test_padded_length_is_the_next_multiple(longest, length):
  tokens, _ = sampling.pad_prompts([np.ones(longest, int)], batch_size=2)
  assert tokens.shape == (2, length)


@pytest.mark.parametrize("prompts", [[], [np.array([1])] * 3])
def test_a_number_of_prompts_that_does_not_fit_is_refused(prompts):
  with pytest.raises(ValueError, match="give from 1 to 2"):
    sampling.pad_prompts(prompts, batch_size=2)


def test_an_empty_prompt_is_refused():
  with pytest.raises(ValueError, match="no tokens"):
    sampling.pad_prompts([np.array([], np.int32)], batch_size=2)


def test_generating_nothing_is_refused(config):
  with pytest.raises(ValueError, match="max_new_tokens=0"):
    sampling.generate(
      {},
      config,
      np.ones((1, 2), np.int32),
      np.array([2]),
      max_new_tokens=0,
      stop_tokens=(),
    )


def test_ids_beyond_the_tokenizers_are_never_chosen(config, params):
  prompts, lengths = sampling.pad_prompts([np.array([1, 2, 3])], batch_size=1)
  options = dict(max_new_tokens=8, stop_tokens=(), temperature=5.0)
  key = jax.random.key(0)
  free = sampling.generate(params, config, prompts, lengths, key=key, **options)
  assert free.tokens.max() >= 4
  limited = sampling.generate(
    params, config, prompts, lengths, key=key, vocab_size=4, **options
  )
  assert limited.tokens.max() < 4
