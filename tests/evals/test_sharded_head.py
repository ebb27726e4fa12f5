# SPDX-License-Identifier: Apache-2.0
"""The vocabulary on a mesh: as on one device, and nothing large moves twice."""

import functools
import re
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_compile
from jax.sharding import NamedSharding, PartitionSpec

from ramjax.evals import sharded_head
from ramjax.losses import vocabulary_blocks
from ramjax.losses.token_gaps import token_gaps
from ramjax.losses.token_kl import token_kl
from ramjax.losses.token_logps import mean_token_logps, token_logps
from ramjax.models import sharding

_B, _T, _D, _V, _K = 8, 6, 16, 50, 3
# Of 8 columns at that width: 7 blocks of 50, or 4 of 25, and the last of them
# repeats some columns.
_BLOCK_BYTES = 4 * _D * 8
_TOKENS = PartitionSpec(("data", "fsdp"), "sequence")
_MESHES = {
  "fsdp": {"fsdp": 8},
  "data and fsdp": {"data": 2, "fsdp": 4},
  "fsdp and tensor": {"fsdp": 4, "tensor": 2},
  "fsdp, sequence and tensor": {"fsdp": 2, "sequence": 2, "tensor": 2},
}


@pytest.fixture(autouse=True)
def _small_blocks():
  with mock.patch.object(vocabulary_blocks, "_BLOCK_BYTES", _BLOCK_BYTES):
    yield


@functools.cache
def _inputs() -> tuple[Any, Any]:
  """Two matrices, and tokens with as many hidden states."""
  rng = np.random.default_rng(0)
  kernels = rng.normal(size=(2, _D, _V)).astype(np.float32)
  mask = rng.random((_B, _T)) < 0.6
  # With rows on eight devices: one without a supervised token, one with one.
  mask[0], mask[1], mask[1, 2] = False, False, True
  tokens = (
    *rng.normal(size=(2, _B, _T, _D)).astype(np.float32),
    rng.integers(0, _V, (_B, _T)).astype(np.int32),
    mask,
    rng.gumbel(size=(_B, _T, _K)).astype(np.float32),
  )
  return tuple(kernels), tokens


def _all_losses(kernels, tokens, axes):
  """Everything that is computed over the vocabulary, each [N]."""
  (kernel, ref_kernel), (hidden, ref_hidden, targets, mask, noise) = (
    kernels,
    tokens,
  )
  where: dict[str, Any] = dict(mask=mask, chunk_size=2, axes=axes)
  one: dict[str, Any] = dict(hidden=hidden, kernel=kernel, targets=targets)
  scored = token_logps(**one, **where, temperature=0.7)
  gaps = token_gaps(**one, **where, noise=noise, stop_candidate_gradient=False)
  fixed = token_gaps(**one, **where, noise=noise, stop_candidate_gradient=True)
  means = mean_token_logps(
    hidden=hidden,
    kernel=kernel,
    log_normalizers=scored.log_normalizers,
    axes=axes,
  )
  kl = token_kl(
    hidden=jax.lax.stop_gradient(hidden),
    kernel=jax.lax.stop_gradient(kernel),
    ref_hidden=ref_hidden,
    ref_kernel=ref_kernel,
    **where,
  )
  return (*scored, gaps, fixed, jnp.where(mask, means, 0.0), kl)


def _gradients(kernels, tokens, tied):
  """Of a weighted sum of the losses, and the losses, each [B, T]."""

  def total(kernel, hidden):
    given = kernel.T if tied else kernel, kernels[1]
    found = sharded_head.per_device(_all_losses, given, (hidden, *tokens[1:]))
    weights = np.random.default_rng(1).normal(size=(5, _B, _T))
    # The divergence has no gradient.
    terms = zip(weights.astype(np.float32), found[:-1], strict=True)
    return sum(jnp.sum(weight * values) for weight, values in terms), found

  return jax.grad(total, (0, 1), has_aux=True)(kernels[0], tokens[0])


@functools.cache
def _on_one_device() -> Any:
  found = jax.jit(functools.partial(_gradients, tied=False))(*_inputs())
  return jax.device_get(found)


def _placed(mesh, tied):
  (kernel, ref_kernel), tokens = _inputs()

  def put(x, *spec):
    return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*spec)))

  kernels = (
    put(kernel.T, "tensor", "fsdp") if tied else put(kernel, "fsdp", "tensor"),
    put(ref_kernel, "fsdp", "tensor"),
  )
  return kernels, jax.tree.map(lambda x: put(x, *_TOKENS), tokens)


@pytest.mark.parametrize(
  "name,tied",
  [
    ("fsdp, sequence and tensor", True),
    pytest.param("fsdp", False, marks=pytest.mark.slow),
    pytest.param("data and fsdp", True, marks=pytest.mark.slow),
    pytest.param("fsdp and tensor", False, marks=pytest.mark.slow),
    pytest.param("fsdp, sequence and tensor", False, marks=pytest.mark.slow),
  ],
)
def test_values_and_gradients_are_those_of_one_device(name, tied):
  mesh = sharding.make_mesh(_MESHES[name])
  with jax.set_mesh(mesh):
    compute = jax.jit(functools.partial(_gradients, tied=tied))
    (kernel_grad, hidden_grad), found = jax.device_get(
      compute(*_placed(mesh, tied))
    )
  (expected_kernel, expected_hidden), expected = _on_one_device()
  for one, other in zip(found, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-5)
  if tied:
    kernel_grad = kernel_grad.T
  np.testing.assert_allclose(kernel_grad, expected_kernel, atol=1e-4)
  np.testing.assert_allclose(hidden_grad, expected_hidden, atol=1e-4)
  assert np.abs(expected_kernel).min() > 0


