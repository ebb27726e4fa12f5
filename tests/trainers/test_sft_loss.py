# SPDX-License-Identifier: Apache-2.0
"""The SFT objective on a model: what must leave loss and gradient unchanged.

Packing, padding, microbatches, chunk size, row order, devices.
"""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_sft

from ramjax.models import heads, llama, sharding
from ramjax.trainers import sft
from ramjax.trainers import step as step_lib

_CONFIG = tiny_sft.CONFIG
_EXAMPLES = tiny_sft.examples(8)


@functools.cache
def _params():
  # Larger than at initialisation, so that attention is far from uniform.
  @jax.jit
  def make():
    params = llama.init_params(_CONFIG, jax.random.key(0))
    return jax.tree.map(lambda x: x * 4 if x.ndim > 1 else x, params)

  return make()


@functools.cache
def _program(num_microbatches, chunk_size):
  """`(params, batch, key)` to gradient, loss and metrics, jitted."""
  # Both extras of the loss switched on.
  loss_fn = sft.make_loss_fn(
    _CONFIG, label_smoothing=0.1, z_loss=1e-3, chunk_size=chunk_size
  )
  return jax.jit(
    functools.partial(
      step_lib.accumulate_gradients,
      loss_fn,
      num_microbatches=num_microbatches,
    )
  )


def _gradient(batch, *, num_microbatches=1, chunk_size=16, mesh=None):
  """Loss, its weight, and gradient."""
  compute = _program(num_microbatches, chunk_size)
  params = _params()
  if mesh is None:
    grads, loss, _ = compute(params, batch, jax.random.key(0))
  else:
    with jax.set_mesh(mesh):
      placed = jax.device_put(params, llama.param_shardings(_CONFIG, mesh))
      grads, loss, _ = compute(
        placed, sharding.place_batch(batch, mesh), jax.random.key(0)
      )
  return jax.device_get((grads, loss))


@functools.cache
def _reference():
  """One example a row, padded to 12."""
  return _gradient(tiny_sft.batch([[e] for e in _EXAMPLES], length=12))


def _assert_same(result, tolerance=1e-5):
  (grads, loss), (expected_grads, expected_loss) = result, _reference()
  assert loss.weight == expected_loss.weight
  np.testing.assert_allclose(loss.value, expected_loss.value, rtol=tolerance)
  for grad, expected in zip(
    jax.tree.leaves(grads), jax.tree.leaves(expected_grads), strict=True
  ):
    np.testing.assert_allclose(
      grad, expected, atol=tolerance * np.abs(expected).max()
    )


def test_loss_equals_a_loop_over_tokens_with_dense_logits():
  @jax.jit
  def dense_logits(params, ids):
    positions = jnp.arange(ids.shape[1])[None]
    hidden = llama.apply(params, _CONFIG, ids, positions=positions)
    return heads.lm_logits(params, _CONFIG, hidden)

  total, count = 0.0, 0
  for tokens, mask in _EXAMPLES:
    # Alone in its row, at the length of the longest: one program does.
    ids = np.zeros((1, 12), np.int32)
    ids[0, : len(tokens)] = tokens
    logits = np.asarray(dense_logits(_params(), ids))[0].astype(np.float64)
    for t in range(1, len(tokens)):
      if mask[t]:
        log_z = np.log(np.exp(logits[t - 1]).sum())
        logps = logits[t - 1] - log_z
        total -= 0.9 * logps[tokens[t]] + 0.1 * logps.mean() - 1e-3 * log_z**2
        count += 1
  _, loss = _reference()
  assert loss.weight == count
  np.testing.assert_allclose(loss.value, total / count, rtol=1e-5)


def test_packing_changes_nothing():
  rows = [_EXAMPLES[0:3], _EXAMPLES[3:5], _EXAMPLES[5:8]]
  _assert_same(_gradient(tiny_sft.batch(rows, length=40)))


@pytest.mark.parametrize(
  "length", [pytest.param(16, marks=pytest.mark.slow), 64]
)
def test_padding_changes_nothing(length):
  batch = tiny_sft.batch([[e] for e in _EXAMPLES], length=length)
  _assert_same(_gradient(batch))


