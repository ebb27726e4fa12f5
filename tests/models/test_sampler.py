# SPDX-License-Identifier: Apache-2.0
"""The sampler against the full forward, and rows that know of no other row."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.models import heads, llama, sampler, sharding
from ramjax.models import slots as slots_lib
from ramjax.models.sampler import ContinuousBatch, Request, sample
from ramjax.models.sampling_options import SamplingOptions

_GREEDY = SamplingOptions(temperature=0.0, max_tokens=6)
_LENGTHS = (3, 8, 5)
_ALL = slots_lib.Features(filtered=True, penalised=True, biased=True)
_MOST = 70  # Tokens of a continuation. With a prompt, rows of 128 at most.
# Tokens of those in rows of 64. Tests that have four slots, and this as the
# most of any request, run the same programs.
_FEW = 24


@functools.partial(jax.jit, static_argnames="config")
def _forward(params, config, tokens):
  at = jnp.broadcast_to(jnp.arange(tokens.shape[1])[None], tokens.shape)
  hidden = llama.apply(params, config, tokens, positions=at)
  return heads.lm_logits(params, config, hidden)


def _logits(params, config, tokens):
  """[n, V] of one row, without a cache; padded, so that one program does."""
  padded = np.zeros((1, 128), np.int32)
  padded[0, : len(tokens)] = tokens
  return np.asarray(_forward(params, config, padded))[0, : len(tokens)]


def _log_softmax(logits):
  shifted = logits - logits.max(-1, keepdims=True)
  return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _prompts(config, lengths=_LENGTHS):
  rng = np.random.default_rng(2)
  return [
    rng.integers(0, config.vocab_size, size).astype(np.int32)
    for size in lengths
  ]


def _assert_equal(ours, others):
  assert len(ours) == len(others)
  for one, other in zip(ours, others, strict=True):
    np.testing.assert_array_equal(one.tokens, other.tokens)
    np.testing.assert_allclose(one.logps, other.logps, atol=1e-4)
    np.testing.assert_allclose(one.drawn_logps, other.drawn_logps, atol=1e-4)
    assert one.finished == other.finished


@pytest.fixture(scope="module")
def reference(config, params):
  """Greedy continuations [3][6] without a cache, one forward per token."""
  rows = []
  for prompt in _prompts(config):
    row = list(prompt)
    for _ in range(_GREEDY.max_tokens):
      row.append(int(_logits(params, config, row)[-1].argmax()))
    rows.append(row[len(prompt) :])
  return np.array(rows)


def _mixed(config, num=24):
  """Requests of every kind, several for a prompt, some of which stop early."""
  rng = np.random.default_rng(7)
  prompts = [
    rng.integers(0, config.vocab_size, rng.integers(1, 30)).astype(np.int32)
    for _ in range(num // 2)
  ]
  kinds = [
    dict(temperature=0.0),
    dict(temperature=0.0, repetition_penalty=1.5),
    dict(),
    dict(temperature=0.7, top_k=8),
    dict(temperature=1.3, top_p=0.8),
    dict(min_p=0.1),
    dict(repetition_penalty=1.3, top_k=20, top_p=0.95),
    dict(logit_bias={3: 5.0, 9: -math.inf}),
  ]
  return [
    Request(
      prompts[int(rng.integers(len(prompts)))],
      SamplingOptions(
        **kinds[i % len(kinds)],
        max_tokens=int(rng.integers(1, _MOST)) if i else _MOST,
        stop_tokens=tuple(rng.integers(0, config.vocab_size, i % 3).tolist()),
      ),
      seed=int(rng.integers(2**32)),
    )
    for i in range(num)
  ]


@pytest.fixture(scope="module")
def mixed(config, params):
  """Mixed requests, and their samples in a batch of 8 rows."""
  requests = _mixed(config)
  return requests, sample(params, config, requests, num_slots=8)


def test_greedy_is_the_argmax_of_the_full_forward_until_a_stop_token(
  config, params, reference
):
  stops = int(reference[0, 2]), int(reference[1, 0])
  hits = np.isin(reference, stops)
  expected = np.where(hits.any(1), hits.argmax(1) + 1, _GREEDY.max_tokens)
  # The case is worth testing: one row stops at once, one in the middle, one
  # never.
  assert expected[1] == 1 < expected[0] < 6 == expected[2] and not hits[2].any()
  options = dataclasses.replace(_GREEDY, stop_tokens=stops)
  requests = [Request(p, options) for p in _prompts(config)]
  longer = dataclasses.replace(_GREEDY, max_tokens=_FEW)
  *samples, _ = sample(
    params, config, [*requests, Request(requests[0].prompt, longer)]
  )
  for row, length, one in zip(reference, expected, samples, strict=True):
    np.testing.assert_array_equal(one.tokens, row[:length])
    # The stop token is the last.
    assert one.finished == (int(one.tokens[-1]) in stops)
    np.testing.assert_array_equal(one.drawn_logps, 0)


@pytest.mark.slow
def test_greedy_goes_on_beyond_the_first_span(config, params):
  # 150 tokens: the slots that are attended to double twice.
  wide = dataclasses.replace(config, max_positions=256)
  options = SamplingOptions(temperature=0.0, max_tokens=120)
  (one,) = sample(params, wide, [Request(np.array([5, 1, 4]), options)])
  row = np.concatenate([[5, 1, 4], one.tokens])
  expected = _logits(params, wide, row).argmax(-1)
  np.testing.assert_array_equal(one.tokens, expected[2:-1])


def test_many_mixed_requests_are_the_same_one_at_a_time(config, params, mixed):
  requests, together = mixed
  _assert_equal(_alone(params, config, requests), together)
  # The case is worth testing.
  assert len({one.tokens.tobytes() for one in together}) > 18
  assert 5 < sum(one.finished for one in together) < 20


@pytest.mark.parametrize(
  "num_slots",
  [
    2,
    # No power of two, and more than there are requests.
    *(pytest.param(num, marks=pytest.mark.slow) for num in (3, 64)),
  ],
)
def test_neither_order_nor_slots_nor_neighbours_change_a_sample(
  config, params, mixed, num_slots
):
  requests, samples = mixed
  order = np.random.default_rng(num_slots).permutation(len(requests))
  shuffled = sample(
    params, config, [requests[i] for i in order], num_slots=num_slots
  )
  _assert_equal(shuffled, [samples[i] for i in order])


def test_log_probabilities_are_those_of_the_full_forward(config, params, mixed):
  for request, one in zip(*mixed, strict=True):
    row = np.concatenate([request.prompt, one.tokens])
    logits = _logits(params, config, row)[len(request.prompt) - 1 : -1]
    places = np.arange(len(one.tokens))
    exact = _log_softmax(logits)[places, one.tokens]
    np.testing.assert_allclose(one.logps, exact, atol=1e-4)
    options = request.options
    if options.temperature == 0:
      np.testing.assert_array_equal(one.drawn_logps, 0)
    elif not options.filters and not options.logit_bias:
      np.testing.assert_allclose(one.drawn_logps, one.logps, atol=1e-5)
    elif options.filters and options.repetition_penalty == 1:
      # What is drawn from is a part of the model's tokens, so each is likelier.
      if options.temperature == 1:
        assert np.all(one.drawn_logps >= one.logps - 1e-5)


def test_a_banned_token_is_not_sampled(mixed):
  banned = [
    one.tokens
    for request, one in zip(*mixed, strict=True)
    if 9 in request.options.logit_bias
  ]
  assert len(banned) == 3 and not np.isin(9, np.concatenate(banned))


def _count_prefills(monkeypatch):
  calls = []
  prefill = slots_lib.prefill

  def counted(params, config, tokens):
    calls.append(np.asarray(tokens))
    return prefill(params, config, tokens)

  monkeypatch.setattr(slots_lib, "prefill", counted)
  return calls


def test_samples_of_one_prompt_differ_and_share_a_prefill(
  config, params, monkeypatch
):
  calls = _count_prefills(monkeypatch)
  prompt = _prompts(config)[1]
  options = SamplingOptions(max_tokens=_FEW)
  requests = [Request(prompt, options, seed=i) for i in range(24)]
  samples = sample(params, config, requests, num_slots=4)
  assert len(calls) == 1
  assert len({one.tokens.tobytes() for one in samples}) > 20
  # The same seed again is the same sample again.
  again = sample(params, config, [requests[5]] * 4)
  _assert_equal(again, [samples[5]] * 4)


def test_equal_prompts_of_other_dtypes_are_told_apart_by_their_ids(
  config, params
):
  # Of the same bytes, and not the same prompt.
  long, short = np.array([5, 0], np.int32), np.array([5], np.int64)
  assert long.tobytes() == short.tobytes()
  options = dataclasses.replace(_GREEDY, max_tokens=_FEW)
  together = sample(
    params, config, [Request(long, options), Request(short, options)] * 2
  )
  alone = [
    sample(params, config, [Request(np.array(ids, np.int32), options)] * 4)[0]
    for ids in ([5, 0], [5])
  ]
  _assert_equal(together, alone * 2)
  assert together[0].tokens.tolist() != together[1].tokens.tolist()


def test_each_prompt_is_prefilled_once_and_the_longest_first(
  config, params, monkeypatch
):
  calls = _count_prefills(monkeypatch)
  prompts = _prompts(config, range(1, 31))
  options = SamplingOptions(max_tokens=3)
  sample(params, config, [Request(p, options) for p in prompts], num_slots=16)
  # Two at a time, an eighth of the rows, padded to a power of two.
  assert [call.shape for call in calls] == 7 * [(2, 32)] + 8 * [(2, 16)]
  assert sum(np.count_nonzero(call.any(axis=1)) for call in calls) == 30


def test_limits_are_kept(config, params):
  requests = [
    Request(prompt, SamplingOptions(max_tokens=limit), seed=limit)
    for prompt, limit in zip(_prompts(config), (1, 5, _FEW), strict=True)
  ]
  told = []
  samples = sample(params, config, requests, progress=told.append)
  assert [len(one.tokens) for one in samples] == [1, 5, _FEW]
  assert sorted(told) == [1, 5, _FEW]
  assert not any(one.finished for one in samples)
  for one in samples:
    assert one.tokens.dtype == np.int32
    assert one.logps.dtype == one.drawn_logps.dtype == np.float32
    assert one.logps.shape == one.drawn_logps.shape == one.tokens.shape


def test_nothing_asked_for_is_nothing_computed(config):
  assert sample(None, config, []) == []


def test_cut_ends_a_row_where_it_says(config, params):
  prompts = _prompts(config)
  options = SamplingOptions(temperature=0.0, max_tokens=_FEW)
  whole = sample(params, config, [Request(p, options) for p in prompts])
  # Two tokens in a row, as a stop text might be, and one token too many seen.
  target = whole[0].tokens[10:12].tolist()
  seen = []

  def cut(tokens):
    seen.append(len(tokens))
    pairs = np.stack([tokens[:-1], tokens[1:]], axis=1).tolist()
    return pairs.index(target) + 2 if target in pairs else None

  requests = [Request(prompts[0], options, cut=cut)] + [
    Request(prompt, options) for prompt in prompts[1:]
  ]
  ended, *others = sample(params, config, requests)
  length = cut(whole[0].tokens)
  assert length is not None and length <= 12 and ended.finished
  np.testing.assert_array_equal(ended.tokens, whole[0].tokens[:length])
  assert len(ended.logps) == len(ended.drawn_logps) == length
  # It was asked in time, and the others went on.
  assert max(seen[:-1]) < _FEW
  _assert_equal(others, whole[1:])


def test_a_cut_that_never_comes_changes_nothing(config, params):
  options = SamplingOptions(max_tokens=_FEW)
  requests = [Request(prompt, options) for prompt in _prompts(config)]
  asked = [dataclasses.replace(r, cut=lambda tokens: None) for r in requests]
  _assert_equal(sample(params, config, asked), sample(params, config, requests))


def _batch(params, config, **sizes):
  fields: dict[str, Any] = dict(
    num_slots=2, max_length=128, max_tokens=_MOST, features=_ALL
  )
  return ContinuousBatch(params, config, **(fields | sizes))


def _alone(params, config, requests):
  """Samples of one request at a time, in a batch that keeps its programs."""
  batch = _batch(params, config)
  samples = []
  for request in requests:
    batch.submit("only", request)
    (update,) = [u for u in batch.run() if u.sample is not None]
    samples.append(update.sample)
  return samples


def test_updates_come_while_rows_go_on(config, params):
  options = SamplingOptions(max_tokens=10)
  prompts = _prompts(config)
  requests = [Request(p, options, seed=i) for i, p in enumerate(prompts)]
  batch = _batch(params, config)
  for i, request in enumerate(requests):
    batch.submit(i, request)
  streams: dict[int, list] = {0: [], 1: [], 2: []}
  samples = {}
  while batch.busy:
    updates = batch.advance(most_tokens=4)
    # Every row in a slot is heard of, each time.
    assert updates and len({u.name for u in updates}) == len(updates) <= 2
    for update in updates:
      streams[update.name].append(update.tokens)
      if update.sample is not None:
        samples[update.name] = update.sample
  for i, stream in streams.items():
    assert [len(tokens) for tokens in stream] == [4, 8, 10]
    for tokens in stream:
      np.testing.assert_array_equal(tokens, stream[-1][: len(tokens)])
    np.testing.assert_array_equal(stream[-1], samples[i].tokens)
  assert batch.advance() == []
  _assert_equal(
    _alone(params, config, requests), [samples[i] for i in range(3)]
  )


def test_a_cancelled_request_is_heard_of_no_more(config, params):
  options = SamplingOptions(max_tokens=24)
  prompts = _prompts(config, (3, 8, 5, 7))
  requests = [Request(p, options, seed=i) for i, p in enumerate(prompts)]
  batch = _batch(params, config)
  for i, request in enumerate(requests):
    batch.submit(i, request)
  first = batch.advance(most_tokens=5)
  # One that is in a slot, one that waits, and a name nobody has.
  gone, kept = first[0].name, first[1].name
  waiting = next(i for i in range(4) if i not in (gone, kept))
  for name in (gone, waiting, "nobody"):
    batch.cancel(name)
  samples = {u.name: u.sample for u in batch.run() if u.sample is not None}
  left = [i for i in range(4) if i not in (gone, waiting)]
  assert sorted(samples) == left and not batch.busy
  alone = _alone(params, config, [requests[i] for i in left])
  _assert_equal([samples[i] for i in left], alone)


def test_a_request_that_comes_later_joins_and_leaves_the_others_alone(
  config, params
):
  options = SamplingOptions(max_tokens=12)
  early, late = (
    Request(prompt, options, seed=i)
    for i, prompt in enumerate(_prompts(config, (4, 9)))
  )
  batch = _batch(params, config)
  batch.submit("early", early)
  batch.advance(most_tokens=5)
  batch.submit("late", late)
  samples = {u.name: u.sample for u in batch.run() if u.sample is not None}
  _assert_equal(
    [samples["early"], samples["late"]], _alone(params, config, [early, late])
  )


def test_a_prompt_fills_the_positions_to_the_last(config, params):
  short = dataclasses.replace(config, max_positions=40)
  request = Request(np.arange(34, dtype=np.int32), _GREEDY)
  (one,) = sample(params, short, [request])
  row = np.concatenate([request.prompt, one.tokens])
  assert len(row) == 40
  exact = _log_softmax(_logits(params, config, row)[33:-1])
  np.testing.assert_array_equal(one.tokens, exact.argmax(-1))
  np.testing.assert_allclose(one.logps, exact.max(-1), atol=1e-4)
  with pytest.raises(
    ValueError, match=r"take 41 positions, .* for 40: shorten"
  ):
    sample(params, short, [Request(np.arange(35), _GREEDY)])


def test_ids_beyond_the_tokenizers_are_never_drawn(config, params):
  requests = [
    Request(
      np.array([1, 60, 3]),
      SamplingOptions(
        temperature=temperature, max_tokens=20, repetition_penalty=1.2
      ),
      seed=seed,
    )
    for seed, temperature in enumerate((0.0, 1.0, 9.0))
  ]
  limited = sample(params, config, requests, vocab_size=10)
  assert np.concatenate([one.tokens for one in limited]).max() < 10
  # They are part of the model's distribution all the same.
  row = np.concatenate([[1, 60, 3], limited[1].tokens])
  exact = _log_softmax(_logits(params, config, row)[2:-1])
  np.testing.assert_allclose(
    limited[1].logps, exact[np.arange(20), limited[1].tokens], atol=1e-4
  )
  # The case is worth testing: they have most of it.
  assert np.exp(exact[:, 10:]).sum(-1).mean() > 0.5


@pytest.mark.slow
def test_sharded_parameters_give_the_same_samples(config, params, mixed):
  requests, samples = mixed
  mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})
  with jax.set_mesh(mesh):
    sharded = jax.device_put(params, llama.param_shardings(config, mesh))
    ours = sample(sharded, config, requests[:12], num_slots=8)
  _assert_equal(ours, samples[:12])


@pytest.mark.slow
def test_bfloat16_is_greedy_to_its_own_full_forward(config, params):
  half = dataclasses.replace(config, dtype="bfloat16")
  request = Request(_prompts(config)[1], _GREEDY)
  (one,) = sample(params, half, [request])
  row = np.concatenate([request.prompt, one.tokens])
  cast = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), params)
  logits = _logits(cast, half, row)[len(request.prompt) - 1 : -1]
  logps = np.asarray(_log_softmax(logits))
  chosen = logps[np.arange(len(one.tokens)), one.tokens]
  # The cache is rounded where the full forward is, but sums in another order.
  np.testing.assert_allclose(chosen, logps.max(-1), atol=0.1)
  np.testing.assert_allclose(one.logps, chosen, atol=0.1)


def test_parameters_are_cast_once_for_all_batches(config, params):
  half = dataclasses.replace(config, dtype="bfloat16")
  cast: Any = sampler._cast
  cast.clear_cache()
  for _ in range(2):
    _batch(params, half)
    assert cast._cache_size() == 1


@pytest.mark.parametrize(
  ("longest", "length"),
  [(3, 64), (64, 64), (65, 128), (600, 640), (1030, 1280), (3000, 3000)],
)
def test_rows_of_about_the_same_length_run_the_same_programs(
  config, longest, length
):
  limited = dataclasses.replace(config, max_positions=3000)
  assert sampler._row_length(longest, limited) == length
