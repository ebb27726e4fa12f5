# SPDX-License-Identifier: Apache-2.0
"""Packed rows with branches, and what attention over them must come to.

Run as a program, `python tests/tiny/tiny_attention.py BACKEND`, it holds a
backend of the machine at hand to the XLA one and prints the differences.
"""

import functools
import json
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.models import attention


class Case(NamedTuple):
  """Arrays of a batch: query, key and value, and who sees whom."""

  query: np.ndarray
  key: np.ndarray
  value: np.ndarray
  segment_ids: np.ndarray
  branch_ids: np.ndarray

  @property
  def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Query, key and value."""
    return self.query, self.key, self.value


def segments(length: int, rows: int) -> np.ndarray:
  """Even rows: two segments; odd ones: three and padding, cut at no block."""
  at = np.arange(length)
  two = 1 + (at >= 0.4 * length)
  three = (1 + (at >= 0.2 * length) + (at >= 0.55 * length)) * (
    at < 0.8 * length
  )
  return np.stack([two, three] * (rows // 2)).astype(np.int32)


def branches(segment_ids: np.ndarray) -> np.ndarray:
  """Each segment is a prefix and the branches 1, 2 and 3."""
  branch_ids = np.zeros_like(segment_ids)
  for b, row in enumerate(segment_ids):
    for segment in set(row.tolist()) - {0}:
      at = np.flatnonzero(row == segment)
      for branch, start in ((1, 3), (2, 5), (3, 7)):
        branch_ids[b, at[start * len(at) // 9 :]] = branch
  return branch_ids


def case(
  length: int,
  *,
  rows: int = 2,
  num_heads: int = 4,
  num_kv_heads: int = 2,
  head_dim: int = 8,
  seed: int = 0,
) -> Case:
  """Random queries, keys and values in float32, packed."""
  rng = np.random.default_rng(seed)

  def normal(heads):
    shape = (rows, length, heads, head_dim)
    return rng.normal(size=shape).astype(np.float32)

  ids = segments(length, rows)
  arrays = normal(num_heads), normal(num_kv_heads), normal(num_kv_heads)
  return Case(*arrays, ids, branches(ids))


def seen(given: Case, *, window: int | None, branched: bool) -> np.ndarray:
  """[B, T, T] bool: the second token is seen by the first."""
  at = np.arange(given.segment_ids.shape[1])
  distance = at[:, None] - at[None]
  mask = (distance >= 0) & (distance < (window or len(at)))
  ids = given.segment_ids
  mask = mask[None] & (ids[:, :, None] == ids[:, None])
  if branched:
    own, of_key = given.branch_ids[:, :, None], given.branch_ids[:, None]
    mask = mask & ((own == of_key) | (of_key == 0))
  return mask


def dense(given: Case, mask: np.ndarray) -> np.ndarray:
  """Softmax attention in float64 under a mask [B, T, S]."""
  query, key, value = (x.astype(np.float64) for x in given.arrays)
  group = query.shape[2] // key.shape[2]
  key, value = np.repeat(key, group, axis=2), np.repeat(value, group, axis=2)
  scores = np.einsum("BTNH,BSNH->BNTS", query, key) / query.shape[-1] ** 0.5
  scores = np.where(mask[:, None], scores, -np.inf)
  weights = np.exp(scores - scores.max(-1, keepdims=True))
  weights /= weights.sum(-1, keepdims=True)
  return np.einsum("BNTS,BSNH->BTNH", weights, value)


def with_noise(arrays: Any, where: np.ndarray) -> Any:
  """`arrays` with other values at `where` [B, T]."""
  noisy = [np.where(where[:, :, None, None], 100 * x + 7, x) for x in arrays]
  return [x.astype(np.float32) for x in noisy]


@functools.partial(
  jax.jit, static_argnames=("backend", "window", "branched", "dtype")
)
def _results(
  arrays, weights, segment_ids, branch_ids, backend, window, branched, dtype
):
  def total(query, key, value):
    output = attention.attend(
      query.astype(dtype),
      key.astype(dtype),
      value.astype(dtype),
      segment_ids=segment_ids,
      branch_ids=branch_ids if branched else None,
      window=window,
      backend=backend,
    ).astype(jnp.float32)
    return jnp.sum(output * weights), output

  (_, output), grads = jax.value_and_grad(total, (0, 1, 2), has_aux=True)(
    *arrays
  )
  return output, grads


def results(
  given: Case,
  backend: str,
  *,
  arrays: Any = None,
  weights: Any = None,
  window: int | None = None,
  branched: bool = False,
  dtype: str = "float32",
) -> tuple[np.ndarray, list[np.ndarray]]:
  """Output, and gradients of its sum under weights, by a backend.

  Args:
    given: The rows.
    backend: Its name.
    arrays: Query, key and value in place of the case's.
    weights: [B, T, N, H] of the sum; None is the queries, which differ.
    window: See `attention.attend`.
    branched: Whether the branches of the rows are told.
    dtype: Of the computation.
  """
  output, grads = _results(
    tuple(given.arrays if arrays is None else arrays),
    given.query if weights is None else weights,
    given.segment_ids,
    given.branch_ids,
    backend=backend,
    window=window,
    branched=branched,
    dtype=dtype,
  )
  return jax.device_get((output, list(grads)))


def _differences(backend: str) -> dict[str, float]:
  """What a GPU's backend gets otherwise than XLA in float32, in bfloat16."""
  given = case(512, head_dim=64)
  found = {}
  for name, window in (("causal", None), ("window", 100)):
    output, grads = results(given, backend, window=window, dtype="bfloat16")
    wanted, wanted_grads = results(given, "xla", window=window)
    for part, a, b in zip(
      ("output", "query", "key", "value"),
      [output, *grads],
      [wanted, *wanted_grads],
      strict=True,
    ):
      found[f"{name}/{part}"] = float(np.abs(a - b).max() / np.abs(b).max())
  hit = given.segment_ids == 2
  before, _ = results(given, backend, dtype="bfloat16")
  noisy = with_noise(given.arrays, hit)
  after, _ = results(given, backend, arrays=noisy, dtype="bfloat16")
  found["leak"] = float(np.abs(before - after)[~hit].max())
  return found


if __name__ == "__main__":
  print(json.dumps(_differences(sys.argv[1])))
