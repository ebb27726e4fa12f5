# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.evals.prompt_outputs, and of comparisons made with it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.evals import output_difference, prompt_outputs
from ramjax.models import heads, hf_names, llama, sharding, source_params
from ramjax.models.config import LlamaConfig
from ramjax.models.tensors import TensorSpec

_CONFIG = LlamaConfig(
  vocab_size=13,
  width=12,
  mlp_width=20,
  num_layers=2,
  num_heads=2,
  num_kv_heads=1,
  head_dim=4,
)


class _Model:
  """A source of random weights, whose norms are ones."""

  def __init__(self, config: LlamaConfig, seed: int = 0):
    rng = np.random.default_rng(seed)
    self.config = config
    self.arrays = {
      name: np.ones(shape, np.float32)
      if len(shape) == 1
      else 0.5 * rng.standard_normal(shape, np.float32)
      for name, shape in hf_names.hf_shapes(config).items()
    }
    self.specs = {
      n: TensorSpec(x.shape, "float32") for n, x in self.arrays.items()
    }

  def rows(self, name, start, stop):
    return self.arrays[name][start:stop]


def _prompts(*lengths):
  rng = np.random.default_rng(1)
  return [rng.integers(0, 13, length) for length in lengths]


@pytest.mark.parametrize("num_labels", [0, 3])
def test_chunks_are_the_outputs_of_whole_prompts(num_labels, monkeypatch):
  monkeypatch.setattr(prompt_outputs, "CHUNK", 4)
  config = dataclasses.replace(_CONFIG, num_labels=num_labels)
  model = _Model(dataclasses.replace(config, dtype="bfloat16"))
  # Both in two chunks, of which one is whole: few lengths are compiled.
  prompts = _prompts(5, 8)
  found = list(prompt_outputs.prompt_outputs(model, prompts))
  places = [(part.prompt, part.start) for part in found]
  assert places == [(0, 0), (0, 4), (1, 0), (1, 4)]
  mesh = sharding.make_mesh({}, jax.devices()[:1])
  params = source_params.load_params(model, mesh)

  @jax.jit
  def whole(params, tokens):
    positions = jnp.arange(len(tokens))[None]
    hidden = llama.apply(params, config, tokens[None], positions=positions)
    if num_labels:
      return heads.scores(params, hidden)
    return heads.lm_logits(params, config, hidden)

  for index, prompt in enumerate(prompts):
    expected = whole(params, prompt)
    rows = np.concatenate([p.values for p in found if p.prompt == index])
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, expected[0], rtol=1e-4, atol=1e-4)


def test_a_model_is_no_distance_from_itself():
  prompts = _prompts(33, 40)
  found = output_difference.output_difference(
    _Model(_CONFIG), _Model(_CONFIG), prompts
  )
  assert (found.kind, found.num_outputs) == ("logits", 13)
  assert [len(row) for row in found.largest] == [33, 40]
  assert [len(row) for row in found.kl] == [33, 40]
  assert not np.any(np.concatenate([*found.largest, *found.kl]))


def test_of_a_longer_vocabulary_the_shared_ids_are_compared():
  longer = _Model(dataclasses.replace(_CONFIG, vocab_size=17))
  model = _Model(_CONFIG)
  for name in model.arrays:
    rows = model.specs[name].shape[0]
    model.arrays[name] = longer.arrays[name][:rows]
  for pair in ((model, longer), (longer, model)):
    found = output_difference.output_difference(*pair, _prompts(6))
    assert found.num_outputs == 13
    assert found.largest[0].max() < 1e-5 and found.kl[0].max() < 1e-9


def test_scores_have_no_divergence():
  config = dataclasses.replace(_CONFIG, num_labels=1)
  found = output_difference.output_difference(
    _Model(config), _Model(config, seed=1), _prompts(2)
  )
  assert (found.kind, found.num_outputs, found.kl) == ("scores", 1, [])
  assert found.largest[0].min() > 0


def test_a_score_head_is_not_compared_with_an_lm_head():
  scorer = _Model(dataclasses.replace(_CONFIG, num_labels=1))
  with pytest.raises(ValueError, match="an LM head and the other a score"):
    output_difference.output_difference(_Model(_CONFIG), scorer, _prompts(2))
