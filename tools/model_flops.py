# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations that training on some tokens needs.

The common ground of every speed here: what is measured (`ramjax bench`) and
what is expected (`ramjax plan`).
"""

from collections.abc import Mapping

from ramjax.models.config import LlamaConfig

FORMULA = (
  "FLOP = 6 P t + 6 D V s + 12 L N H p, where P = L (2 D H (N + K) + 3 D F);"
  " t tokens without padding, s supervised ones, p (query, key) pairs of causal"
  " attention within the examples, n (n + 1) / 2 for one of n tokens. The same"
  " count on both sides: what is spent on padding, on the head's other"
  " positions or on recomputation counts as nothing."
)


def model_flops(model: LlamaConfig, counts: Mapping[str, int]) -> float:
  """Floating-point operations that training on some tokens needs: `FORMULA`.

  Args:
    model: The shape.
    counts: `tokens`, `supervised` and `pairs`; see `bench_cases.COUNTS`.

  Returns:
    Multiplications and additions of the matmuls, forward and backward.
  """
  heads = model.head_dim * (model.num_heads + model.num_kv_heads)
  per_layer = 2 * model.width * heads + 3 * model.width * model.mlp_width
  layers = 6.0 * model.num_layers * per_layer * counts["tokens"]
  head = 6.0 * model.width * model.vocab_size * counts["supervised"]
  attention = 12.0 * model.num_layers * model.num_heads * model.head_dim
  return layers + head + attention * counts["pairs"]