def test_empty_rows_change_nothing():
  rows = [[e] for e in _EXAMPLES] + [[], []]
  _assert_same(_gradient(tiny_sft.batch(rows, length=12)))


def test_row_order_changes_nothing():
  rows = [[e] for e in reversed(_EXAMPLES)]
  _assert_same(_gradient(tiny_sft.batch(rows, length=12)))


@pytest.mark.parametrize(
  "num_microbatches", [pytest.param(2, marks=pytest.mark.slow), 8]
)
def test_microbatches_change_nothing(num_microbatches):
  batch = tiny_sft.batch([[e] for e in _EXAMPLES], length=12)
  _assert_same(_gradient(batch, num_microbatches=num_microbatches))


@pytest.mark.parametrize(
  "chunk_size", [pytest.param(1, marks=pytest.mark.slow), 7, 1024]
)
def test_chunk_size_changes_nothing(chunk_size):
  batch = tiny_sft.batch([[e] for e in _EXAMPLES], length=12)
  _assert_same(_gradient(batch, chunk_size=chunk_size))


# Each axis and each number once; the rest of the table is slow.
_MESHES = (
  {"fsdp": 8},
  {"data": 2, "fsdp": 2, "tensor": 2},
  {"data": 4, "tensor": 2},
)


@pytest.mark.parametrize(
  "num_microbatches,axes",
  [
    (1, _MESHES[0]),
    *(
      pytest.param(num, axes, marks=pytest.mark.slow)
      for num, axes in (
        (1, _MESHES[1]),
        (1, _MESHES[2]),
        (2, _MESHES[0]),
        (2, _MESHES[1]),
        (2, _MESHES[2]),
      )
    ),
  ],
)
def test_eight_devices_change_nothing(axes, num_microbatches):
  # Sixteen rows, so that each of 2 microbatches still covers 8 devices.
  rows = [[e] for e in _EXAMPLES] + [[]] * 8
  mesh = sharding.make_mesh(axes)
  result = _gradient(
    tiny_sft.batch(rows, length=12),
    num_microbatches=num_microbatches,
    mesh=mesh,
  )
  _assert_same(result)


def test_full_logits_never_exist_in_the_step():
  # 8 rows of 256 tokens in chunks of 16: no array of the compiled step is as
  # large as half of the logits of the whole batch.
  batch = tiny_sft.batch([[e] for e in _EXAMPLES], length=256)
  loss_fn = sft.make_loss_fn(
    _CONFIG, label_smoothing=0.0, z_loss=0.0, chunk_size=16
  )
  lowered = jax.jit(
    functools.partial(
      step_lib.accumulate_gradients, loss_fn, num_microbatches=1
    )
  ).lower(_params(), batch, jax.random.key(0))
  assert f"16x{_CONFIG.vocab_size}xf32" in lowered.as_text()
  assert f"{8 * 256}x{_CONFIG.vocab_size}xf32" not in lowered.as_text()
  assert f"8x256x{_CONFIG.vocab_size}xf32" not in lowered.as_text()


def test_a_frozen_head_costs_no_gradient_of_its_matrix():
  # Width 16 and 48 tokens, in chunks of 5: only the gradient of the head is a
  # product of shape [16, 48].
  batch = tiny_sft.batch([[e] for e in _EXAMPLES], length=16)
  loss_fn = sft.make_loss_fn(
    _CONFIG, label_smoothing=0.0, z_loss=0.0, chunk_size=5
  )

  def products(frozen_names):
    params = _params()
    frozen = {name: params.pop(name) for name in frozen_names}
    step = functools.partial(
      step_lib.accumulate_gradients,
      lambda trained, part, key: loss_fn({**trained, **frozen}, part, key),
      num_microbatches=1,
    )
    compiled = jax.jit(step).lower(params, batch, jax.random.key(0)).compile()
    return [
      line
      for line in compiled.as_text().splitlines()
      if re.search(r"= f32\[16,48\]\S* dot\(", line)
    ]

  assert products([])
  assert not products(["lm_head"])
