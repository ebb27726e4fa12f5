# SPDX-License-Identifier: Apache-2.0
"""Draws of one token: filters as restated in NumPy, frequencies, edges."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.models import draw as draw_lib
from ramjax.models.draw import Controls

_draw = jax.jit(draw_lib.draw, static_argnames="filtered")
_BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))
_NONE = dict(
  temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0
)


def _controls(rows, **options):
  """Options of `rows` rows; each a number for all, or one a row."""
  values = {
    name: jnp.broadcast_to(
      np.asarray(value, np.int32 if name == "top_k" else np.float32), rows
    )
    for name, value in {**_NONE, **options}.items()
  }
  return Controls(**values)


def _logps(logits, **options):
  """[V] log-probabilities that one row is drawn from, as a draw reports them.

  Random numbers lie so densely that every likely token is drawn by one.
  """
  logits = np.asarray(logits, np.float32)
  grid = (np.arange(1024, dtype=np.float32) + 0.5) / 1024
  seen = options.pop("seen", None)
  bias = options.pop("bias", None)
  rows = np.tile(logits, (len(grid), 1))
  drawn = _draw(
    rows,
    _controls(len(grid), **options),
    grid,
    seen=None if seen is None else np.tile(seen, (len(grid), 1)),
    bias=None if bias is None else np.tile(bias, (len(grid), 1)),
  )
  result = np.full(len(logits), -np.inf)
  result[np.asarray(drawn.tokens)] = drawn.drawn_logps
  return result


def _log_softmax(logits):
  logits = np.asarray(logits, np.float64)
  shifted = logits - logits.max(-1, keepdims=True)
  with np.errstate(divide="ignore"):
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _reference(
  logits,
  *,
  temperature=1.0,
  top_k=0,
  top_p=1.0,
  min_p=0.0,
  repetition_penalty=1.0,
  seen=None,
  bias=None,
):
  """Hugging Face's processors and warpers one after the other, in float64.

  Token by token, with no prefix of a sorted row shared between the filters.
  """
  scores = np.array(logits, np.float64)
  if bias is not None:
    scores += bias
  for token in range(len(scores)):
    if seen is not None and seen[token]:
      factor = (
        1 / repetition_penalty if scores[token] > 0 else (repetition_penalty)
      )
      scores[token] *= factor
  scores /= temperature
  if top_k:
    kth = sorted(scores)[-min(top_k, len(scores))]
    scores[scores < kth] = -np.inf
  if top_p < 1:
    probs = np.exp(_log_softmax(scores))
    # Where those that are likelier hold top_p already, a token is not needed.
    likelier = [probs[scores > value].sum() for value in scores]
    scores[np.asarray(likelier) >= top_p] = -np.inf
  probs = np.exp(_log_softmax(scores))
  scores[probs < min_p * probs.max()] = -np.inf
  return _log_softmax(scores)


def test_probabilities_by_hand():
  # exp: 1, 2, 4, 1 -> eighths.
  logits = np.log([1.0, 2.0, 4.0, 1.0])
  np.testing.assert_allclose(
    np.exp(_logps(logits)), [1 / 8, 2 / 8, 4 / 8, 1 / 8], rtol=1e-6
  )
  # At temperature 1/2 they are squared: 1, 4, 16, 1 of 22.
  np.testing.assert_allclose(
    np.exp(_logps(logits, temperature=0.5)),
    np.array([1, 4, 16, 1]) / 22,
    rtol=1e-6,
  )


@pytest.mark.parametrize(
  ("options", "kept"),
  [
    (dict(top_k=1), [2]),
    (dict(top_k=2), [1, 2]),
    (dict(top_k=99), [0, 1, 2, 3]),
    # The likeliest, whose probability is a half, suffices up to a half.
    (dict(top_p=1e-6), [2]),
    (dict(top_p=0.5), [2]),
    (dict(top_p=0.51), [1, 2]),
    (dict(top_p=0.75), [1, 2]),
    # Ids 0 and 3 tie: with one of them comes the other.
    (dict(top_p=0.76), [0, 1, 2, 3]),
    (dict(top_k=3), [0, 1, 2, 3]),
    (dict(min_p=0.25), [0, 1, 2, 3]),
    (dict(min_p=0.26), [1, 2]),
    (dict(min_p=0.51), [2]),
    # Of the two that top-k leaves, the likelier holds 2/3.
    (dict(top_k=2, top_p=0.66), [2]),
    (dict(top_k=2, top_p=0.67), [1, 2]),
    # Shares are of the likeliest, whatever is left out.
    (dict(top_p=0.51, min_p=0.51), [2]),
  ],
)
def test_filters_by_hand(options, kept):
  masses = np.array([1.0, 2.0, 4.0, 1.0])
  probs = np.exp(_logps(np.log(masses), **options))
  expected = np.where(np.isin(range(4), kept), masses, 0)
  np.testing.assert_allclose(probs, expected / expected.sum(), rtol=1e-5)


def test_ties_are_kept_together_or_not_at_all():
  probs = np.exp(_logps(np.zeros(5), top_k=1))
  np.testing.assert_allclose(probs, np.full(5, 0.2), rtol=1e-6)
  probs = np.exp(_logps([1.0, 0.0, 1.0, 0.0], top_p=0.3))
  np.testing.assert_allclose(probs, [0.5, 0, 0.5, 0], rtol=1e-6)


_GRID = list(
  itertools.product(
    (0.3, 1.0, 1.7), (0, 1, 7), (0.35, 0.9, 1.0), (0.0, 0.05, 0.5)
  )
)


@pytest.mark.parametrize("changed", [False, True])
def test_filters_alone_and_together_agree_with_one_after_the_other(changed):
  # One row a combination; each draws often enough to meet its likely tokens.
  rng = np.random.default_rng(0)
  vocab, draws = 40, 128
  logits = rng.normal(0, 3, (len(_GRID), vocab)).astype(np.float32)
  names = ("temperature", "top_k", "top_p", "min_p")
  options: list[dict[str, Any]] = [
    dict(zip(names, values, strict=True)) for values in _GRID
  ]
  extra: list[dict[str, Any]] = [{} for _ in options]
  if changed:
    extra = [
      dict(
        seen=rng.random(vocab) < 0.3,
        bias=np.where(rng.random(vocab) < 0.2, rng.normal(0, 4, vocab), 0),
        repetition_penalty=rng.uniform(0.5, 2),
      )
      for _ in options
    ]
  uniforms = np.tile((np.arange(draws) + 0.5) / draws, len(_GRID))

  def column(values, dtype: Any = np.float32) -> jax.Array:
    return jnp.asarray(np.repeat(np.asarray(values, dtype), draws, axis=0))

  drawn = _draw(
    column(logits),
    Controls(
      temperature=column([o["temperature"] for o in options]),
      top_k=column([o["top_k"] for o in options], np.int32),
      top_p=column([o["top_p"] for o in options]),
      min_p=column([o["min_p"] for o in options]),
      repetition_penalty=column(
        [e.get("repetition_penalty", 1.0) for e in extra]
      ),
    ),
    uniforms.astype(np.float32),
    seen=column([e["seen"] for e in extra], bool) if changed else None,
    bias=column([e["bias"] for e in extra]) if changed else None,
  )
  tokens = np.asarray(drawn.tokens).reshape(len(_GRID), draws)
  drawn_logps = np.asarray(drawn.drawn_logps).reshape(tokens.shape)
  logps = np.asarray(drawn.logps).reshape(tokens.shape)
  for i, (named, more) in enumerate(zip(options, extra, strict=True)):
    expected = _reference(logits[i], **named, **more)
    np.testing.assert_allclose(
      drawn_logps[i], expected[tokens[i]], atol=2e-5, err_msg=str(named)
    )
    # Without penalty, temperature or filter.
    raw = _log_softmax(logits[i])[tokens[i]]
    np.testing.assert_allclose(logps[i], raw, atol=2e-5)
    # Every likely token was met, so none of them was left out.
    likely = np.flatnonzero(np.exp(expected) > 2 / draws)
    assert set(likely) <= set(tokens[i]), named


def _chi_square(counts, logps):
  expected = counts.sum() * np.exp(logps)
  possible = expected > 0
  assert not np.any(counts[~possible])
  return np.sum(
    (counts[possible] - expected[possible]) ** 2 / expected[possible]
  )


@pytest.mark.parametrize(
  ("options", "others"),
  [
    (dict(temperature=0.5), dict(temperature=1.0)),
    (dict(top_p=0.8), dict(top_p=0.7)),
    (dict(temperature=1.5, top_k=5), dict(temperature=1.0, top_k=5)),
  ],
)
def test_tokens_are_as_frequent_as_probable(options, others):
  logits = np.array([0.3, -1.2, 1.4, 0.1, -0.4, 0.9, -2.0, 0.0], np.float32)
  num = 20_000
  uniforms = jax.random.uniform(jax.random.key(1), (num,))
  drawn = _draw(np.tile(logits, (num, 1)), _controls(num, **options), uniforms)
  counts = np.bincount(drawn.tokens, minlength=8)
  # Chi-square of at most 7 degrees of freedom: above 30 once in 10,000.
  assert _chi_square(counts, _reference(logits, **options)) < 30
  # The bound can tell: what is close by would be far outside.
  other = _reference(logits, **others)
  if np.all(np.isfinite(other) == np.isfinite(_reference(logits, **options))):
    assert _chi_square(counts, other) > 150
  else:
    assert np.any(counts[~np.isfinite(other)] > 100)


def test_a_row_without_options_is_untouched_by_the_filters_of_others():
  logits = np.random.default_rng(2).normal(0, 2, (6, 30)).astype(np.float32)
  uniforms = np.linspace(0.05, 0.95, 6, dtype=np.float32)
  alone = _draw(logits, _controls(6), uniforms, filtered=False)
  mixed = _controls(6, top_k=[0, 1, 0, 2, 0, 3], top_p=[1, 0.5] * 3)
  beside = _draw(
    logits,
    mixed,
    uniforms,
    seen=np.ones((6, 30), bool),
    bias=np.zeros((6, 30), np.float32),
  )
  for field in ("tokens", "logps", "drawn_logps"):
    np.testing.assert_array_equal(
      getattr(alone, field)[::2], getattr(beside, field)[::2]
    )


def test_penalty_and_bias_by_hand():
  logits = np.array([2.0, -2.0, 0.0, 1.0], np.float32)
  seen = np.array([True, True, True, False])
  np.testing.assert_allclose(
    _logps(logits, seen=seen, repetition_penalty=2.0),
    _log_softmax([1.0, -4.0, 0.0, 1.0]),
    atol=1e-6,
  )
  # Bias first, as Hugging Face has it: 2 - 4 is negative, so it is multiplied.
  bias = np.array([-4.0, 0.0, 0.0, 0.5], np.float32)
  np.testing.assert_allclose(
    _logps(logits, seen=seen, bias=bias, repetition_penalty=2.0),
    _log_softmax([-4.0, -4.0, 0.0, 1.5]),
    atol=1e-6,
  )


def test_a_banned_token_is_not_drawn():
  bias = np.array([0.0, -np.inf, 0.0], np.float32)
  np.testing.assert_allclose(
    np.exp(_logps([0.0, 9.0, 0.0], bias=bias)), [0.5, 0, 0.5], atol=1e-6
  )


def test_greedy_takes_the_most_likely_after_penalty_and_bias():
  logits = np.array([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]], np.float32)
  drawn = _draw(
    logits,
    _controls(2, temperature=0, repetition_penalty=[1, 4], top_k=3),
    np.array([0.0, _BELOW_ONE]),
    seen=np.array([[False, True, False]] * 2),
    bias=np.zeros((2, 3), np.float32),
  )
  assert drawn.tokens.tolist() == [1, 2]
  np.testing.assert_allclose(
    drawn.logps, _log_softmax(logits[0])[[1, 2]], atol=1e-6
  )
  # Nothing else could have come.
  assert drawn.drawn_logps.tolist() == [0, 0]
  assert drawn.tokens.dtype == jnp.int32


def test_greedy_takes_the_first_of_ties():
  logits = np.array([[0.0, 5.0, 5.0]], np.float32)
  drawn = _draw(logits, _controls(1, temperature=0), np.array([0.99]))
  assert drawn.tokens.tolist() == [1]


@pytest.mark.parametrize("temperature", [1e-4, 1e-30, 1e-45])
def test_the_coldest_draw_is_the_greedy_one(temperature):
  logits = np.array([[10.0, 90.0, 89.0]] * 3, np.float32)
  drawn = _draw(
    logits,
    _controls(3, temperature=temperature, top_p=0.9),
    np.array([0.0, 0.5, _BELOW_ONE]),
  )
  assert drawn.tokens.tolist() == [1, 1, 1]
  np.testing.assert_array_equal(drawn.drawn_logps, 0)


@functools.partial(jax.jit, static_argnames="filtered")
def _extremes(logits, top_k, filtered):
  rows = logits.shape[0]
  return [
    draw_lib.draw(
      logits,
      _controls(rows)._replace(top_k=jnp.full(rows, top_k, jnp.int32)),
      jnp.full(rows, uniform, jnp.float32),
      filtered=filtered,
    )
    for uniform in (0.0, _BELOW_ONE)
  ]


@pytest.mark.parametrize("top_k", [0, 1, 3])
def test_no_random_number_gives_an_impossible_token(top_k):
  rng = np.random.default_rng(3)
  logits = rng.normal(0, 5, (300, 70)).astype(np.float32)
  # The ends of the vocabulary are impossible in many rows.
  logits[rng.random(logits.shape) < 0.7] = -np.inf
  logits[:, 40] = np.maximum(logits[:, 40], -3)
  possible = np.isfinite(logits)
  for drawn in _extremes(logits, top_k, filtered=True):
    tokens = np.asarray(drawn.tokens)
    assert np.all(possible[np.arange(300), tokens])
    assert np.all(np.isfinite(drawn.drawn_logps))


def test_where_sums_are_rounded_no_impossible_token_is_drawn():
  # Sums of prefixes need not grow with their rounding: a step of one unit in
  # the last place where a token has no mass at all. Every number that falls on
  # such a step is tried.
  rng = np.random.default_rng(4)
  logits = np.full(512, -np.inf, np.float32)
  logits[rng.permutation(512)[:60]] = rng.normal(0, 2, 60)
  probs = jax.nn.softmax(logits)
  mass = np.asarray(jax.jit(jnp.cumsum)(probs))
  edges = np.unique(mass / mass[-1])
  around = [edges]
  for _ in range(3):
    around += [np.nextafter(around[-1], np.float32(0))]
  uniforms = np.unique(np.concatenate(around)).clip(0, _BELOW_ONE)
  drawn = _draw(
    np.tile(logits, (len(uniforms), 1)),
    _controls(len(uniforms)),
    uniforms.astype(np.float32),
    filtered=False,
  )
  assert np.all(np.isfinite(logits[np.asarray(drawn.tokens)]))
