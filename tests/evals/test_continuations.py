# SPDX-License-Identifier: Apache-2.0
"""Continuations are as likely as one plain forward pass says, whatever the
batch, the padding or the mesh.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_model_folder

from ramjax.evals import continuations, padded_rows
from ramjax.evals.continuations import TokenPair, continuation_logps
from ramjax.models import heads, llama, sharding, source_params

_CONFIG = dataclasses.replace(
  tiny_model_folder.CONFIG, dtype="float32", remat="none"
)


def _mesh(devices, **sizes):
  return sharding.make_mesh(sizes, devices=jax.devices()[:devices])


@functools.cache
def _params(devices=1, **sizes):
  model = tiny_model_folder.RandomModel(_CONFIG, dtype="float32", seed=0)
  return source_params.load_params(model, _mesh(devices, **sizes))


@functools.cache
def _pairs():
  rng = np.random.default_rng(3)
  # Contexts and continuations of one token and of many, on both sides of 32.
  # Few lengths in all: the reference compiles each.
  sizes = [(1, 1), (40, 3), (5, 7), (2, 10), (11, 1), (1, 42), (10, 2)]
  return [
    TokenPair(
      rng.integers(0, _CONFIG.vocab_size, a).tolist(),
      rng.integers(0, _CONFIG.vocab_size, b).tolist(),
    )
    for a, b in sizes
  ]


@jax.jit
def _all_log_softmax(params, tokens):
  positions = jnp.arange(tokens.shape[1])[None]
  hidden = llama.apply(params, _CONFIG, tokens, positions=positions)
  return jax.nn.log_softmax(heads.lm_logits(params, _CONFIG, hidden), axis=-1)


def _log_softmax(tokens):
  """[T, V] of a whole sequence, unpadded, with all logits at once."""
  return np.asarray(_all_log_softmax(_params(), jnp.array([tokens])))[0]


def _plain(context, continuation):
  whole = (*context, *continuation)
  logps = _log_softmax(whole)
  places = range(len(context) - 1, len(whole) - 1)
  total = sum(float(logps[i, whole[i + 1]]) for i in places)
  return total, all(logps[i].argmax() == whole[i + 1] for i in places)


def _score(pairs, *, batch_size=3, max_length=64, **options):
  return continuation_logps(
    _params(),
    _CONFIG,
    pairs,
    batch_size=batch_size,
    max_length=max_length,
    **options,
  )


def test_logps_are_those_of_a_plain_forward_pass_in_the_order_of_pairs():
  told = []
  found = _score(_pairs(), progress=told.append)
  assert told == [3, 3, 1]
  for pair, result in zip(_pairs(), found, strict=True):
    logp, is_greedy = _plain(*pair)
    assert result.logp == pytest.approx(logp, abs=1e-5)
    assert result.is_greedy == is_greedy
    assert result.num_tokens == len(pair.continuation)
    assert result.num_truncated == 0


def test_what_greedy_decoding_writes_is_greedy_and_else_nothing_is():
  context, written = [3, 50, 7], []
  for _ in range(4):
    ids = (*context, *written)
    # One length for all: what comes after has no influence.
    logps = _log_softmax((*ids, *[0] * (12 - len(ids))))
    written.append(int(logps[len(ids) - 1].argmax()))
  other = [*written[:-1], (written[-1] + 1) % _CONFIG.vocab_size]
  right, wrong = _score(
    [TokenPair(context, written), TokenPair(context, other)]
  )
  assert right.is_greedy
  assert not wrong.is_greedy
  assert wrong.logp < right.logp


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_batches_do_not_change_results(batch_size):
  for ours, other in zip(
    _score(_pairs(), batch_size=batch_size), _score(_pairs()), strict=True
  ):
    assert ours.logp == pytest.approx(other.logp, abs=1e-5)
    assert ours[1:] == other[1:]


def test_padded_lengths_and_chunks_do_not_change_results(monkeypatch):
  expected = _score(_pairs())
  # A shape that no other test has, so that the chunk's size is read again.
  monkeypatch.setattr(padded_rows, "_SHORTEST", 80)
  monkeypatch.setattr(continuations, "_CHUNK", 5)
  found = _score(_pairs())
  for ours, other in zip(found, expected, strict=True):
    assert ours.logp == pytest.approx(other.logp, abs=1e-5)
    assert ours[1:] == other[1:]


def test_a_mesh_does_not_change_results():
  # One batch, so that one program is compiled for the mesh.
  pairs = _pairs()[:3]
  expected = _score(pairs)
  sizes = {"tensor": 2, "fsdp": 2, "data": 2}
  with jax.set_mesh(_mesh(8, **sizes)):
    found = continuation_logps(
      _params(8, **sizes), _CONFIG, pairs, batch_size=3, max_length=64
    )
  for ours, other in zip(found, expected, strict=True):
    assert ours.logp == pytest.approx(other.logp, abs=1e-5)
    assert ours[1:] == other[1:]


def test_a_long_pair_keeps_its_last_tokens_and_says_so():
  context, continuation = _pairs()[1]  # 40 and 3.
  (cut,) = _score([TokenPair(context, continuation)], max_length=10)
  # The model reads 10 tokens, and the 11th is the last to be predicted.
  (short,) = _score([TokenPair(context[-8:], continuation)], max_length=10)
  assert cut.num_truncated == 32
  assert short.num_truncated == 0
  assert cut.logp == pytest.approx(short.logp, abs=1e-6)
  assert cut.logp != pytest.approx(_score([_pairs()[1]])[0].logp, abs=1e-3)


def test_pairs_that_differ_in_the_last_token_share_a_row(monkeypatch):
  given = []
  score = continuations._score
  monkeypatch.setattr(
    continuations, "_score", lambda *args: given.append(args[2]) or score(*args)
  )
  context = list(range(5, 16))
  letters = [TokenPair(context, [last]) for last in (9, 8, 9, 300)]
  longer = [TokenPair(context[:-1], [15, last]) for last in (8, 4)]
  told = []
  pairs = [*letters[:2], *longer, *letters[2:]]
  found = _score(pairs, batch_size=4, progress=told.append)
  # Two rows, since what counts is not the same; 4 and 2 pairs.
  assert [inputs.shape[0] for inputs in given] == [2]
  assert told == [6]
  for pair, result in zip(pairs, found, strict=True):
    logp, is_greedy = _plain(*pair)
    assert result.logp == pytest.approx(logp, abs=1e-5)
    assert result[1:] == (len(pair.continuation), is_greedy, 0)
  many = [TokenPair(context, [last]) for last in range(20)]
  found = _score(many, batch_size=4)
  assert [inputs.shape[0] for inputs in given[1:]] == [3]  # 8, 8 and 4.
  expected = _log_softmax((*context, 0))[10, :20]
  assert [result.logp for result in found] == pytest.approx(
    expected.tolist(), abs=1e-5
  )


def test_no_pairs_give_no_results():
  assert _score([]) == []


@pytest.mark.parametrize(
  "pair, message",
  [
    (([], [1]), "pair 2 has an empty context: begin it with BOS or EOS"),
    (([1], []), "the continuation of pair 2 has 0 tokens"),
    (([1], [1] * 11), "has 11 tokens, and 1 to max_length=10 can be scored"),
    (([1], [320]), "pair 2 has ids from 1 to 320, and the model"),
    (([-1], [3]), "pair 2 has ids from -1 to 3"),
  ],
)
def test_what_cannot_be_scored_is_refused(pair, message):
  with pytest.raises(ValueError, match=message):
    _score([TokenPair([1], [2]), TokenPair(*pair)], max_length=10)


@pytest.mark.parametrize("name", ["batch_size", "max_length"])
def test_sizes_below_1_are_refused(name):
  with pytest.raises(ValueError, match=f"{name}=0 must be at least 1"):
    _score([TokenPair([1], [2])], **{name: 0})


def test_a_model_that_overflows_is_refused():
  params = jax.tree.map(lambda x: x * np.float32(np.nan), _params())
  with pytest.raises(ValueError, match="pair 1 is nan: the model overflows"):
    continuation_logps(
      params, _CONFIG, [TokenPair([1], [2])], batch_size=1, max_length=4
    )


def test_a_batch_has_no_more_tokens_than_stated(monkeypatch):
  expected = _score(_pairs(), batch_size=7)
  shapes = []
  real = continuations._arrays

  def arrays(batch, num_rows):
    found = real(batch, num_rows)
    shapes.append(found[0].shape)
    return found

  monkeypatch.setattr(continuations, "_arrays", arrays)
  # The longest rows are padded to 48, and the others to 32.
  monkeypatch.setattr(padded_rows, "MOST_TOKENS", 96)
  np.testing.assert_allclose(
    np.array(_score(_pairs(), batch_size=7)), np.array(expected), atol=1e-5
  )
  assert shapes == [(2, 48), (3, 32), (3, 32)]
  shapes.clear()
  monkeypatch.setattr(padded_rows, "MOST_TOKENS", 1)
  _score(_pairs()[:2], batch_size=7)
  assert [rows for rows, _ in shapes] == [1, 1]  # Never none.
