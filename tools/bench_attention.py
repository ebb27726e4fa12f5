# SPDX-License-Identifier: Apache-2.0
"""`ramjax bench attention`: each backend, forward and backward, beside its floor.

The backends of `models.attention` that run here take turns on the same arrays,
and what each one computes is compared with XLA's.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.models import attention, attention_cudnn
from ramjax.tools import (
  bench_calls,
  bench_machine,
  bench_output,
  bench_table,
)
from ramjax.tools.bench_attention_shapes import (
  FORMULA,
  SIZES,
  Shape,
  segment_lengths,
  shapes,
  work,
)
from ramjax.tools.bench_calls import Call, Peaks
from ramjax.tools.bench_output import Measured

_REFERENCE = "xla"


def main(argv: Sequence[str]) -> int:
  """Measures and prints a table.

  Args:
    argv: The arguments behind `ramjax bench attention`.

  Returns:
    The exit status: 0, or 1 if it cannot be measured.
  """
  args = _parser().parse_args(argv)
  return bench_output.run(("bench", "attention"), argv, args, _measure)


def _measure(args: argparse.Namespace) -> Measured:
  machine = bench_machine.describe()
  device = jax.default_backend()
  backends = usable(args.backend, device)
  size = bench_calls.size_here(args.size)
  peaks = bench_calls.find_peaks()
  figures, failed = {}, {}
  for shape in shapes(SIZES[size]):
    found, not_found = measure_shape(
      shape, backends, steps=args.steps, seconds=args.seconds, peaks=peaks
    )
    figures |= found
    failed |= not_found
  report = dict(
    bench_calls.report("attention", size, machine, peaks.device, peaks.name),
    peaks=peaks._asdict(),
    formula=FORMULA,
    shapes=SIZES[size]._asdict(),
    backends=backends,
    figures=figures,
    not_measured=failed,
  )
  return Measured(report, _lines(report), size, bench_calls.headlines(figures))


def usable(backend: str, device: str) -> list[str]:
  """The backends to measure on a device.

  Args:
    backend: The one that is asked for; "" for all that run there. XLA comes
      along, to compare with.
    device: "cpu", "gpu" or "tpu".

  Raises:
    ValueError: The one that is asked for does not run there.
  """
  cudnn = attention_cudnn.serves(
    dtype=bench_machine.compute_dtype(device),
    branches=False,
    split_rows=False,
    capability=getattr(jax.devices()[0], "compute_capability", None),
  )

  def choose(name: str) -> str:
    return attention.choose_backend(name, device, cudnn=cudnn)

  if backend:
    return list(dict.fromkeys([_REFERENCE, choose(backend)]))
  found = []
  for name in attention.BACKENDS:
    try:
      found.append(choose(name))
    except ValueError:
      continue
  return found


def measure_shape(
  shape: Shape,
  backends: Sequence[str],
  *,
  steps: int,
  seconds: float,
  peaks: Peaks,
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
  """Times every backend on one shape, in turns, and compares its results.

  Returns:
    Figures by name, each with its `difference` from XLA, the largest of any
    number of the results (None of XLA itself, and where XLA has none); and, of
    what did not run, why.
  """
  dtype = jnp.dtype(bench_machine.compute_dtype(peaks.device))
  arrays = _arrays(shape, dtype)
  calls, differences, failed = {}, {}, {}
  for backward in (False, True):
    flops, num_bytes = work(shape, backward=backward, itemsize=dtype.itemsize)
    expected = None
    for backend in backends:
      name = _name(backend, shape, backward=backward)
      program = _program(backend, backward=backward)
      try:
        results = jax.block_until_ready(program(*arrays))
      except (ValueError, jax.errors.JaxRuntimeError) as error:
        # Too new or old a device, or no memory for XLA's scores.
        failed[name] = str(error).splitlines()[0]
        continue
      if backend == _REFERENCE:
        expected, differences[name] = results, None
      else:
        differences[name] = _difference(results, expected)
      calls[name] = Call(_blocking(program, arrays), flops, num_bytes)
  found = bench_calls.measure(calls, steps=steps, seconds=seconds, peaks=peaks)
  return {
    name: dict(figure, difference=differences[name])
    for name, figure in found.items()
  }, failed


def _arrays(shape: Shape, dtype: Any) -> tuple[jax.Array, ...]:
  """Queries, keys, values, the outputs' cotangent, and segment ids."""
  keys = jax.random.split(jax.random.key(0), 4)
  heads = (
    shape.num_heads,
    shape.num_kv_heads,
    shape.num_kv_heads,
    shape.num_heads,
  )
  lengths = segment_lengths(shape)
  row = np.repeat(np.arange(1, len(lengths) + 1, dtype=np.int32), lengths)
  return (
    *(
      jax.random.normal(
        key, (shape.rows, shape.length, num, shape.head_dim), dtype
      )
      for key, num in zip(keys, heads, strict=True)
    ),
    jnp.tile(row[None], (shape.rows, 1)),
  )


