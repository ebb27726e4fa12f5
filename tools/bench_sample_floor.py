# SPDX-License-Identifier: Apache-2.0
"""The least that sampling a queue can take: its arithmetic and its bytes.

A step of the whole batch reads every weight once, for one token of each row,
and each row reads its own keys and values: on an accelerator that decides.
"""

import numpy as np

from ramjax.models.config import LlamaConfig
from ramjax.tools import bench_calls
from ramjax.tools.model_flops import model_flops

FORMULA = (
  "Of a pass, FLOP = 2 P t + 2 D V s + 4 L N H p, where P = L (2 D H (N + K) +"
  " 3 D F); t tokens of prompts and answers, without each answer's last; s"
  " tokens of answers; p (query, key) pairs of causal attention. Bytes = h (S (P"
  " + D V) + 2 L K H q): numbers of h bytes; S steps, as many as the tokens of"
  " answers over the rows at a time, or as the longest answer has; q the"
  " positions that a row's cache holds when it makes a token, over all tokens."
  f" {bench_calls.FORMULA} The ceiling is s over that; caches that hold the"
  " weights may be faster than memory."
)


def work(
  model: LlamaConfig,
  prompts: np.ndarray,
  answers: np.ndarray,
  *,
  rows: int,
  itemsize: int,
) -> tuple[float, float]:
  """Operations and bytes that a pass over a queue needs: `FORMULA`.

  Args:
    model: The shape.
    prompts: [n] tokens of each prompt, at least 1.
    answers: [n] tokens of each answer, at least 1.
    rows: Most answers that are continued at a time.
    itemsize: Bytes of a number of weights and cache.
  """
  # The last token of an answer is never fed.
  fed = prompts + answers - 1
  made = int(answers.sum())
  counts = dict(
    tokens=int(fed.sum()),
    supervised=made,
    pairs=int((fed * (fed + 1) // 2).sum()),
  )
  # Forward is a third of training, and 2 FLOP for each weight.
  flops = model_flops(model, counts) / 3
  weights = model_flops(model, dict(tokens=1, supervised=1, pairs=0)) / 6
  steps = max(-(-made // rows), int(answers.max()))
  # All that came before is read, and the newest written.
  held = int((answers * prompts + answers * (answers - 1) // 2).sum())
  position = 2 * model.num_layers * model.num_kv_heads * model.head_dim
  return flops, float(itemsize) * (steps * weights + position * held)
