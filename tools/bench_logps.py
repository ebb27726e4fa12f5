# SPDX-License-Identifier: Apache-2.0
"""`ramjax bench logps`: log-probabilities over a large vocabulary.

The head in chunks of supervised tokens, as training runs it, against full
logits: seconds, forward and backward, and the memory that the compiler says
each one takes.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ramjax.tools import (
  bench_calls,
  bench_logps_memory,
  bench_machine,
  bench_output,
  bench_table,
)
from ramjax.tools.bench_calls import Call, Peaks
from ramjax.tools.bench_ledger import Figure
from ramjax.tools.bench_output import Measured

_FORMULA = (
  "FLOP = 6 D V s: width D, vocabulary V, s supervised tokens; the logits that"
  " chunks compute again count as nothing. Bytes = 2 N D h + 8 D V: hidden"
  " states of all N tokens, in numbers of h bytes, and the float32 matrix, read"
  " once, and their gradients written. Memory is XLA's temporaries, beside the"
  " arguments and the gradients; its floor is one chunk of float32 logits, or"
  f" all of them. {bench_calls.FORMULA}"
)
# Figure -> (loss of `bench_logps_memory`, whether every token is supervised).
_CASES = {
  "full logits": ("full", True),
  "chunks": ("logps", True),
  "chunks, half supervised": ("logps", False),
}


class Size(NamedTuple):
  """What is measured.

  Attributes:
    tokens: N.
    width: D.
    vocab_size: V.
    chunk_size: Tokens whose logits exist at a time.
  """

  tokens: int
  width: int
  vocab_size: int
  chunk_size: int


SIZES: Mapping[str, Size] = {
  "tiny": Size(64, 16, 128, 16),
  "small": Size(512, 256, 32_768, 128),
  # Llama 3 8B's head.
  "large": Size(4096, 4096, 128_256, 1024),
}


def main(argv: Sequence[str]) -> int:
  """Measures and prints a table.

  Args:
    argv: The arguments behind `ramjax bench logps`.

  Returns:
    The exit status: 0, or 1 if it cannot be measured.
  """
  args = _parser().parse_args(argv)
  return bench_output.run(("bench", "logps"), argv, args, _measure)


def _measure(args: argparse.Namespace) -> Measured:
  machine = bench_machine.describe()
  size = bench_calls.size_here(args.size)
  peaks = bench_calls.find_peaks()
  figures = measure_size(
    SIZES[size], steps=args.steps, seconds=args.seconds, peaks=peaks
  )
  report = dict(
    bench_calls.report("logps", size, machine, peaks.device, peaks.name),
    peaks=peaks._asdict(),
    formula=_FORMULA,
    shape=SIZES[size]._asdict(),
    figures=figures,
  )
  return Measured(report, _lines(report), size, _headlines(figures))


def work(size: Size, *, supervised: int, itemsize: int) -> tuple[float, float]:
  """Operations and bytes that are needed: see the formula that is printed.

  Args:
    size: What is measured.
    supervised: Tokens whose log-probability is wanted.
    itemsize: Bytes of a number of the hidden states.
  """
  matrix = size.width * size.vocab_size
  hidden_bytes = 2.0 * size.tokens * size.width * itemsize
  return 6.0 * matrix * supervised, hidden_bytes + 8.0 * matrix


def measure_size(
  size: Size, *, steps: int, seconds: float, peaks: Peaks
) -> dict[str, dict[str, Any]]:
  """Times every case of a size in turns, forward and backward.

  Returns:
    Figures by case, each with `temp_bytes` as compiled, `floor_bytes`, and
    `difference`: the largest of any number of both gradients from that of full
    logits, over the largest number there; None where there is none to compare.

  Raises:
    ValueError: The backend does not say what memory a program takes.
  """
  dtype = jnp.dtype(bench_machine.compute_dtype(peaks.device))
  keys = jax.random.split(jax.random.key(0), 3)
  shape = (size.tokens, size.width)
  hidden = jax.random.normal(keys[0], shape, dtype)
  kernel = jax.random.normal(keys[1], (size.width, size.vocab_size))
  kernel *= size.width**-0.5
  targets = jax.random.randint(keys[2], shape[:1], 0, size.vocab_size)
  every = jnp.ones(shape[:1], bool)
  half = jnp.arange(size.tokens) % 2 == 0
  losses = bench_logps_memory.losses(size.tokens, size.chunk_size)
  compiled = {
    name: jax.jit(jax.value_and_grad(losses[name], argnums=(0, 1)))
    .lower(hidden, kernel, targets, every)
    .compile()
    for name in {loss for loss, _ in _CASES.values()}
  }
  calls, more = {}, {}
  for name, (loss, is_every) in _CASES.items():
    arguments = (hidden, kernel, targets, every if is_every else half)
    num = size.tokens if is_every else int(half.sum())
    flops, num_bytes = work(size, supervised=num, itemsize=dtype.itemsize)
    run = _blocking(compiled[loss], arguments)
    calls[name] = Call(run, flops, num_bytes)
    held = size.tokens if loss == "full" else size.chunk_size
    more[name] = dict(
      temp_bytes=_temporaries(compiled[loss]),
      floor_bytes=4 * held * size.vocab_size,
      difference=_difference(run, _blocking(compiled["full"], arguments))
      if loss == "logps"
      else None,
    )
  found = bench_calls.measure(calls, steps=steps, seconds=seconds, peaks=peaks)
  return {name: figure | more[name] for name, figure in found.items()}


def _blocking(program: Callable[..., Any], arguments: Any) -> Callable[[], Any]:
  return lambda: jax.block_until_ready(program(*arguments))


def _temporaries(program: Any) -> int:
  planned = program.memory_analysis()
  if planned is None:
    raise ValueError(
      f"JAX's backend {jax.default_backend()!r} does not say how much memory a"
      " program takes: set JAX_PLATFORMS=cpu."
    )
  return planned.temp_size_in_bytes


def _difference(run: Callable[[], Any], full: Callable[[], Any]) -> float:
  (_, grads), (_, expected) = run(), full()
  return max(
    float(jnp.max(jnp.abs(one - other)) / jnp.max(jnp.abs(other)))
    for one, other in zip(grads, expected, strict=True)
  )


def _headlines(
  figures: Mapping[str, Mapping[str, Any]],
) -> dict[str, Figure]:
  memory = {
    f"{name}, memory": Figure(
      found["temp_bytes"] / 1e6, "MB", found["floor_bytes"] / 1e6
    )
    for name, found in figures.items()
  }
  return bench_calls.headlines(figures) | memory


def _lines(report: Mapping[str, Any]) -> list[str]:
  def memory(figure: Mapping[str, Any]) -> str:
    return bench_table.rounded(figure["temp_bytes"] / 1e6)

  def difference(figure: Mapping[str, Any]) -> str:
    found = figure["difference"]
    return "-" if found is None else f"{found:.1e}"

  shape, figures = report["shape"], report["figures"]
  full, chunks = figures["full logits"], figures["chunks"]
  opening = [
    *bench_calls.introduction(report),
    f"size {report['size']}: {shape['tokens']:,} tokens of width"
    f" {shape['width']:,}, a vocabulary of {shape['vocab_size']:,}, chunks of"
    f" {shape['chunk_size']:,}; loss and both gradients",
  ]
  closing = [
    "chunks over full logits:"
    f" {chunks['step_s_median'] / full['step_s_median']:.2f} of the time,"
    f" {chunks['temp_bytes'] / full['temp_bytes']:.3f} of the memory; floors of"
    f" the memory, MB: {chunks['floor_bytes'] / 1e6:,.1f} and"
    f" {full['floor_bytes'] / 1e6:,.1f}",
    "|diff|: the largest of both gradients from those of full logits, over the"
    f" largest of those. {report['formula']}",
  ]
  return [
    *map(bench_table.wrapped, opening),
    "",
    *bench_calls.table(
      figures, [("memory, MB", memory), ("|diff|", difference)]
    ),
    "",
    *map(bench_table.wrapped, closing),
  ]


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax bench logps",
    description=(
      "Measure log-probabilities over a large vocabulary, forward and backward:"
      " in chunks of\nsupervised tokens, as every loss here computes them,"
      " against full logits. Each figure is\nbeside the least time that its"
      " arithmetic and its bytes can take. Memory is not watched: it\nis what"
      " the compiler says.\n\nLeave the machine alone meanwhile."
    ),
    epilog=(
      "sizes:\n"
      "  tiny    64 tokens, a vocabulary of 128: to try things out\n"
      "  small   512 tokens of width 256, a vocabulary of 32,768, float32\n"
      "  large   4,096 tokens of width 4,096, a vocabulary of 128,256,"
      " bfloat16\n\n"
      "example:\n  ramjax bench logps --json=logps.json --ledger"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  bench_calls.add_size(parser, SIZES)
  bench_calls.add_options(parser)
  bench_output.add_options(parser, also="every step's time, versions, formula")
  return parser
