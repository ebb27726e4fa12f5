# SPDX-License-Identifier: Apache-2.0
"""Memory of log-probabilities over a large vocabulary, in a process of its own.

The compiler says what a program takes beside its arguments and results. Nothing is
run: 16,384 tokens of Llama 3 8B's head are 26 TFLOP forward and backward.
"""

import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ramjax.tools.bench_cases import Case, Finding, Report

# Llama 3 8B's head, and a batch of pairs of ordinary length.
SHAPE: Mapping[str, int] = dict(
  rows=8, length=2048, width=4096, vocab_size=128_256
)
CASE = Case("logps memory", "ramjax.tools.bench_logps_memory", SHAPE)
# As in every config.
_CHUNK_SIZE = 1024
# Of what full logits take, that the chunked path may take at most.
LIMIT = 1 / 4


def main(argv: Sequence[str]) -> int:
  """Child process: measures the shape in SPEC, into OUT."""
  spec_path, out_path = map(pathlib.Path, argv)
  report = measure(json.loads(spec_path.read_text()))
  out_path.write_text(json.dumps(report))
  return 0


def losses(num_tokens: int, chunk_size: int) -> dict[str, Callable[..., Any]]:
  """Scalars of hidden states, head, targets and mask, by name.

  Args:
    num_tokens: N.
    chunk_size: Tokens whose logits exist at a time.

  Returns:
    Of `(hidden [N, D], kernel [D, V], targets [N], mask [N])`: `logps`, summed
    log-probabilities; `gaps`, summed Cringe contrasts; `full`,
    log-probabilities from full logits.
  """
  import jax
  import jax.numpy as jnp

  from ramjax.losses.token_gaps import token_gaps
  from ramjax.losses.token_logps import token_logps

  def logps(hidden: Any, kernel: Any, targets: Any, mask: Any) -> Any:
    found = token_logps(
      hidden=hidden,
      kernel=kernel,
      targets=targets,
      mask=mask,
      chunk_size=chunk_size,
    )
    return jnp.sum(found.logps)

  def gaps(hidden: Any, kernel: Any, targets: Any, mask: Any) -> Any:
    found = token_gaps(
      hidden=hidden,
      kernel=kernel,
      targets=targets,
      mask=mask,
      noise=jnp.zeros((num_tokens, 1)),
      stop_candidate_gradient=False,
      chunk_size=chunk_size,
    )
    return jnp.sum(jax.nn.softplus(found))

  def full(hidden: Any, kernel: Any, targets: Any, mask: Any) -> Any:
    logits = jnp.matmul(
      hidden, kernel.astype(hidden.dtype), preferred_element_type=jnp.float32
    )
    every = jax.nn.log_softmax(logits)
    own = jnp.take_along_axis(every, targets[:, None], axis=1)[:, 0]
    return jnp.sum(jnp.where(mask, own, 0.0))

  return dict(logps=logps, gaps=gaps, full=full)


def measure(shape: Mapping[str, int]) -> Report:
  """Compiles the gradient of three losses by hidden states and by the head.

  Args:
    shape: Like `SHAPE`.

  Returns:
    In bytes, XLA's temporaries: `logps` of summed log-probabilities, `gaps` of
    summed Cringe contrasts, `full` of log-probabilities from full logits; and
    `gradients`, the results of each.

  Raises:
    ValueError: The backend does not tell.
  """
  import jax
  import jax.numpy as jnp

  num_tokens = shape["rows"] * shape["length"]
  arguments = (
    jax.ShapeDtypeStruct((num_tokens, shape["width"]), jnp.float32),
    jax.ShapeDtypeStruct((shape["width"], shape["vocab_size"]), jnp.float32),
    jax.ShapeDtypeStruct((num_tokens,), jnp.int32),
    jax.ShapeDtypeStruct((num_tokens,), jnp.bool_),
  )
  report: Report = {}
  for name, loss in losses(num_tokens, _CHUNK_SIZE).items():
    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    planned = gradient.lower(*arguments).compile().memory_analysis()
    if planned is None:
      raise ValueError(
        f"JAX's backend {jax.default_backend()!r} does not say how much memory"
        " a program takes: set JAX_PLATFORMS=cpu."
      )
    report[name] = planned.temp_size_in_bytes
    report["gradients"] = planned.output_size_in_bytes
  return report


def finding(report: Report) -> Finding:
  """What the report comes to, beside full logits."""
  shares = {name: report[name] / report["full"] for name in ("logps", "gaps")}
  below = max(shares.values()) < LIMIT
  return Finding(
    "memory, forward and backward, of log-probabilities and of Cringe's"
    f" contrasts, {SHAPE['rows']} x {SHAPE['length']:,} tokens, width"
    f" {SHAPE['width']:,}, a vocabulary of {SHAPE['vocab_size']:,}, float32:"
    f" {report['logps'] / 1e9:.2f} and {report['gaps'] / 1e9:.2f} GB of"
    f" temporaries as compiled, where full logits and their gradient take"
    f" {report['full'] / 1e9:.2f}: {shares['logps']:.3f} and"
    f" {shares['gaps']:.3f} of that ({'below' if below else 'NOT below'}"
    f" {LIMIT}). The gradients themselves, {report['gradients'] / 1e9:.2f} GB,"
    " come on top in every case.",
    dict(report, figure="logps memory", shares=shares, limit=LIMIT),
  )


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
