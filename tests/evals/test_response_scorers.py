# SPDX-License-Identifier: Apache-2.0
"""Scores are those of each answer alone, by one plain pass over its tokens."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_groups
import tiny_model_folder

from ramjax.data import group_batches
from ramjax.evals import padded_rows, response_rows, response_scorers
from ramjax.evals.padded_rows import Row
from ramjax.evals.response_likelihood import response_likelihood
from ramjax.evals.response_scorers import ResponseScorer
from ramjax.evals.response_scores import response_scores
from ramjax.models import heads, llama, sharding, source_params, tensors
from ramjax.models.config import LlamaConfig
from ramjax.models.hf_writer import HFWriter

_CONFIG = dataclasses.replace(
  tiny_groups.CONFIG, max_positions=128, dtype="float32"
)
_SCORED = dataclasses.replace(_CONFIG, num_labels=1)
# Few lengths in all: the reference compiles each.
_LENGTHS = ((1, 1), (1, 32), (9, 3), (30, 3), (5, 7), (2, 31), (40, 24))


class _Model(NamedTuple):
  params: Any
  config: LlamaConfig
  mesh: jax.sharding.Mesh


@functools.cache
def _mesh(**sizes):
  return sharding.make_mesh(sizes or {"fsdp": -1})


@functools.cache
def _params(config, seed):
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda x: x + 0.1 * rng.standard_normal(x.shape).astype(np.float32),
    tiny_groups.params(config),
  )


def _model(config=_CONFIG, seed=0, **sizes):
  mesh = _mesh(**sizes)
  params = jax.device_put(
    _params(config, seed), llama.param_shardings(config, mesh)
  )
  return _Model(params, config, mesh)


def _row(num_prompt, num_answer, seed):
  group = tiny_groups.random_group(num_prompt, (num_answer,), seed=seed)
  (row,) = response_rows.group_rows(group)
  return row


_ROWS = [_row(a, b, seed) for seed, (a, b) in enumerate(_LENGTHS)]


# With either head, the same program.
_HEADLESS = dataclasses.replace(_CONFIG, tie_embeddings=True)


@jax.jit
def _headless_hidden(params, tokens):
  positions = jnp.arange(tokens.shape[1])[None]
  return llama.apply(params, _HEADLESS, tokens, positions=positions)


def _hidden(params, tokens):
  of_layers = {
    name: x for name, x in params.items() if name not in ("score", "lm_head")
  }
  return _headless_hidden(of_layers, tokens)


def _plain_score(row, seed=0):
  """Of the last token, of a row as it is."""
  params = _params(_SCORED, seed)
  hidden = _hidden(params, row.tokens[None])
  return float(heads.scores(params, hidden)[0, -1, 0])


def _plain_logps(row, seed=0):
  """Of the tokens that count, from all the logits of a row as it is."""
  params = _params(_CONFIG, seed)
  hidden = _hidden(params, row.tokens[None])
  logits = np.asarray(heads.lm_logits(params, _CONFIG, hidden), np.float64)[0]
  logps = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
  return np.array(
    [
      logps[i - 1, row.tokens[i]]
      for i in range(1, len(row.tokens))
      if row.mask[i]
    ]
  )


def test_a_reward_is_the_heads_output_at_the_last_token():
  scorer = ResponseScorer("reward", lambda: _model(_SCORED))
  expected = [_plain_score(row) for row in _ROWS]
  found = scorer.score(_ROWS)
  assert found.dtype == np.float64 and np.std(expected) > 0.1
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_log_probabilities_are_those_of_a_plain_pass():
  expected = [_plain_logps(row) for row in _ROWS]
  totals = ResponseScorer("logp", _model).score(_ROWS)
  np.testing.assert_allclose(totals, [x.sum() for x in expected], atol=1e-4)
  means = ResponseScorer("mean_logp", _model).score(_ROWS)
  np.testing.assert_allclose(means, [x.mean() for x in expected], atol=1e-5)


def test_an_implicit_reward_is_beta_times_the_log_ratio():
  expected = [
    _plain_logps(row, 0).sum() - _plain_logps(row, 1).sum() for row in _ROWS
  ]
  load = _model, lambda: _model(seed=1)
  found = ResponseScorer("implicit", *load).score(_ROWS)
  np.testing.assert_allclose(found, expected, atol=1e-4)
  assert np.abs(expected).min() > 1e-2
  scaled = ResponseScorer("implicit", *load, beta=0.25).score(_ROWS)
  np.testing.assert_allclose(scaled, found / 4, rtol=1e-12)
  turned = ResponseScorer("implicit", *load[::-1]).score(_ROWS)
  np.testing.assert_allclose(turned, -found, rtol=1e-12)


def test_a_model_is_no_likelier_than_itself():
  scorer = ResponseScorer("implicit", _model, _model)
  np.testing.assert_array_equal(scorer.score(_ROWS), np.zeros(len(_ROWS)))


@pytest.mark.parametrize(
  "kind", [pytest.param("reward", marks=pytest.mark.slow), "logp"]
)
def test_neither_batch_nor_order_nor_mesh_moves_a_score(kind, monkeypatch):
  config = _SCORED if kind == "reward" else _CONFIG
  expected = ResponseScorer(kind, lambda: _model(config)).score(_ROWS)
  order = [3, 0, 6, 5, 1, 4, 2]
  shuffled = [_ROWS[i] for i in order]
  split = dict(tensor=2, data=2, fsdp=2)
  for sizes, batch_size in (({}, 1), (split, 3)):
    scorer = ResponseScorer(
      kind, lambda s=sizes: _model(config, **s), batch_size=batch_size
    )
    np.testing.assert_allclose(
      scorer.score(shuffled), expected[order], atol=1e-4
    )
  monkeypatch.setattr(padded_rows, "MOST_TOKENS", 1)
  few = ResponseScorer(kind, lambda: _model(config)).score(_ROWS[2:4])
  np.testing.assert_allclose(few, expected[2:4], atol=1e-4)


def test_programs_are_as_few_as_lengths(monkeypatch):
  shapes = []
  plain = response_scorers._last_scores

  def counted(config, params, batch):
    shapes.append(batch.tokens.shape)
    return plain(config, params, batch)

  monkeypatch.setattr(response_scorers, "_last_scores", counted)
  rows = [_row(a, 1, a) for a in range(1, 60)]
  told = []
  ResponseScorer("reward", lambda: _model(_SCORED), batch_size=8).score(
    rows, told.append
  )
  assert len(shapes) == 8 and set(shapes) == {(8, 64), (8, 48), (8, 32)}
  assert sum(told) == 59 and len(told) == 8


def test_what_training_computes_of_groups_is_the_same():
  groups = tiny_groups.groups_of(2)
  rows = [row for group in groups for row in response_rows.group_rows(group)]
  (batch,) = group_batches.eval_batches(
    groups, row_length=64, share_prompt=True, batch_size=8, pack=False
  )
  theirs = jax.jit(response_scores, static_argnums=1)(
    _params(_SCORED, 0), _SCORED, batch
  )
  found = tiny_groups.by_group(theirs, batch)
  ours = ResponseScorer("reward", lambda: _model(_SCORED)).score(rows)
  np.testing.assert_allclose(
    ours,
    np.concatenate([found[i][:, 0] for i in range(len(groups))]),
    atol=1e-5,
  )
  step = functools.partial(response_likelihood, chunk_size=16)
  theirs = jax.jit(step, static_argnums=1)(_params(_CONFIG, 0), _CONFIG, batch)
  logps = tiny_groups.by_group(theirs.logps, batch)
  lengths = tiny_groups.by_group(theirs.lengths, batch)
  ours = response_scorers.response_logps(_model(), rows, batch_size=4)
  np.testing.assert_allclose(
    ours.totals,
    np.concatenate([logps[i] for i in range(len(groups))]),
    atol=1e-4,
  )
  np.testing.assert_array_equal(
    ours.num_tokens, np.concatenate([lengths[i] for i in range(len(groups))])
  )


def test_no_answers_have_no_scores():
  assert ResponseScorer("logp", _model).score([]).shape == (0,)


def test_what_cannot_be_scored_is_refused():
  with pytest.raises(ValueError, match="kind='best' is not one of reward,"):
    ResponseScorer("best", _model)
  for kind, reference in (("implicit", None), ("logp", _model)):
    with pytest.raises(ValueError, match="compares with a reference"):
      ResponseScorer(kind, _model, reference)
  three = dataclasses.replace(_CONFIG, num_labels=3)
  for config in (three, _CONFIG):
    with pytest.raises(
      ValueError, match=r"num_labels=\d: a reward model has one"
    ):
      ResponseScorer("reward", lambda c=config: _model(c)).score(_ROWS)
  with pytest.raises(ValueError, match="num_labels=1 and predicts no token"):
    ResponseScorer("logp", lambda: _model(_SCORED)).score(_ROWS)


@pytest.mark.parametrize(
  "tokens, mask, message",
  [
    ([], [], "row 2 has no token to predict"),
    (
      [1] * 129,
      [True] * 129,
      "row 2 has 129 tokens, and the model is for 1 to",
    ),
    ([1, 48], [False, True], "row 2 has ids from 1 to 48"),
    ([1, -1], [False, True], "row 2 has ids from -1 to 1"),
    ([1], [True], "row 2 has no token to predict"),
    ([1, 2], [True, False], "row 2 has no token to predict"),
  ],
)
def test_a_row_that_is_none_is_named(tokens, mask, message):
  row = Row(np.array(tokens, np.int32), np.array(mask, np.bool_))
  with pytest.raises(ValueError, match=message):
    ResponseScorer("logp", _model).score([_ROWS[0], row])


@pytest.mark.parametrize("kind", ["reward", "logp"])
def test_an_overflow_is_named(kind):
  config = _SCORED if kind == "reward" else _CONFIG
  model = _model(config)
  params = jax.tree.map(lambda x: x * np.nan, model.params)
  with pytest.raises(ValueError, match="of row 1 is nan: the model overflows"):
    ResponseScorer(kind, lambda: model._replace(params=params)).score(_ROWS[:1])


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")  # Theirs, of imports.
@pytest.mark.parametrize("kind", ["reward", "implicit"])
def test_scores_are_those_of_transformers(tmp_path, kind):
  torch = pytest.importorskip("torch")
  transformers = pytest.importorskip("transformers")
  config = _SCORED if kind == "reward" else _CONFIG
  auto = (
    transformers.AutoModelForSequenceClassification
    if kind == "reward"
    else transformers.AutoModelForCausalLM
  )
  ours, theirs = [], []
  for seed in (0, 1):
    source = tiny_model_folder.RandomModel(config, dtype="float32", seed=seed)
    (tmp_path / str(seed)).mkdir()
    writer = HFWriter(
      tmp_path / str(seed), config, source.specs, carried={"pad_token_id": 0}
    )
    tensors.copy(source, writer)
    params = source_params.load_params(source, _mesh())
    ours.append(_Model(params, config, _mesh()))
    theirs.append(
      auto.from_pretrained(
        tmp_path / str(seed), dtype=torch.float32, attn_implementation="eager"
      ).eval()
    )

  def logits(model, row):
    with torch.no_grad():
      return model(torch.tensor(row.tokens[None]).long()).logits[0].double()

  def logp(model, row):
    logps = torch.log_softmax(logits(model, row), dim=-1).numpy()
    at = np.flatnonzero(row.mask[1:])
    return logps[at, row.tokens[at + 1]].sum()

  if kind == "reward":
    expected = [float(logits(theirs[0], row)[0]) for row in _ROWS]
    found = ResponseScorer("reward", lambda: ours[0]).score(_ROWS)
  else:
    expected = [logp(theirs[0], row) - logp(theirs[1], row) for row in _ROWS]
    found = ResponseScorer("implicit", lambda: ours[0], lambda: ours[1])
    found = found.score(_ROWS)
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
  assert np.std(expected) > 1e-2
