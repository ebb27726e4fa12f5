# SPDX-License-Identifier: Apache-2.0
"""Scores of answers are read at their last token, wherever it lies."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_groups
from tiny_groups import SCORED

from ramjax.data import group_batches
from ramjax.evals import response_scores as response_scores_lib
from ramjax.models import heads, llama
from ramjax.models.hf_writer import HFWriter

_LAYOUTS = {
  "a row each": dict(share_prompt=False, pack=False, row_length=40),
  "longer rows, shared": dict(share_prompt=True, pack=False, row_length=64),
  "packed": dict(share_prompt=False, pack=True, row_length=192),
  "packed, shared": dict(share_prompt=True, pack=True, row_length=192),
}


@jax.jit
def _scores(params, batch):
  return response_scores_lib.response_scores(params, SCORED, batch)


@jax.jit
def _scores_alone(params, rows, lengths):
  hidden = llama.apply(params, SCORED, rows.tokens, positions=rows.positions)
  return heads.scores_at(params, hidden, (lengths - 1)[:, None])[:, 0]


def _batch(groups, layout) -> Any:
  batch_size = 2 if layout["pack"] else len(groups) + 1
  (batch,) = group_batches.eval_batches(groups, batch_size=batch_size, **layout)
  return batch


def _alone(groups):
  """[answers, labels]: of each answer in a row of its own."""
  rows = tiny_groups.plain_rows(groups, 20)
  lengths = jnp.asarray((rows.segment_ids > 0).sum(1))
  return np.asarray(_scores_alone(tiny_groups.params(SCORED), rows, lengths))


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_scores_are_those_of_the_answer_alone(layout):
  groups = tiny_groups.groups_of(1, 2, 3)
  batch = _batch(groups, _LAYOUTS[layout])
  scores = _scores(tiny_groups.params(SCORED), batch)
  assert scores.shape == (*batch.features["present"].shape, 3)
  assert scores.dtype == jnp.float32 and np.all(np.isfinite(scores))
  found = tiny_groups.by_group(scores, batch)
  in_order = [found[i][k] for i, g in enumerate(groups) for k in range(g.size)]
  expected = _alone(groups)
  np.testing.assert_allclose(in_order, expected, rtol=1e-5, atol=1e-5)
  assert np.std(expected, axis=0).min() > 0.1


@pytest.mark.parametrize("layout", ["packed", "packed, shared"])
@pytest.mark.parametrize("token", [0, 2])
def test_padding_and_end_ids_within_an_answer_move_nothing(layout, token):
  # 0 is what padding holds, 2 an EOS: at the end, inside, before the end.
  groups = []
  for group in tiny_groups.groups_of(1, 2, 3):
    answers = [
      np.where(np.arange(len(a)) > 0, token, a) for a in group.responses
    ]
    groups.append(group._replace(responses=tuple(answers)))
  batch = _batch(groups, _LAYOUTS[layout])
  found = tiny_groups.by_group(
    _scores(tiny_groups.params(SCORED), batch), batch
  )
  in_order = [found[i][k] for i, g in enumerate(groups) for k in range(g.size)]
  np.testing.assert_allclose(in_order, _alone(groups), rtol=1e-5, atol=1e-5)


def test_supervision_does_not_move_the_last_token():
  groups = tiny_groups.groups_of(1, 2, 3)
  batch = _batch(groups, _LAYOUTS["packed, shared"])
  without = batch._replace(response_mask=np.zeros_like(batch.response_mask))
  params = tiny_groups.params(SCORED)
  np.testing.assert_array_equal(
    _scores(params, batch), _scores(params, without)
  )


def test_no_bit_of_a_score_depends_on_another_answer():
  groups = tiny_groups.groups_of(1, 2, 3)
  batch = _batch(groups, _LAYOUTS["packed, shared"])
  params = tiny_groups.params(SCORED)
  before = np.asarray(_scores(params, batch))
  for b, g, k in np.argwhere(batch.features["present"] > 0)[::5]:
    hit = np.zeros_like(batch.tokens, bool)
    hit[b] = batch.response_ids[b] == 1 + 3 * g + k
    noisy = np.where(hit, (batch.tokens + 5) % 48, batch.tokens)
    after = np.asarray(_scores(params, batch._replace(tokens=noisy)))
    differs = np.any(before != after, axis=-1) & (batch.features["present"] > 0)
    assert np.argwhere(differs).tolist() == [[b, g, k]]


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")  # Theirs, of imports.
@pytest.mark.parametrize("num_labels", [1, 3])
def test_scores_are_those_of_transformers(tmp_path, num_labels):
  torch = pytest.importorskip("torch")
  transformers = pytest.importorskip("transformers")
  import tiny_adapters
  import tiny_model_folder

  from ramjax.models import source_params, tensors

  config = dataclasses.replace(SCORED, num_labels=num_labels)
  source = tiny_model_folder.RandomModel(config, dtype="float32", seed=0)
  writer = HFWriter(tmp_path, config, source.specs, carried={"pad_token_id": 0})
  tensors.copy(source, writer)
  model = transformers.AutoModelForSequenceClassification.from_pretrained(
    tmp_path, dtype=torch.float32, attn_implementation="eager"
  ).eval()
  params = source_params.load_params(source, tiny_adapters.one_device())
  groups = tiny_groups.groups_of(3)
  batch = _batch(groups, _LAYOUTS["packed, shared"])
  scores = response_scores_lib.response_scores(params, config, batch)
  found = tiny_groups.by_group(scores, batch)
  for i, group in enumerate(groups):
    for k, answer in enumerate(group.responses):
      row = np.concatenate([group.prompts[0], answer])[None]
      with torch.no_grad():
        theirs = model(torch.tensor(row).long()).logits[0].numpy()
      np.testing.assert_allclose(found[i][k], theirs, rtol=1e-4, atol=1e-5)
