# SPDX-License-Identifier: Apache-2.0
"""Every backend: equals dense masking, gradients too, and leaks not one bit.

Splash, a TPU kernel, is interpreted. cuDNN is held to the same where there is a
GPU, in `test_attention_cudnn.py`.
"""

import functools

import jax
import numpy as np
import pytest
import tiny_attention

from ramjax.models import attention, attention_splash, sharding

# Of splash: two blocks of 128, the second one filled up.
_LENGTH = 200
_KINDS = {
  "causal": dict(),
  "window": dict(window=70),
  "branches": dict(branched=True),
}
_BACKENDS = ["xla", "splash"]
# An interpreted kernel takes seconds to compile, which two kinds are worth.
_KINDS_OF = [
  pytest.param(
    backend,
    kind,
    marks=pytest.mark.slow if (backend, kind) == ("splash", "window") else (),
  )
  for backend in _BACKENDS
  for kind in _KINDS
]


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
  """Splash by XLA, on the CPU."""
  splash = functools.partial(attention_splash.splash_attention, interpret=True)
  monkeypatch.setitem(attention.BACKENDS, "splash", splash)


@pytest.fixture(scope="module")
def case():
  return tiny_attention.case(_LENGTH)


def _seen(case, *, window=None, branched=False):
  return tiny_attention.seen(case, window=window, branched=branched)


@pytest.mark.parametrize("backend,kind", _KINDS_OF)
def test_output_equals_dense_masking(case, backend, kind):
  output, _ = tiny_attention.results(case, backend, **_KINDS[kind])
  expected = tiny_attention.dense(case, _seen(case, **_KINDS[kind]))
  np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
  "backend,kind", [p for p in _KINDS_OF if p.values[0] != "xla"]
)
def test_gradients_equal_those_of_xla(case, backend, kind):
  _, grads = tiny_attention.results(case, backend, **_KINDS[kind])
  _, expected = tiny_attention.results(case, "xla", **_KINDS[kind])
  for grad, wanted in zip(grads, expected, strict=True):
    np.testing.assert_allclose(grad, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("changed", [0, 1, 2, 3])
@pytest.mark.parametrize("backend", _BACKENDS)
def test_no_bit_of_a_segment_depends_on_another(case, backend, changed):
  hit = case.segment_ids == changed
  noisy = tiny_attention.with_noise(case.arrays, hit)
  weights = np.where(hit[:, :, None, None], 0, case.query)
  before = tiny_attention.results(case, backend, weights=weights)
  after = tiny_attention.results(case, backend, arrays=noisy, weights=weights)
  np.testing.assert_array_equal(before[0][~hit], after[0][~hit])
  assert np.all(np.any(before[0] != after[0], axis=(2, 3))[hit])
  for grad, changed_grad in zip(before[1], after[1], strict=True):
    # Of the other segments' sum: not one bit otherwise, and nothing crosses.
    np.testing.assert_array_equal(grad[~hit], changed_grad[~hit])
    assert not np.any(changed_grad[hit]) and np.any(grad[~hit])


@pytest.mark.parametrize("changed", [1, 2, 3])
@pytest.mark.parametrize("backend", _BACKENDS)
def test_no_bit_of_a_branch_depends_on_another(case, backend, changed):
  hit = (case.segment_ids == 2) & (case.branch_ids == changed)
  noisy = tiny_attention.with_noise(case.arrays, hit)
  weights = np.where(hit[:, :, None, None], 0, case.query)
  given = dict(weights=weights, branched=True)
  before = tiny_attention.results(case, backend, **given)
  after = tiny_attention.results(case, backend, arrays=noisy, **given)
  np.testing.assert_array_equal(before[0][~hit], after[0][~hit])
  assert np.all(np.any(before[0] != after[0], axis=(2, 3))[hit])
  for grad, changed_grad in zip(before[1], after[1], strict=True):
    np.testing.assert_array_equal(grad[~hit], changed_grad[~hit])
    assert not np.any(changed_grad[hit]) and np.any(grad[~hit])


@pytest.mark.parametrize("backend", _BACKENDS)
def test_every_branch_depends_on_its_prefix(case, backend):
  segment = case.segment_ids == 2
  noisy = tiny_attention.with_noise(
    case.arrays, segment & (case.branch_ids == 0)
  )
  before, _ = tiny_attention.results(case, backend, branched=True)
  after, _ = tiny_attention.results(case, backend, arrays=noisy, branched=True)
  moved = np.any(before != after, axis=(2, 3))
  np.testing.assert_array_equal(moved, segment)


# Rows, length and heads over 8 devices. What is slow is told so: compiling.
_MESHES = [
  ("xla", dict(fsdp=2, sequence=2, tensor=2)),
  ("xla", dict(data=2, fsdp=2, sequence=2)),
  ("splash", dict(fsdp=2, sequence=2, tensor=2)),
  ("splash", dict(data=2, fsdp=2, sequence=2)),
  ("splash", dict(data=2, fsdp=2, tensor=2)),
]
_SPLIT = [
  pytest.param(
    backend,
    sizes,
    kind,
    id="-".join([backend, *sizes, kind]),
    marks=()
    if (backend, "tensor" in sizes, kind) == ("xla", True, "branches")
    else pytest.mark.slow,
  )
  for backend, sizes in _MESHES
  for kind in _KINDS
]


@pytest.mark.parametrize("backend,sizes,kind", _SPLIT)
def test_rows_split_over_devices_change_no_result(backend, sizes, kind):
  case = tiny_attention.case(_LENGTH, rows=4)
  with jax.set_mesh(sharding.make_mesh(sizes)):
    output, grads = tiny_attention.results(case, backend, **_KINDS[kind])
  expected, expected_grads = tiny_attention.results(case, "xla", **_KINDS[kind])
  np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)
  for grad, wanted in zip(grads, expected_grads, strict=True):
    np.testing.assert_allclose(grad, wanted, rtol=1e-5, atol=1e-5)


def test_rows_that_do_not_divide_are_computed_everywhere():
  # A sampler's prompts: 2 rows on 4 devices.
  case = tiny_attention.case(64)
  with jax.set_mesh(sharding.make_mesh(dict(fsdp=4, sequence=2))):
    output, _ = tiny_attention.results(case, "xla")
  expected, _ = tiny_attention.results(case, "xla")
  np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)


def test_rows_of_a_length_that_does_not_divide_are_not_split():
  # The one token with which parameters are declared.
  case = tiny_attention.case(63)
  with jax.set_mesh(sharding.make_mesh(dict(fsdp=2, sequence=4))):
    output, _ = tiny_attention.results(case, "xla")
  expected, _ = tiny_attention.results(case, "xla")
  np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)


def test_more_tensor_ways_than_kv_heads_are_refused_by_kernels():
  case = tiny_attention.case(128)
  mesh = sharding.make_mesh(dict(fsdp=2, tensor=4))
  with (
    jax.set_mesh(mesh),
    pytest.raises(ValueError, match=r"2 KV heads .* tensor=4 .*'xla'"),
  ):
    tiny_attention.results(case, "splash")
