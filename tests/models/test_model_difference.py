# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.models.model_difference."""

import dataclasses
import math

import numpy as np
import pytest

from ramjax.models import model_difference as difference_lib
from ramjax.models import tensors
from ramjax.models.model_difference import ValueDifference

_NAME = "model.layers.1.mlp.up_proj.weight"


def _copy_of(tiny, source, **arrays):
  return tiny.ArraySource(source.config, {**source.arrays, **arrays})


@pytest.fixture
def source(source_of):
  return source_of("3_2")


def test_largest_differences_are_those_worked_out_by_hand():
  first = np.array([[1.0, -2.0], [0.0, 4.0]], np.float32)
  second = np.array([[1.5, -2.0], [0.0, 3.0]], np.float32)
  # |1 - 1.5| = 0.5 of 1.5; |4 - 3| = 1 of 4.
  found = difference_lib.value_difference(first, second)
  assert found == ValueDifference(1.0, pytest.approx(1 / 3))


@pytest.mark.parametrize(
  ("first", "second", "expected"),
  [
    (0.0, 1e-3, (1e-3, 1.0)),
    (-1.0, 1.0, (2.0, 2.0)),
    (0.0, -0.0, (0.0, 0.0)),
    (math.nan, math.nan, (0.0, 0.0)),
    (math.inf, math.inf, (0.0, 0.0)),
    (math.inf, -math.inf, (math.inf, math.inf)),
    (math.inf, 1.0, (math.inf, math.inf)),
    (math.nan, 1.0, (math.inf, math.inf)),
    (math.nan, math.inf, (math.inf, math.inf)),
  ],
)
def test_one_value_against_another(first, second, expected):
  both = np.array([first]), np.array([second])
  assert difference_lib.value_difference(*both) == pytest.approx(expected)


def test_a_difference_is_found_wherever_it_lies(monkeypatch):
  monkeypatch.setattr(difference_lib, "_NUM_VALUES", 4)
  for place in range(10):
    first, second = np.zeros(10), np.zeros(10)
    second[place] = 0.25
    assert difference_lib.value_difference(first, second).absolute == 0.25


def test_a_copy_is_the_same(tiny, source):
  found = difference_lib.model_difference(source, _copy_of(tiny, source))
  assert found.is_none
  assert not any(found[:-1])


@pytest.mark.parametrize("block_bytes", [64, tensors.BLOCK_BYTES])
def test_a_changed_value_is_named_and_measured(
  tiny, source, monkeypatch, block_bytes
):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", block_bytes)
  changed = source.arrays[_NAME].copy()
  changed[-1, -1] = 2.0
  expected = abs(2.0 - float(source.arrays[_NAME][-1, -1]))
  other = _copy_of(tiny, source, **{_NAME: changed})
  seen = []
  found = difference_lib.model_difference(source, other, on_bytes=seen.append)
  assert not found.is_none
  assert list(found.values) == [_NAME]
  assert found.values[_NAME].absolute == pytest.approx(expected)
  total = sum(map(tensors.num_bytes, source.specs.values()))
  assert sum(seen) == 2 * total
  assert source.num_bytes_read == other.num_bytes_read == total


def test_another_dtype_with_the_same_values_differs_in_bytes_alone(source):
  rounded = tensors.Cast(source, "bfloat16")
  found = difference_lib.model_difference(
    rounded, tensors.Cast(rounded, "float32")
  )
  assert not found.is_none
  assert set(found.dtypes.values()) == {("bfloat16", "float32")}
  assert list(found.values) == list(source.specs)
  assert set(found.values.values()) == {ValueDifference(0.0, 0.0)}


def test_minus_zero_is_another_byte_and_the_same_value(tiny, source):
  name = "model.norm.weight"
  zeros = np.zeros_like(source.arrays[name])
  found = difference_lib.model_difference(
    _copy_of(tiny, source, **{name: zeros}),
    _copy_of(tiny, source, **{name: -zeros}),
  )
  assert found.values == {name: ValueDifference(0.0, 0.0)}
  assert not found.is_none


def test_tensors_of_one_side_and_other_shapes_are_named(tiny, source):
  more = dict(source.arrays)
  del more[_NAME]
  more["extra"] = np.ones((2, 2), np.float32)
  embedding = "model.embed_tokens.weight"
  more[embedding] = more[embedding][:-1]
  other = tiny.ArraySource(source.config, more)
  found = difference_lib.model_difference(source, other)
  assert found.only_first == [_NAME]
  assert found.only_second == ["extra"]
  shape = source.specs[embedding].shape
  assert found.shapes == {embedding: (shape, (shape[0] - 1, shape[1]))}
  assert found.values == {}


def test_equal_bytes_with_another_config_are_another_model(tiny, source):
  other = _copy_of(tiny, source)
  other.config = dataclasses.replace(source.config, rope_theta=7.0)
  found = difference_lib.model_difference(source, other)
  assert found.fields == {"rope_theta": (source.config.rope_theta, 7.0)}
  assert found.digests[0] == found.digests[1]
  assert not found.is_none


def test_how_a_model_is_computed_makes_no_other_model(tiny, source):
  other = _copy_of(tiny, source)
  other.config = dataclasses.replace(
    source.config, dtype="bfloat16", remat="full"
  )
  assert difference_lib.model_difference(source, other).is_none
