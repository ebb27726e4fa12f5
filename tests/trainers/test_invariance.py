# SPDX-License-Identifier: Apache-2.0
"""What must leave loss, gradient and metrics of every loss unchanged.

Microbatches, packing, prefix sharing, padding and its side, the order of rows,
chunk size, devices. The losses of a family are compiled together, as a sum
whose weights are arguments, and then tried one by one.
"""

import dataclasses
import functools
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives
from tiny_objectives import FAMILIES

from ramjax.data import group_batches
from ramjax.data.group_batches import GroupBatch
from ramjax.models import llama, sharding
from ramjax.trainers import loss_terms
from ramjax.trainers import step as step_lib

_TOLERANCE = 1e-5
_ROWS = 16
_LENGTH = 64


class _Cut(NamedTuple):
  """How the same groups are worked through."""

  num_microbatches: int = 1
  pack: bool = False
  share_prompt: bool = False
  row_length: int = _LENGTH
  chunk_size: int = 16
  axes: tuple[tuple[str, int], ...] = ()
  reverse: bool = False
  right: bool = False


_CUTS = {
  "the order of rows": _Cut(reverse=True),
  "the side of the padding": _Cut(right=True),
  "devices": _Cut(axes=(("fsdp", 8),)),
  # One program to compile, not five.
  "packing, shared prompts, longer rows, chunks and 4 microbatches": _Cut(
    pack=True,
    num_microbatches=4,
    share_prompt=True,
    row_length=96,
    chunk_size=3,
  ),
  "packing, longer rows, chunks and 4 microbatches": _Cut(
    pack=True, num_microbatches=4, row_length=96, chunk_size=3
  ),
  "microbatches on devices": _Cut(
    num_microbatches=2, axes=(("data", 2), ("fsdp", 4))
  ),
}
_ALL_AT_ONCE = {
  True: "packing, shared prompts, longer rows, chunks and 4 microbatches",
  False: "packing, longer rows, chunks and 4 microbatches",
}


def _cases() -> list[Any]:
  """Each cut with each family; those that share a program beside each other."""
  found = []
  for family, case in FAMILIES.items():
    for name, cut in _CUTS.items():
      if cut.share_prompt and not case.shares_prompts:
        continue  # Its rows' answers follow different prompts.
      if name == _ALL_AT_ONCE[False] and case.shares_prompts:
        continue  # All at once is more.
      # One family on devices: the quickest that compares with a reference.
      slow = cut.axes and (family, name) != ("unpaired", "devices")
      marks = [pytest.mark.slow] if slow else []
      found.append(pytest.param(family, name, marks=marks))
  return found


def _batch(family: str, cut: _Cut) -> GroupBatch:
  (batch,) = group_batches.eval_batches(
    FAMILIES[family].groups,
    row_length=cut.row_length,
    share_prompt=cut.share_prompt,
    batch_size=_ROWS,
    pack=cut.pack,
  )
  if cut.reverse:
    batch = jax.tree.map(lambda x: x[::-1].copy(), batch)
  return _padding_first(batch) if cut.right else batch


def _padding_first(batch: GroupBatch) -> GroupBatch:
  """The content of each row moved to its end."""
  used = np.count_nonzero(batch.segment_ids, axis=1)

  def move(values: np.ndarray) -> np.ndarray:
    rows = zip(values, used, strict=True)
    return np.stack([np.roll(row, len(row) - num) for row, num in rows])

  moved = {
    name: move(getattr(batch, name))
    for name in GroupBatch._fields
    if name != "features" and getattr(batch, name) is not None
  }
  return batch._replace(**moved)


@functools.cache
def _program(family: str, num_microbatches: int, chunk_size: int):
  """`(params, reference, batch, weights)` to what a step computes, jitted."""
  case = FAMILIES[family]
  load = loss_terms.load_terms

  def compute(params, reference, batch, weights):
    def load_weighted(*args: Any, **kwargs: Any) -> Any:
      terms = load(*args, **kwargs)
      return tuple(
        dataclasses.replace(term, weight=weight)
        for term, weight in zip(terms, weights, strict=True)
      )

    with mock.patch.object(loss_terms, "load_terms", load_weighted):
      objective = case.objective(chunk_size=chunk_size)
    key = jax.random.key(3)
    carried = {
      name: jnp.float32(value)
      for name, value in {**objective.carried, **case.carried}.items()
    }
    if objective.prepare is not None:
      batch, carried = objective.prepare(
        params, reference, carried, batch, key, num_microbatches
      )
    grads, loss, metrics = step_lib.accumulate_gradients(
      objective.loss_fn,
      params,
      batch,
      key,
      num_microbatches=num_microbatches,
    )
    values = {name: mean.value for name, mean in metrics.items()}
    return grads, (loss.value, loss.weight), values, carried

  return jax.jit(compute)


