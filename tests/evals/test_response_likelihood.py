# SPDX-License-Identifier: Apache-2.0
"""An answer is as likely alone as packed, paired, or behind a shared prompt."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_groups
from tiny_groups import CONFIG

from ramjax.data import group_batches
from ramjax.data.tokenize_groups import Group
from ramjax.evals import response_likelihood as response_likelihood_lib
from ramjax.evals.likelihood import likelihood
from ramjax.models.hf_writer import HFWriter

# Where rows are packed, one holds everything. Few shapes: each is compiled.
_LAYOUTS = {
  "a row each": dict(share_prompt=False, pack=False, row_length=40),
  "a row each, shared": dict(share_prompt=True, pack=False, row_length=40),
  "longer rows, shared": dict(share_prompt=True, pack=False, row_length=64),
  "packed": dict(share_prompt=False, pack=True, row_length=192),
  "packed, shared": dict(share_prompt=True, pack=True, row_length=192),
}
# Groups of one answer, of two, and of one to three side by side.
_SIZES = (1,), (2,), (1, 2, 3)


def _batch(groups, layout) -> Any:
  """All of them in one batch that ends in an empty row."""
  batch_size = 2 if layout["pack"] else len(groups) + 1
  (batch,) = group_batches.eval_batches(groups, batch_size=batch_size, **layout)
  return batch


@jax.jit
def _logps_alone(params, batch):
  """[B]: of the supervised tokens of ordinary rows."""
  scored = likelihood(params, CONFIG, batch, chunk_size=16)
  return jnp.sum(scored.logps.reshape(batch.tokens.shape), axis=1)


@jax.jit
def _scored(params, batch):
  return response_likelihood_lib.response_likelihood(
    params, CONFIG, batch, chunk_size=16
  )


def _logps(params, batch):
  return _scored(params, batch).logps


@functools.partial(jax.jit, static_argnums=0)
def _gradients(logps_of, params, batch, weights):
  """Of the weighted sum of log-probabilities, for each of some weights."""

  def gradient(weights):
    return jax.grad(lambda p: jnp.sum(weights * logps_of(p, batch)))(params)

  return jax.lax.map(gradient, weights)


# Answers of `_SIZES[-1]`. What is computed of so many serves fewer, too.
_MOST = 23


def _rows_alone(groups):
  """Every answer in a row of its own, and empty rows up to `_MOST`."""

  def filled(x):
    return np.pad(x, ((0, _MOST - len(x)), (0, 0)))

  return jax.tree.map(filled, tiny_groups.plain_rows(groups, 20))


@functools.cache
def _alone(sizes):
  """Groups; log-probabilities of their answers, by (group, answer)."""
  groups = tiny_groups.groups_of(*sizes)
  answers = [
    (i, k) for i, group in enumerate(groups) for k in range(group.size)
  ]
  logps = _logps_alone(tiny_groups.params(), _rows_alone(groups)).tolist()
  return groups, dict(zip(answers, logps[: len(answers)], strict=True))


@functools.cache
def _gradients_alone(sizes):
  """Of each of those log-probabilities, stacked in their order."""
  groups, answers = _alone(sizes)
  gradients = _gradients(
    _logps_alone, tiny_groups.params(), _rows_alone(groups), np.eye(_MOST)
  )
  return jax.tree.map(lambda x: x[: len(answers)], jax.device_get(gradients))


@pytest.mark.parametrize(
  ("sizes", "layout"),
  [(sizes, "packed, shared") for sizes in _SIZES[:-1]]
  + [(_SIZES[-1], layout) for layout in _LAYOUTS],
)
def test_log_probabilities_are_those_of_the_answer_alone(sizes, layout):
  groups, expected = _alone(sizes)
  batch = _batch(groups, _LAYOUTS[layout])
  scored = _scored(tiny_groups.params(), batch)
  found = tiny_groups.by_group(scored.logps, batch)
  lengths = tiny_groups.by_group(scored.lengths, batch)
  assert sorted(found) == list(range(len(groups)))
  for (i, k), logp in expected.items():
    np.testing.assert_allclose(found[i][k], logp, rtol=1e-5, atol=1e-5)
    assert lengths[i][k] == groups[i].response_masks[k].sum()
  # Far from one another, or a mistaken answer would not show.
  assert np.std(list(expected.values())) > 1


@pytest.mark.parametrize(
  ("sizes", "layout"),
  [
    pytest.param((2,), "a row each", marks=pytest.mark.slow),
    pytest.param((2,), "packed, shared", marks=pytest.mark.slow),
    ((1, 2, 3), "a row each"),
    ((1, 2, 3), "packed, shared"),
  ],
)
def test_gradients_are_those_of_the_answer_alone(sizes, layout):
  (groups, answers), gradients = _alone(sizes), _gradients_alone(sizes)
  batch = _batch(groups, _LAYOUTS[layout])
  weights = np.zeros((_MOST, *batch.features["present"].shape))
  ids = batch.features["row_ids"][:, :, 0].astype(int)
  for row, g in np.argwhere(batch.features["present"][:, :, 0] > 0):
    for n, (i, k) in enumerate(answers):
      weights[n, row, g, k] = i == ids[row, g]
  found = _gradients(_logps, tiny_groups.params(), batch, weights)
  found = jax.tree.map(lambda x: x[: len(answers)], jax.device_get(found))
  found, expected = map(jax.tree.leaves, (found, gradients))

  def largest(leaf):
    return np.abs(leaf).max(tuple(range(1, leaf.ndim)))

  of_answer = np.max([largest(leaf) for leaf in expected], axis=0)
  assert np.all(of_answer > 0.1)
  for one, other in zip(found, expected, strict=True):
    # Behind one token of prompt, no gradient reaches queries and keys.
    scale = np.maximum(largest(other), 1e-2 * of_answer)
    assert np.all(largest(one - other) < 1e-5 * scale)


def test_what_padding_holds_changes_no_bit():
  groups = tiny_groups.groups_of(2)
  batch = _batch(groups, _LAYOUTS["packed, shared"])
  noise = np.random.default_rng(5).integers(0, 48, batch.tokens.shape)
  noisy = np.where(batch.segment_ids > 0, batch.tokens, noise)
  before = _logps(tiny_groups.params(), batch)
  after = _logps(tiny_groups.params(), batch._replace(tokens=noisy))
  np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("layout", ["packed", "packed, shared"])
@pytest.mark.parametrize("changed", [0, 1, 2])
def test_no_bit_of_an_answer_depends_on_another(layout, changed):
  groups = tiny_groups.groups_of(3)
  batch = _batch(groups, _LAYOUTS[layout])
  g = int(np.flatnonzero(batch.features["row_ids"][0, :, 0] == 1)[0])
  hit = batch.response_ids == 1 + 3 * g + changed
  assert hit.sum() == len(groups[1].responses[changed])
  noisy = np.where(hit, (batch.tokens + 5) % 48, batch.tokens)
  before = np.asarray(_logps(tiny_groups.params(), batch))
  after = np.asarray(_logps(tiny_groups.params(), batch._replace(tokens=noisy)))
  differs = np.argwhere(before != after).tolist()
  assert differs == [[0, g, changed]]


def test_no_gradient_of_an_answer_reaches_another_ones_tokens():
  # Ids below 10 in the prompt, 10 to 19 in the first answer, and so on.
  parts = [
    tiny_groups.random_group(4, (6,), seed=k, vocab=(10 * k + 1, 10 * k + 10))
    for k in range(4)
  ]
  group = Group(
    prompts=parts[0].prompts,
    responses=tuple(part.responses[0] for part in parts[1:]),
    response_masks=tuple(part.response_masks[0] for part in parts[1:]),
    features={},
    num_truncated=0,
  )
  batch = _batch([group], _LAYOUTS["packed, shared"])
  weights = np.zeros((_MOST, *batch.features["present"].shape))
  for k in range(3):
    weights[k, 0, 0, k] = 1
  gradients = _gradients(_logps, tiny_groups.params(), batch, weights)
  moved = np.any(np.asarray(gradients["embed"]["embedding"]) != 0, axis=-1)
  moved = [set(np.flatnonzero(row).tolist()) for row in moved[:3]]
  prompt, *own = (
    {*part.prompts[0].tolist(), *part.responses[0].tolist()} for part in parts
  )
  for ids, answer in zip(moved, own, strict=True):
    assert set(group.prompts[0].tolist()) <= ids
    assert ids & prompt == set.intersection(*moved)
    assert ids - prompt and ids - prompt <= answer


def test_absent_answers_and_empty_rows_are_zero_and_finite():
  groups = tiny_groups.groups_of(1, 2, 3)
  batch = _batch(groups, _LAYOUTS["packed, shared"])
  absent = batch.features["present"] == 0
  assert np.all(absent[1]) and np.any(absent[0, : len(groups)])
  scored = _scored(tiny_groups.params(), batch)
  assert np.all(np.asarray(scored.logps)[absent] == 0)
  assert np.all(np.asarray(scored.lengths)[absent] == 0)
  assert np.all(np.asarray(scored.logps)[~absent] < 0)
  weights = np.ones((_MOST, *absent.shape))
  gradients = _gradients(_logps, tiny_groups.params(), batch, weights)
  assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(gradients))


@pytest.mark.parametrize("layout", ["packed", "packed, shared"])
def test_without_a_prompt_the_first_token_counts_in_no_layout(layout):
  masks = tuple(np.ones(n, bool) for n in (1, 4, 1))
  group = tiny_groups.random_group(0, (1, 4, 1))._replace(response_masks=masks)
  batch = _batch([group], _LAYOUTS[layout])
  scored = _scored(tiny_groups.params(), batch)
  assert scored.lengths[0, 0].tolist() == [0, 3, 0]
  # As if the first token were the prompt of the rest.
  rest = group._replace(
    prompts=(group.responses[1][:1],),
    responses=(group.responses[1][1:],),
    response_masks=(masks[1][1:],),
  )
  rows = _rows_alone([rest])
  expected = float(_logps_alone(tiny_groups.params(), rows)[0])
  np.testing.assert_allclose(scored.logps[0, 0], [0, expected, 0], rtol=1e-5)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")  # Theirs, of imports.
@pytest.mark.parametrize("layout", ["a row each", "packed, shared"])
def test_log_probabilities_are_those_of_transformers(tmp_path, layout):
  torch = pytest.importorskip("torch")
  transformers = pytest.importorskip("transformers")
  import tiny_adapters
  import tiny_model_folder

  from ramjax.models import source_params, tensors

  source = tiny_model_folder.RandomModel(CONFIG, dtype="float32", seed=0)
  tensors.copy(source, HFWriter(tmp_path, CONFIG, source.specs))
  model = transformers.AutoModelForCausalLM.from_pretrained(
    tmp_path, dtype=torch.float32, attn_implementation="eager"
  ).eval()
  params = source_params.load_params(source, tiny_adapters.one_device())
  groups = tiny_groups.groups_of(3)
  batch = _batch(groups, _LAYOUTS[layout])
  found = tiny_groups.by_group(_logps(params, batch), batch)
  for i, group in enumerate(groups):
    for k, (answer, mask) in enumerate(
      zip(group.responses, group.response_masks, strict=True)
    ):
      row = torch.tensor(
        np.concatenate([group.prompts[0], answer])[None]
      ).long()
      with torch.no_grad():
        logps = model(row).logits.log_softmax(-1)[0, :-1]
      picked = logps.gather(1, row[0, 1:, None])[-len(answer) :, 0].numpy()
      np.testing.assert_allclose(found[i][k], picked[mask].sum(), rtol=1e-4)
