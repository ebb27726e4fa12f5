# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint is restored into is described as the state that is read."""

import importlib
from typing import Any

import jax
import numpy as np
import pytest

from ramjax.trainers import (
  from_config,
  initial_weights,
  references,
  starting_model,
)
from ramjax.trainers.first_state import FirstState

_LARGE = ("params", "opt_state", "ema", "moving")


def _first(name: str, **fields: Any) -> FirstState:
  config = importlib.import_module(f"ramjax.configs.{name}").get_config()
  config.mesh.update(data=1, fsdp=4, tensor=2)
  for place, value in fields.items():
    group, field = place.split("__")
    config[group][field] = value
  start = starting_model.choose(config)
  model_config = initial_weights.make_model_config(config, start)
  return FirstState(
    config,
    model_config,
    from_config.make_optimizer(config, from_config.make_learning_rate(config)),
    from_config.make_mesh(config, model_config),
    start,
    references.choose(config, model_config),
    {"divergence": 0.5},
    None,
  )


def _described(leaf: Any) -> Any:
  return leaf.shape, leaf.dtype, leaf.sharding


@pytest.mark.parametrize(
  "name,fields",
  [
    ("sft_tiny_alpaca", dict(optim__ema_decay=0.9, optim__max_skipped=2)),
    pytest.param("reward_bradley_terry_tiny", {}, marks=pytest.mark.slow),
    pytest.param(
      "dpo_tiny", dict(reference__sync_every=2), marks=pytest.mark.slow
    ),
  ],
  ids=["average", "new head", "moving"],
)
def test_what_is_restored_into_is_as_what_is_read(name, fields):
  first = _first(name, **fields)
  read, described = first.read(), first.to_restore()
  for field in _LARGE:
    found, expected = getattr(described, field), getattr(read, field)
    assert all(
      isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(found)
    )
    assert jax.tree.map(_described, found) == jax.tree.map(_described, expected)
  assert (described.frozen, described.reference) == ({}, {})
  # The small ones are there: a rule that is new takes its own.
  for field in ("step", "carried", "skips"):
    found, expected = getattr(described, field), getattr(read, field)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert jax.tree.map(_described, found) == jax.tree.map(_described, expected)
  assert described.key == read.key


def test_a_reference_that_is_the_start_needs_the_first_weights(monkeypatch):
  def load(*args: Any) -> Any:
    raise FileNotFoundError("the weights were asked for")

  monkeypatch.setattr(initial_weights, "load", load)
  with pytest.raises(FileNotFoundError, match="were asked for"):
    _first("dpo_tiny").to_restore()
  _first("dpo_tiny", reference__sync_every=2).to_restore()