def _program(backend: str, *, backward: bool) -> Callable[..., Any]:
  """From the arrays to the output and, if asked for, the gradients."""

  def forward(query, key, value, segment_ids):
    return attention.attend(
      query, key, value, segment_ids=segment_ids, backend=backend
    )

  def run(query, key, value, cotangent, segment_ids):
    if not backward:
      return (forward(query, key, value, segment_ids),)
    output, pull = jax.vjp(
      lambda q, k, v: forward(q, k, v, segment_ids), query, key, value
    )
    return output, *pull(cotangent)

  return jax.jit(run)


def _blocking(program: Callable[..., Any], arrays: Any) -> Callable[[], Any]:
  return lambda: jax.block_until_ready(program(*arrays))


def _difference(results: Any, expected: Any) -> float | None:
  if expected is None:
    return None
  return max(
    float(jnp.max(jnp.abs(one.astype(jnp.float32) - other)))
    for one, other in zip(results, expected, strict=True)
  )


def _name(backend: str, shape: Shape, *, backward: bool) -> str:
  passes = "fwd+bwd" if backward else "fwd"
  rows = "packed" if shape.packed else "unpacked"
  return f"{backend} {passes} H={shape.head_dim} T={shape.length} {rows}"


def _lines(report: Mapping[str, Any]) -> list[str]:
  def difference(figure: Mapping[str, Any]) -> str:
    found = figure["difference"]
    return "-" if found is None else f"{found:.1e}"

  def rate(figure: Mapping[str, Any]) -> str:
    return bench_table.rounded(figure["flops"] / figure["step_s_median"] / 1e9)

  sizes = report["shapes"]
  opening = [
    *bench_calls.introduction(report),
    f"size {report['size']}: batches of {sizes['tokens']:,} tokens, causal,"
    f" N={sizes['num_heads']}, K={sizes['num_kv_heads']}",
  ]
  closing = [
    f"not measured: {name}: {reason}"
    for name, reason in report["not_measured"].items()
  ]
  closing.append(f"|diff|: the largest from {_REFERENCE}. {report['formula']}")
  return [
    *map(bench_table.wrapped, opening),
    "",
    *bench_calls.table(
      report["figures"], [("GFLOP/s", rate), ("|diff|", difference)]
    ),
    "",
    *map(bench_table.wrapped, closing),
  ]


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax bench attention",
    description=(
      "Measure causal attention by each backend that runs here (xla anywhere,"
      " splash on a TPU,\ncudnn on a Hopper GPU), on rows of one segment and"
      " on packed ones, forward and with the\nbackward pass; and how far its"
      " results are from XLA's. Each figure is beside the least time\nthat its"
      " arithmetic and its bytes can take.\n\nLeave the machine alone"
      " meanwhile."
    ),
    epilog=(
      "sizes:\n"
      "  tiny    rows of 32 tokens, head_dim 8: to try things out\n"
      "  small   rows of 512 and 1,024, head_dim 64 and 128, 4 heads over 2 of"
      " keys, float32\n"
      "  large   rows of 2,048 to 8,192, head_dim 64 and 128, 32 heads over 8"
      " of keys, bfloat16\n\n"
      "examples:\n  ramjax bench attention --json=attention.json\n"
      "  ramjax bench attention --backend=cudnn --ledger"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--backend",
    choices=tuple(attention.BACKENDS),
    default="",
    help="measure this one and xla (default: all that run here)",
  )
  bench_calls.add_size(parser, SIZES)
  bench_calls.add_options(parser)
  bench_output.add_options(parser, also="every step's time, versions, formula")
  return parser
