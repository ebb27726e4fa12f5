# SPDX-License-Identifier: Apache-2.0
"""Models of different shapes are refused by what differs."""

import dataclasses

import numpy as np
import pytest

from ramjax.models import same_shape
from ramjax.models.tensors import TensorError

_X = np.ones((4, 2), np.float32)
_EMBEDDING = "model.embed_tokens.weight"


def test_another_dtype_and_way_to_compute_pass(tiny, config):
  other = dataclasses.replace(config, dtype="bfloat16", remat="full")
  same_shape.check(
    {
      "a": tiny.ArraySource(config, {"x": _X}),
      "b": tiny.ArraySource(other, {"x": _X.astype("bfloat16")}),
    }
  )


def test_a_config_that_differs_is_refused_by_field(tiny, config):
  other = dataclasses.replace(config, rope_theta=500_000.0)
  with pytest.raises(
    TensorError, match=r"rope_theta is 10000\.0 in one and 500000\.0 in three"
  ):
    same_shape.check(
      {
        "one": tiny.ArraySource(config, {"x": _X}),
        "two": tiny.ArraySource(config, {"x": _X}),
        "three": tiny.ArraySource(other, {"x": _X}),
      }
    )


def test_an_added_token_is_refused_with_advice(tiny, config):
  other = dataclasses.replace(config, vocab_size=config.vocab_size + 1)
  with pytest.raises(TensorError) as error:
    same_shape.check(
      {
        "llama": tiny.ArraySource(config, {_EMBEDDING: _X}),
        "alpaca": tiny.ArraySource(other, {_EMBEDDING: _X[:3]}),
      }
    )
  assert str(error.value) == (
    f"'{_EMBEDDING}' is [4, 2] in llama and [3, 2] in alpaca: one has tokens"
    " that the other lacks. Make the vocabularies equal first: `ramjax convert"
    " vocab`."
  )


def test_only_the_first_shapes_are_listed(tiny, config):
  names = "abcde"
  with pytest.raises(
    TensorError, match=r"'c' is \[4, 2\] in one and \[3, 2\] in two; and 2 more"
  ):
    same_shape.check(
      {
        "one": tiny.ArraySource(config, dict.fromkeys(names, _X)),
        "two": tiny.ArraySource(config, dict.fromkeys(names, _X[:3])),
      }
    )


@pytest.mark.parametrize("swapped", [False, True])
def test_a_lone_tensor_is_refused_by_name(tiny, config, swapped):
  models = {
    "one": tiny.ArraySource(config, {"x": _X, "y": _X}),
    "two": tiny.ArraySource(config, {"x": _X}),
  }
  if swapped:
    models = dict(reversed(models.items()))
  with pytest.raises(TensorError, match=r"'y' is in one and not in two \(1"):
    same_shape.check(models)