def _results(family: str, cut: _Cut) -> dict[str, Any]:
  """What a step computes with each loss of the family, by its name."""
  case = FAMILIES[family]
  batch = _batch(family, cut)
  params = tiny_objectives.random_params(case.config, 1)
  reference = tiny_objectives.random_params(case.config, 2)
  weights = np.eye(len(case.terms), dtype=np.float32)
  run = _program(family, cut.num_microbatches, cut.chunk_size)
  if not cut.axes:
    found = [run(params, reference, batch, tuple(row)) for row in weights]
  else:
    mesh = sharding.make_mesh(dict(cut.axes))
    with jax.set_mesh(mesh):
      placed = jax.device_put(
        (params, reference), (llama.param_shardings(case.config, mesh),) * 2
      )
      batch = sharding.place_batch(batch, mesh)
      found = [run(*placed, batch, tuple(row)) for row in weights]
  return dict(zip(case.terms, jax.device_get(found), strict=True))


@functools.cache
def _base(family: str) -> dict[str, Any]:
  """The same groups one in a row, on one device."""
  return _results(family, _Cut())


def _assert_same(loss: str, result: Any, expected: Any) -> None:
  grads, value, metrics, carried = result
  grads_, value_, metrics_, carried_ = expected
  assert value[1] == value_[1] > 0
  np.testing.assert_allclose(value[0], value_[0], rtol=_TOLERANCE, err_msg=loss)
  leaves = jax.tree_util.tree_leaves_with_path(grads_)
  assert max(np.abs(leaf).max() for _, leaf in leaves) > 1e-3, loss
  for (path, other), one in zip(leaves, jax.tree.leaves(grads), strict=True):
    np.testing.assert_allclose(
      one,
      other,
      atol=_TOLERANCE * np.abs(other).max(),
      err_msg=f"{loss} {jax.tree_util.keystr(path)}",
    )
  for ones, others in ((metrics, metrics_), (carried, carried_)):
    assert ones.keys() == others.keys()
    for name, other in others.items():
      np.testing.assert_allclose(
        ones[name],
        other,
        rtol=_TOLERANCE,
        atol=_TOLERANCE,
        err_msg=f"{loss} {name}",
      )


def test_every_loss_that_can_be_trained_has_a_case():
  cases = [name for case in FAMILIES.values() for name in case.terms]
  assert sorted(cases) == sorted(tiny_objectives.trainable_losses())


@pytest.mark.parametrize("family,name", _cases())
def test_loss_gradient_and_metrics_do_not_depend_on(family, name):
  results, expected = _results(family, _CUTS[name]), _base(family)
  for loss in FAMILIES[family].terms:
    _assert_same(loss, results[loss], expected[loss])


@pytest.mark.parametrize(
  "family,loss", [("preference", "aot_unpaired"), ("unpaired", "bco")]
)
def test_a_loss_alone_is_that_of_the_sum_with_one_weight(family, loss):
  # The sweep compiles a sum; a run has one term.
  case = FAMILIES[family]
  terms = tiny_objectives.weighted({loss: case.terms[loss]})
  objective = case.objective(terms)
  carried = {k: jnp.float32(v) for k, v in case.carried.items()}

  @jax.jit
  def value(params, reference, batch):
    key = jax.random.key(3)
    assert objective.prepare is not None
    batch, _ = objective.prepare(params, reference, carried, batch, key, 1)
    return objective.loss_fn(params, batch, key)[0].value

  params, reference = (
    tiny_objectives.random_params(case.config, seed) for seed in (1, 2)
  )
  _, expected, _, _ = _base(family)[loss]
  np.testing.assert_allclose(
    value(params, reference, _batch(family, _Cut())),
    expected[0],
    rtol=_TOLERANCE,
  )