def test_a_batch_that_the_mesh_does_not_divide_is_left_to_the_compiler():
  (kernel, _), (hidden, _, targets, mask, _) = _inputs()
  part = [jnp.asarray(x[:3]) for x in (hidden, targets, mask)]

  def score(kernel, tokens, axes):
    assert axes == vocabulary_blocks.WHOLE
    hidden, targets, mask = tokens
    return token_logps(
      hidden=hidden, kernel=kernel, targets=targets, mask=mask, temperature=0.7
    ).logps

  with jax.set_mesh(sharding.make_mesh({"fsdp": 8})):
    run = jax.jit(lambda *x: sharded_head.per_device(score, *x))
    found = run(jnp.asarray(kernel), part)
  expected = _on_one_device()[1][0][:3]
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5)


_COLLECTIVE = re.compile(
  r"= \(?\w+\[([\d,]*)\].* (all-gather|all-reduce|reduce-scatter|all-to-all"
  r"|collective-permute)\("
)
# What one device tells itself.
_ALONE = re.compile(r"replica_groups=\{?(\{\d+\}|\[\d+,1\])")


def _collectives(program: str) -> list[tuple[int, str, int]]:
  """(loops around it, kind, numbers it makes) of each in compiled HLO."""
  bodies: dict[str, list[str]] = {}
  for line in program.splitlines():
    if line.endswith("{") and (
      found := re.match(r"(ENTRY )?%([\w.-]+) ", line)
    ):
      name = "ENTRY" if found[1] else found[2]
      bodies[name] = lines = []
    elif bodies:
      lines.append(line)
  found = []

  def visit(name: str, depth: int) -> None:
    for line in bodies[name]:
      match = _COLLECTIVE.search(line)
      if match and not _ALONE.search(line):
        size = int(np.prod([int(n) for n in match[1].split(",") if n]))
        found.append((depth, match[2], size))
      deeper = depth + (" while(" in line)
      for called in re.findall(r"(?:body|calls|to_apply)=%([\w.-]+)", line):
        visit(called, deeper)

  visit("ENTRY", 0)
  return sorted(found)


def _compiled(function, axes, chunk_size):
  """Collectives of a loss's gradient on a mesh."""
  mesh = sharding.make_mesh(axes)

  def total(kernel, hidden, tokens):
    def of_tokens(kernel, tokens, axes):
      hidden, _, targets, mask, noise = tokens
      options: dict[str, Any] = dict(chunk_size=chunk_size, axes=axes)
      if function is token_gaps:
        options |= dict(noise=noise, stop_candidate_gradient=False)
      found = function(
        hidden=hidden, kernel=kernel, targets=targets, mask=mask, **options
      )
      return found if function is token_gaps else found.logps

    found = sharded_head.per_device(of_tokens, kernel, (hidden, *tokens[1:]))
    return jnp.sum(found)

  with jax.set_mesh(mesh):
    (kernel, _), tokens = _placed(mesh, tied=False)
    gradient = jax.jit(
      jax.grad(total, (0, 1)),
      out_shardings=(kernel.sharding, tokens[0].sharding),
    )
    compiled = gradient.lower(kernel, tokens[0], tokens).compile()
  return _collectives(str(compiled.as_text()))


_KERNEL_BLOCK = _D * 8


def _require_collectives(found, expected):
  """Exactly these of the XLA that is pinned; another may split or repeat some.

  But it has some of each, none in the loop over chunks, and none that is larger.
  """
  if tiny_compile.IS_PINNED_XLA:
    assert found == expected
  largest = {}
  for depth, kind, size in expected:
    largest[depth, kind] = max(size, largest.get((depth, kind), 0))
  assert {place[:2] for place in found} == set(largest)
  assert all(size <= largest[depth, kind] for depth, kind, size in found)


@pytest.mark.parametrize("chunk_size", [1, 6])
def test_a_kernel_moves_once_a_block_and_never_with_a_chunk(chunk_size):
  found = _compiled(token_logps, {"data": 2, "fsdp": 4}, chunk_size)
  expected = [
    # The gradient that a device keeps, over `data`.
    (0, "all-reduce", _D // 4 * _V),
    # In the loop over blocks, and not in the one over chunks within it.
    (1, "all-gather", _KERNEL_BLOCK),
    (1, "all-gather", _KERNEL_BLOCK),
    (1, "reduce-scatter", _KERNEL_BLOCK // 4),
  ]
  _require_collectives(found, expected)


def test_gaps_move_the_kernel_forward_and_hidden_states_backward():
  found = _compiled(token_gaps, {"data": 2, "fsdp": 4}, 2)
  own_tokens = _B * _T // 8
  expected = [
    # What a token's gap counts, and the two columns it asks for.
    (0, "all-gather", 4 * own_tokens),
    (0, "all-gather", 4 * own_tokens * 2),
    (0, "all-reduce", _D // 4 * _V),
    # Of four parts, one for each device.
    (0, "all-to-all", own_tokens * _D // 4),
    (0, "all-to-all", own_tokens * _D // 4),
    (1, "all-gather", _KERNEL_BLOCK),
  ]
  _require_collectives(found, expected)
