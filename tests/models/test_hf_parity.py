# SPDX-License-Identifier: Apache-2.0
"""Parity with Hugging Face, for the shape of every Llama generation.

The references are stored (tests/golden/llama_*.npz), so that these run without
torch; the last tests, marked `peers`, compute them anew.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.data.batches import TokenBatch
from ramjax.evals import likelihood
from ramjax.models import heads, llama

_CASES = ("1", "2_70b", "3", "3_1", "3_2", "linear")


@functools.partial(jax.jit, static_argnames="config")
def _logits(params, config, tokens, positions):
  hidden = llama.apply(params, config, tokens, positions=positions)
  return heads.lm_logits(params, config, hidden)


@functools.partial(jax.jit, static_argnames="config")
def _loss_and_grads(params, config, tokens, positions):
  """Mean over the next tokens, as Hugging Face's, and its gradients."""
  ones = jnp.ones_like(tokens)
  batch = TokenBatch(tokens, ones.astype(bool), ones, positions)  # type: ignore

  def mean_nll(params):
    like = likelihood.likelihood(params, config, batch, chunk_size=8)
    return -jnp.sum(like.logps) / jnp.sum(like.mask)

  return jax.value_and_grad(mean_nll)(params)


def _load(path):
  with np.load(path, allow_pickle=False) as arrays:
    return dict(arrays)


@pytest.fixture(scope="module")
def fixture(golden_maker):
  """Case name -> (config, our parameters, arrays of the fixture)."""

  @functools.cache
  def load(name):
    config = golden_maker.CASES[name].config
    arrays = _load(golden_maker.fixture_path(name))
    return config, golden_maker.params_from_hf(arrays, config), arrays

  return load


def test_every_case_has_a_fixture(golden_maker):
  assert tuple(golden_maker.CASES) == _CASES
  stored = {path.name for path in golden_maker.FOLDER.glob("llama_*.npz")}
  assert stored == {f"llama_{name}.npz" for name in _CASES} | {
    golden_maker.GRADIENTS.name
  }


def test_cases_reach_beyond_the_original_context(golden_maker, fixture):
  for name, case in golden_maker.CASES.items():
    _, _, arrays = fixture(name)
    np.testing.assert_array_equal(arrays["positions"][:, 0], [0, case.start])
    assert case.start > 8192


@pytest.mark.parametrize("name", _CASES)
def test_mapping_fills_the_parameter_tree(fixture, name):
  config, params, _ = fixture(name)
  shapes, _ = llama.abstract_params(config)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), params) == jax.tree.map(
    lambda x: (x.shape, x.dtype), shapes
  )


def _check_float32(config, params, arrays):
  """Rounding reaches 3e-6; one ulp of a RoPE frequency costs 1e-3."""
  logits = _logits(params, config, arrays["tokens"], arrays["positions"])
  np.testing.assert_allclose(logits, arrays["logits"], rtol=0, atol=1e-4)


def _check_bfloat16(config, params, arrays):
  """As near to float32 as Hugging Face's own bfloat16 is.

  Both round about twenty times between the embedding and the logits, at
  different places (they rotate in bfloat16, and round the logits), so the two
  errors are independent. Hugging Face's reaches 4.8 bfloat16 ulps of the
  largest logit in these fixtures; the difference of two such, sqrt(2) times
  that, stays below 8. On average ours may not be more than 1.2 times theirs.
  """
  config = dataclasses.replace(config, dtype="bfloat16")
  ours = np.asarray(
    _logits(params, config, arrays["tokens"], arrays["positions"])
  )
  exact, theirs = arrays["logits"], arrays["logits_bf16"]
  # bfloat16 has 7 bits after the leading one.
  ulp = 2.0 ** (np.floor(np.log2(np.abs(exact).max())) - 7)
  assert np.abs(ours - theirs).max() <= 8 * ulp
  assert np.abs(ours - exact).max() <= 8 * ulp
  our_error, their_error = np.abs(ours - exact), np.abs(theirs - exact)
  assert our_error.mean() <= 1.2 * their_error.mean()
  # Otherwise nothing ran in bfloat16.
  assert our_error.mean() >= 0.1 * their_error.mean()


def _check_gradients(config, params, arrays, loss, gradients):
  our_loss, ours = _loss_and_grads(
    params, config, arrays["tokens"], arrays["positions"]
  )
  np.testing.assert_allclose(our_loss, loss, rtol=1e-5)
  for (path, grad), expected in zip(
    jax.tree_util.tree_leaves_with_path(ours),
    jax.tree.leaves(gradients),
    strict=True,
  ):
    largest = np.abs(expected).max()
    assert largest > 0, path
    np.testing.assert_allclose(
      grad, expected, rtol=0, atol=1e-5 * largest, err_msg=str(path)
    )


@pytest.mark.parametrize("name", _CASES)
def test_logits_equal_hugging_face(fixture, name):
  _check_float32(*fixture(name))


# One of each kind of RoPE, with and without tied embeddings.
@pytest.mark.parametrize("name", ["1", "3_2"])
def test_bfloat16_logits_are_as_good_as_hugging_face(fixture, name):
  _check_bfloat16(*fixture(name))


def test_loss_and_gradients_equal_hugging_face(golden_maker, fixture):
  config, params, arrays = fixture(golden_maker.GRADIENTS_OF)
  stored = _load(golden_maker.GRADIENTS)
  _check_gradients(
    config,
    params,
    arrays,
    stored["loss"],
    golden_maker.params_from_hf(stored, config),
  )


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")  # Theirs, of imports.
@pytest.mark.parametrize("name", _CASES)
def test_parity_holds_with_the_installed_transformers(
  golden_maker, fixture, name
):
  pytest.importorskip("transformers")
  config, params, stored = fixture(name)
  live = golden_maker.hf_outputs(
    config,
    {k: v for k, v in stored.items() if k.endswith(".weight")},
    stored["tokens"],
    stored["positions"],
  )
  # The fixture is what transformers computes today.
  np.testing.assert_allclose(
    live["logits"], stored["logits"], rtol=0, atol=1e-5
  )
  arrays = stored | {k: live[k] for k in ("logits", "logits_bf16")}
  _check_float32(config, params, arrays)
  _check_bfloat16(config, params, arrays)
  _check_gradients(
    config,
    params,
    arrays,
    live["loss"],
    golden_maker.params_from_hf(live["gradients"], config),
  )
