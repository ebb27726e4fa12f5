# SPDX-License-Identifier: Apache-2.0
"""A new score head: its spread, its place on the mesh, what it refuses."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny_groups

from ramjax.models import llama, sharding
from ramjax.models.new_head import new_score_head

_CONFIG = dataclasses.replace(tiny_groups.CONFIG, width=256, num_labels=4)


def _kernel(init_std, *, seed=0, axes=(("fsdp", 8),)):
  mesh = sharding.make_mesh(dict(axes))
  key = jax.random.key(seed)
  return new_score_head(_CONFIG, key, mesh, init_std=init_std)["kernel"]


def test_a_spread_of_zero_scores_every_answer_zero():
  assert not np.asarray(_kernel(0.0)).any()


def test_the_numbers_have_the_given_spread_around_zero():
  # 1024 normal numbers: mean within 4 and spread within 4 standard errors.
  values = np.asarray(_kernel(0.5))
  assert values.shape == (256, 4) and values.dtype == np.float32
  assert abs(values.mean()) < 4 * 0.5 / 32
  assert abs(values.std() - 0.5) < 4 * 0.5 / np.sqrt(2 * 1024)


def test_the_numbers_depend_on_the_key_and_not_on_the_mesh():
  one = np.asarray(_kernel(0.1))
  np.testing.assert_array_equal(
    one, np.asarray(_kernel(0.1, axes=(("data", 2), ("fsdp", 4))))
  )
  assert (one != np.asarray(_kernel(0.1, seed=1))).all()


def test_it_lies_where_the_models_table_says():
  mesh = sharding.make_mesh({"fsdp": 8})
  expected = llama.param_shardings(_CONFIG, mesh)["score"]["kernel"]
  assert _kernel(0.1).sharding == expected


@pytest.mark.parametrize("init_std", [-0.1, float("nan"), float("inf")])
def test_a_spread_that_is_none_is_refused(init_std):
  with pytest.raises(ValueError, match=r"reward\.init_std="):
    _kernel(init_std)
