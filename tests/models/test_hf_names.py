# SPDX-License-Identifier: Apache-2.0
"""Names: a bijection onto the parameter tree, for every shape."""

import jax

from ramjax.models import hf_names, llama
from ramjax.models.tensors import TensorSpec


def _leaves(config):
  tree, _ = llama.abstract_params(config)
  return {
    tuple(entry.key for entry in path): leaf.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def test_every_parameter_has_one_name_per_layer(shapes):
  for name, config in shapes.items():
    leaves = _leaves(config)
    found = [(at.path, at.layer) for at in hf_names.locations(config).values()]
    assert len(found) == len(set(found)), name
    expected = set()
    for path in leaves:
      stacked = range(config.num_layers) if path[0] == "layers" else [None]
      expected |= {(path, layer) for layer in stacked}
    assert set(found) == expected, name


def test_names_and_shapes_are_those_of_the_independent_reference(
  shapes, state_of
):
  for name, config in shapes.items():
    assert hf_names.hf_shapes(config) == {
      key: array.shape for key, array in state_of(name).items()
    }, name


def test_counted_parameters_are_those_named(shapes):
  for name, config in shapes.items():
    count = 0
    for shape in hf_names.hf_shapes(config).values():
      size = 1
      for length in shape:
        size *= length
      count += size
    assert count == config.num_parameters, name


def test_matrices_are_transposed_and_vectors_are_not(shapes):
  for config in shapes.values():
    for name, at in hf_names.locations(config).items():
      is_matrix = len(hf_names.hf_shapes(config)[name]) == 2
      assert at.transposed == (is_matrix and "embed_tokens" not in name)


def test_order_is_embedding_layers_norm_head(shapes):
  names = list(hf_names.locations(shapes["qwen2_untied"]))
  assert names[0] == "model.embed_tokens.weight"
  assert names[-2:] == ["model.norm.weight", "lm_head.weight"]
  layers = [int(name.split(".")[2]) for name in names[1:-2]]
  assert layers == sorted(layers)
  assert list(hf_names.locations(shapes["qwen2_reward"]))[-1] == "score.weight"


def test_location_of_one_tensor(shapes):
  at = hf_names.locations(shapes["3"])["model.layers.1.self_attn.k_proj.weight"]
  assert at == (("layers", "attention", "key", "kernel"), 1, True)
  shape = hf_names.hf_shapes(shapes["3"])
  # Two KV heads of 16 from a width of 32; the MLP goes from 48 to 32.
  assert shape["model.layers.0.self_attn.k_proj.weight"] == (32, 32)
  assert shape["model.layers.0.mlp.down_proj.weight"] == (32, 48)


def test_specs_have_the_dtype_asked_for(shapes):
  specs = hf_names.hf_specs(shapes["3_2"], "bfloat16")
  assert specs["model.norm.weight"] == TensorSpec((32,), "bfloat16")
  assert {spec.dtype for spec in specs.values()} == {"bfloat16"}
