# SPDX-License-Identifier: Apache-2.0
"""Memory of log-probabilities over a large vocabulary, in a process of its own.

What full float32 logits and their gradient would take is arithmetic; what the
chunked path takes is asked of the compiler, and seen by the system.
"""

import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.tools import bench_machine
from ramjax.tools.bench_cases import Case, Finding, Report

# Llama 3's vocabulary, and a batch of pairs of ordinary length. Half of the
# tokens are supervised.
SHAPE: Mapping[str, int] = dict(
  rows=8, length=2048, width=256, vocab_size=128_256
)
CASE = Case("logps memory", "ramjax.tools.bench_logps_memory", SHAPE)
# Of full logits, that the chunked path may take at most.
LIMIT = 1 / 4


def main(argv: Sequence[str]) -> int:
  """Child process: measures the shape in SPEC, into OUT."""
  spec_path, out_path = map(pathlib.Path, argv)
  report = measure(json.loads(spec_path.read_text()))
  out_path.write_text(json.dumps(report))
  return 0


def measure(shape: Mapping[str, int]) -> Report:
  """Compiles and runs the gradient of summed log-probabilities.

  Args:
    shape: Like `SHAPE`.

  Returns:
    In bytes: `full_logits`; `temporary` and `output` of the compiled program,
    as XLA plans them; `resident`, by how much the process grew while it ran,
    which on an accelerator says little.

  Raises:
    ValueError: The backend does not tell.
  """
  import jax
  import jax.numpy as jnp

  from ramjax.losses import token_logps as token_logps_lib

  num_tokens = shape["rows"] * shape["length"]

  def loss(hidden: jax.Array, kernel: jax.Array, batch: Any) -> jax.Array:
    results = token_logps_lib.token_logps(hidden=hidden, kernel=kernel, **batch)
    return jnp.sum(results.logps)

  arguments = (
    jnp.ones((num_tokens, shape["width"]), jnp.float32),
    jnp.ones((shape["width"], shape["vocab_size"]), jnp.float32),
    dict(
      targets=jnp.arange(num_tokens, dtype=jnp.int32),
      mask=jnp.arange(num_tokens) % 2 == 0,
    ),
  )
  gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
  compiled = gradient.lower(*arguments).compile()
  planned = compiled.memory_analysis()
  if planned is None:
    raise ValueError(
      f"JAX's backend {jax.default_backend()!r} does not say how much memory a"
      " program takes: set JAX_PLATFORMS=cpu."
    )
  before = bench_machine.peak_memory_bytes()
  jax.block_until_ready(compiled(*arguments))
  return dict(
    full_logits=num_tokens * shape["vocab_size"] * 4,
    temporary=planned.temp_size_in_bytes,
    output=planned.output_size_in_bytes,
    resident=bench_machine.peak_memory_bytes() - before,
  )


def finding(report: Report) -> Finding:
  """What the report comes to, beside full logits."""
  full = report["full_logits"]
  planned = report["temporary"] + report["output"]
  share = planned / full
  return Finding(
    f"memory of log-probabilities, forward and backward, {SHAPE['rows']} x"
    f" {SHAPE['length']:,} tokens, half of them supervised, a vocabulary of"
    f" {SHAPE['vocab_size']:,}: {planned / 1e9:.2f} GB as compiled (XLA's"
    f" temporaries and outputs; the process grew by"
    f" {report['resident'] / 1e9:.2f} GB), where full float32 logits take"
    f" {full / 1e9:.2f} and their gradient as much again: {share:.3f} of full"
    f" logits ({'below' if share < LIMIT else 'NOT below'} {LIMIT})",
    dict(report, figure="logps memory", share=share, limit=LIMIT),
  )


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
