# SPDX-License-Identifier: Apache-2.0
"""A difference leads back to the bit, or says where it does not."""

import ml_dtypes
import numpy as np
import pytest

from ramjax.models import delta_arithmetic

_DTYPES = ("float32", "bfloat16", "float16")


def _subtract(tuned, base, tuned_dtype, delta_dtype):
  return delta_arithmetic.subtract(
    np.array(tuned, tuned_dtype), np.array(base, tuned_dtype), delta_dtype
  )


@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize(
  ("tuned", "base", "delta", "failed"),
  [
    (1.5, 1.0, 0.5, False),
    (1.0, 1.0, 0.0, False),
    (-0.0, -0.0, -0.0, False),
    (0.0, -0.0, 0.0, False),
    (-0.0, 0.0, 0.0, True),  # x + 0.0 is never -0.0 for another x.
    (-0.0, 1.0, 0.0, True),
    (0.0, 1.0, -1.0, False),
  ],
)
def test_hand_values(dtype, tuned, base, delta, failed):
  found, exceptions = _subtract([tuned], [base], dtype, dtype)
  assert found.tobytes() == np.array([delta], dtype).tobytes()
  assert exceptions.tolist() == [failed]


def test_candidates_grow_from_the_dtype_of_the_tensor():
  assert delta_arithmetic.candidates("float32") == ("float32", "float64")
  assert delta_arithmetic.candidates("bfloat16") == (
    "bfloat16",
    "float32",
    "float64",
  )


def test_a_gap_of_exponents_needs_a_larger_dtype():
  # bfloat16 has 8 bits: 1 + 2^-10 does not fit, in float32 it does.
  assert _subtract([2**-10], [-1.0], "bfloat16", "bfloat16")[1].all()
  assert not _subtract([2**-10], [-1.0], "bfloat16", "float32")[1].any()
  # float32 has 24, float64 53.
  assert _subtract([2**-30], [-1.0], "bfloat16", "float32")[1].all()
  assert not _subtract([2**-30], [-1.0], "bfloat16", "float64")[1].any()
  assert _subtract([2**-60], [-1.0], "bfloat16", "float64")[1].all()


def test_an_overflow_is_an_exception():
  big = float(np.finfo(np.float16).max)
  delta, failed = _subtract([big, 1.0], [-big, 1.0], "float16", "float16")
  assert failed.tolist() == [True, False]
  assert delta.tolist() == [0.0, 0.0]
  assert not _subtract([big], [-big], "float16", "float32")[1].any()


@pytest.mark.parametrize("dtype", _DTYPES)
def test_all_pairs_of_a_spread_of_values_come_back_or_are_told(dtype):
  info = ml_dtypes.finfo(dtype)
  exponents = np.linspace(info.minexp, info.maxexp - 1, 40)
  values = 2.0**exponents
  values = np.concatenate(
    [values, -values, 1.37 * values[:-1], [0.0, -0.0]]
  ).astype(dtype)
  base, tuned = (x.ravel() for x in np.meshgrid(values, values))
  for delta_dtype in delta_arithmetic.candidates(dtype):
    delta, failed = delta_arithmetic.subtract(tuned, base, delta_dtype)
    assert np.all(np.isfinite(delta.astype(np.float64)))
    again = delta_arithmetic.add(base, delta, dtype)
    same = [
      a.tobytes() == b.tobytes() for a, b in zip(again, tuned, strict=True)
    ]
    # The mask is those that differ; of a difference of 0 it may be one more.
    assert all(s or f for s, f in zip(same, failed, strict=True))
    assert failed.any() and not failed.all()


@pytest.mark.peers
def test_the_sum_rounds_through_float32_as_pytorch_does():
  torch = pytest.importorskip("torch")
  base = np.array([1.0, 1.0], "bfloat16")
  delta = np.array([2.0**-8 + 2.0**-40, 2.0**-8 + 2.0**-20])
  ours = delta_arithmetic.add(base, delta, "bfloat16").astype(np.float64)
  theirs = torch.from_numpy(base.astype(np.float64) + delta)
  theirs = theirs.to(torch.bfloat16).double().numpy()
  np.testing.assert_array_equal(ours, theirs)
  assert ours.tolist() == [1.0, 1.0 + 2.0**-7]
