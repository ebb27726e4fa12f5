# SPDX-License-Identifier: Apache-2.0
"""What is trained and what is frozen, and both together."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny_adapters
from tiny_adapters import CONFIG

from ramjax.models import llama, partition


def _paths(tree):
  return {
    "/".join(entry.key for entry in path)
    for path, _ in jax.tree_util.tree_leaves_with_path(tree)
  }


def _same(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("kind", ["ranks", "dora", "lm_head"])
def test_split_and_join_are_inverse(kind):
  config = tiny_adapters.adapted(kind)
  params = tiny_adapters.all_params(config)
  trained, frozen = partition.split(params, config)
  _same(trained, tiny_adapters.random_adapters(config))
  _same(frozen, tiny_adapters.base_params(config))
  _same(partition.join(trained, frozen), params)
  _same(partition.join(frozen, trained), params)
  _same(partition.without_adapters(params), frozen)
  _same(partition.adapters_of(params), trained)


def test_trained_leaves_by_hand():
  config = tiny_adapters.adapted("dora_ranks", num_labels=2)
  assert partition.trained_shapes(config) == {
    ("layers", "attention", "value", "lora_a"): (3, 32, 4),
    ("layers", "attention", "value", "lora_b"): (3, 4, 32),
    ("layers", "attention", "value", "magnitude"): (3, 32),
    ("layers", "mlp", "down", "lora_a"): (3, 48, 3),
    ("layers", "mlp", "down", "lora_b"): (3, 3, 32),
    ("layers", "mlp", "down", "magnitude"): (3, 32),
    ("score", "kernel"): (32, 2),
  }


def test_score_head_is_trained_but_no_adapter():
  config = tiny_adapters.adapted("ranks", num_labels=1)
  shapes, _ = llama.abstract_params(config)
  trained, frozen = partition.split(shapes, config)
  assert "score/kernel" in _paths(trained) - _paths(frozen)
  assert "score/kernel" in _paths(partition.without_adapters(shapes))


def test_without_adapters_everything_is_trained():
  params = tiny_adapters.base_params(CONFIG)
  trained, frozen = partition.split(params, CONFIG)
  _same(trained, params)
  assert frozen == {}
  assert partition.is_trained(CONFIG, ("embed", "embedding"))


def test_quantised_parts_are_frozen():
  config = dataclasses.replace(
    tiny_adapters.adapted("lora", tiny_adapters.WIDE), quantization="nf4"
  )
  trained, frozen = partition.split(llama.abstract_params(config)[0], config)
  assert {p.rsplit("/", 1)[-1] for p in _paths(trained)} == {"lora_a", "lora_b"}
  assert "layers/mlp/up/nf4/codes" in _paths(frozen)


def test_leaf_in_both_trees_is_refused():
  with pytest.raises(ValueError, match="'b' is a parameter in both"):
    partition.join({"a": {"b": 1}}, {"a": {"b": 2}})
