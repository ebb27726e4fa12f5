# SPDX-License-Identifier: Apache-2.0
"""Parameters from a source: the values of the reference, on every mesh."""

import jax
import numpy as np
import pytest

from ramjax.models import llama, sharding, source_params, tensors

_MESHES = {
  "replicated": dict(data=8, fsdp=1, tensor=1),
  "fsdp": dict(data=1, fsdp=8, tensor=1),
  "fsdp_tensor": dict(data=1, fsdp=4, tensor=2),
  "tensor": dict(data=4, fsdp=1, tensor=2),
  "all": dict(data=2, fsdp=2, tensor=2),
}


def _mesh(name):
  return sharding.make_mesh(_MESHES[name])


def _check_equal(params, expected):
  assert jax.tree.structure(params) == jax.tree.structure(expected)
  jax.tree.map(
    lambda x, y: np.testing.assert_array_equal(
      jax.device_get(x), y, strict=True
    ),
    params,
    expected,
  )


@pytest.mark.parametrize("mesh", _MESHES)
def test_equals_the_independent_reference(golden_maker, source_of, mesh):
  for name in ("2_70b", "3_2", "linear"):
    source = source_of(name)
    params = source_params.load_params(source, _mesh(mesh))
    reference = golden_maker.params_from_hf(source.arrays, source.config)
    _check_equal(params, reference)


@pytest.mark.parametrize("mesh", ["fsdp", "fsdp_tensor", "tensor"])
def test_layout_is_that_of_training(source_of, mesh):
  source, mesh = source_of("qwen2_untied"), _mesh(mesh)
  params = source_params.load_params(source, mesh)
  # By which training draws and restores its parameters.
  shardings = llama.param_shardings(source.config, mesh)
  given = jax.tree.leaves(params)
  for leaf, expected in zip(given, jax.tree.leaves(shardings), strict=True):
    assert leaf.sharding == expected and leaf.dtype == "float32"
  assert any(not leaf.sharding.is_fully_replicated for leaf in given)


def test_biases_and_scores_are_not_transposed_wrongly(source_of):
  source = source_of("qwen2_3_labels")
  params = jax.device_get(source_params.load_params(source, _mesh("fsdp")))
  np.testing.assert_array_equal(
    params["score"]["kernel"], source.arrays["score.weight"].T
  )
  for ours, theirs in (("query", "q"), ("key", "k"), ("value", "v")):
    np.testing.assert_array_equal(
      params["layers"]["attention"][ours]["bias"],
      [
        source.arrays[f"model.layers.{i}.self_attn.{theirs}_proj.bias"]
        for i in range(2)
      ],
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("stored", ["float32", "bfloat16", "float16"])
def test_values_are_cast_on_the_way(golden_maker, source_of, stored, dtype):
  source = source_of("3", stored)
  params = source_params.load_params(source, _mesh("fsdp"), dtype=dtype)
  cast = {k: v.astype(np.dtype(dtype)) for k, v in source.arrays.items()}
  _check_equal(params, golden_maker.params_from_hf(cast, source.config))


def test_each_byte_is_read_once_however_often_it_is_replicated(source_of):
  source = source_of("qwen2_untied")
  source_params.load_params(source, _mesh("replicated"))
  assert source.num_bytes_read == sum(
    map(tensors.num_bytes, source.specs.values())
  )


@pytest.mark.parametrize("mesh", _MESHES)
def test_devices_that_hold_the_same_part_share_one_reading(source_of, mesh):
  source, mesh = source_of("3"), _mesh(mesh)
  params = source_params.load_params(source, mesh)
  expected = 0
  for leaf in jax.tree.leaves(params):
    parts = {
      tuple(i.indices(n)[:2] for i, n in zip(index, leaf.shape, strict=True))
      for index in leaf.sharding.devices_indices_map(leaf.shape).values()
    }
    stacked = leaf.ndim == 3 or leaf.shape == (2, 32)
    expected += len(parts) * (leaf.shape[0] if stacked else 1)
  assert len(source.reads) == expected


def test_a_device_reads_only_its_rows_of_the_embedding(source_of):
  source = source_of("3")
  source_params.load_params(source, _mesh("tensor"))
  reads = [read[1:] for read in source.reads if "embed_tokens" in read[0]]
  # Two halves of the vocabulary of 64.
  assert sorted(reads) == [(0, 32), (32, 64)]


@pytest.mark.parametrize(
  ("name", "left_out"),
  [("3", "lm_head"), ("llama_3_labels", "score"), ("3_2", "lm_head")],
)
def test_a_head_that_is_left_out_is_not_read(source_of, name, left_out):
  source, mesh = source_of(name), _mesh("fsdp")
  params = source_params.load_params(source, mesh, without=(left_out,))
  assert not any(read[0].startswith(left_out) for read in source.reads)
  expected = dict(source_params.load_params(source_of(name), mesh))
  # Tied embeddings have no head of their own to leave out.
  assert (expected.pop(left_out, None) is None) == (name == "3_2")
  _check_equal(params, jax.device_get(expected))


def test_a_leaf_that_is_left_out_is_not_listed(source_of):
  mesh = _mesh("fsdp")
  every = source_params.LeafLoader(source_of("3"), mesh).paths
  loader = source_params.LeafLoader(
    source_of("3"), mesh, without={"lm_head", "embed"}
  )
  assert set(every) - set(loader.paths) == {
    ("lm_head", "kernel"),
    ("embed", "embedding"),
  }
