# SPDX-License-Identifier: Apache-2.0
"""shape_checked: wrong shapes and kinds are errors, also under jit."""

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Bool, Float

from ramjax.losses.shapes import shape_checked


@shape_checked
def _masked_sum(
  *, values: Float[Array, " N"], mask: Bool[Array, " N"]
) -> Float[Array, ""]:
  """The checked function."""
  return jnp.sum(jnp.where(mask, values, 0.0))


@shape_checked
def _forgets_to_reduce(values: Float[Array, " N"]) -> Float[Array, ""]:
  return values


def test_arrays_as_declared_pass_through():
  mask = jnp.array([True, False, True])
  assert _masked_sum(values=jnp.arange(3.0), mask=mask) == 2.0


def test_the_name_and_docstring_are_kept():
  assert _masked_sum.__name__ == "_masked_sum"
  assert _masked_sum.__doc__ == "The checked function."


@pytest.mark.parametrize(
  "mask",
  [
    jnp.ones((3, 1), bool),  # Would broadcast to [3, 3].
    jnp.ones(4, bool),  # Another N.
    jnp.ones(3),  # Weights where True counts.
  ],
)
def test_another_shape_or_kind_is_refused_by_name(mask):
  with pytest.raises(TypeError, match="mask"):
    _masked_sum(values=jnp.zeros(3), mask=mask)


def test_the_message_gives_the_shape_that_came_and_the_one_declared():
  with pytest.raises(TypeError, match=r"(?s)bool\[4\].*Bool\[.*Array, 'N'\]"):
    _masked_sum(values=jnp.zeros(3), mask=jnp.ones(4, bool))


def test_a_result_of_another_shape_is_refused():
  with pytest.raises(TypeError, match="return"):
    _forgets_to_reduce(jnp.zeros(3))


def test_under_jit_the_check_is_made_while_tracing():
  masked_sum = jax.jit(lambda v, m: _masked_sum(values=v, mask=m))
  with pytest.raises(TypeError, match="mask"):
    masked_sum(jnp.zeros(3), jnp.ones((3, 1), bool))
  assert masked_sum(jnp.ones(3), jnp.ones(3, bool)) == 3.0
