# SPDX-License-Identifier: Apache-2.0
"""Every loss against values and gradients that were derived without it.

The files in tests/golden/losses come from make_*_goldens.py: `math` in float64
and derivatives by hand. One file a loss, found by its name.
"""

import functools
import importlib
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

_ROOT = pathlib.Path(__file__).parents[2]
_FOLDER = _ROOT / "tests" / "golden" / "losses"
_FILES = sorted(_FOLDER.glob("*.json"))
# Numbers of the data: no gradient is taken by them.
_DATA = {"margins", "targets"}
_DTYPES = {"labels": bool, "present": bool, "flagged": bool}


def _loss(name: str):
  module = importlib.import_module(f"ramjax.losses.{name}")
  return getattr(module, f"{name}_loss", None)


def _array(name: str, values) -> np.ndarray:
  """An input of a file as the trainer gives it; null is NaN."""
  if name.endswith("lengths"):
    return np.array(values, np.int32)
  return np.array(values, _DTYPES.get(name, np.float32))


# Jitted: each operation by itself would be a program to compile.
@functools.partial(jax.jit, static_argnames=("name", "options"))
def _gradients(differentiable, inputs, *, name, options):
  """Of the sum of the losses, and the output."""

  def total(arrays):
    output = _loss(name)(**inputs | arrays, **dict(options))
    return jnp.sum(getattr(output, "losses", output)), output

  return jax.grad(total, has_aux=True)(differentiable)


def _cases():
  for path in _FILES:
    cases = json.loads(path.read_text("utf-8"))["cases"]
    for index, case in enumerate(cases):
      yield pytest.param(path.stem, case, id=f"{path.stem}-{index}")


def test_every_file_is_of_a_loss():
  assert _FILES
  assert not [path.stem for path in _FILES if _loss(path.stem) is None]


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_a_file_says_what_it_holds(path):
  content = json.loads(path.read_text("utf-8"))
  assert content["loss"] == path.stem
  assert content["source"] and content["formula"] and content["cases"]


@pytest.mark.parametrize("name,case", list(_cases()))
def test_values_and_gradients_are_the_derived_ones(name, case):
  inputs = {k: _array(k, v) for k, v in case["inputs"].items()}
  differentiable = {
    k: v for k, v in inputs.items() if v.dtype == np.float32 and k not in _DATA
  }
  grads, output = _gradients(
    differentiable, inputs, name=name, options=tuple(case["options"].items())
  )
  expected = {
    k: v
    for k, v in case.items()
    if k not in ("inputs", "options", "gradients", "losses")
  }
  close = dict(rtol=1e-5, atol=1e-6)
  losses = getattr(output, "losses", output)
  np.testing.assert_allclose(losses, case["losses"], **close)
  for field, values in expected.items():
    np.testing.assert_allclose(getattr(output, field), values, **close)
  assert set(case["gradients"]) <= set(differentiable)
  for key, grad in grads.items():
    # An input without a gradient in the file gets none.
    derived = case["gradients"].get(key, np.zeros(grad.shape))
    np.testing.assert_allclose(grad, derived, **close, err_msg=key)
