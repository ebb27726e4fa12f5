# SPDX-License-Identifier: Apache-2.0
"""How far apart the outputs of two models are, position by position."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ramjax.evals.prompt_outputs import prompt_outputs
from ramjax.models.tensors import Source

LOGITS, SCORES = "logits", "scores"


class OutputDifference(NamedTuple):
  """Differences at every position of some prompts.

  Attributes:
    kind: "logits", or "scores" where both models have a score head.
    num_outputs: Token ids (or labels) that were compared.
    largest: Of |a - b| over the outputs; [T] float64 of each prompt.
    kl: KL(first || second) of the next token in nats; [T] float64 of each
      prompt, and none for scores.
  """

  kind: str
  num_outputs: int
  largest: list[np.ndarray]
  kl: list[np.ndarray]


def output_difference(
  first: Source, second: Source, prompts: Sequence[np.ndarray]
) -> OutputDifference:
  """Runs two models, one after the other, on the same prompts.

  One model is in memory at a time, and the first one's outputs. Where the
  vocabularies differ in size, the ids that both have are compared, and the
  probabilities are those among them.

  Args:
    first: A model.
    second: Another; see `incomparable`.
    prompts: [T] integer ids each, in both vocabularies.

  Raises:
    ValueError: Their outputs cannot be compared.
  """
  if reason := incomparable(first, second):
    raise ValueError(reason)
  kind = SCORES if first.config.num_labels else LOGITS
  num_outputs = first.config.num_labels or min(
    first.config.vocab_size, second.config.vocab_size
  )
  kept = [
    outputs.values[:, :num_outputs]
    for outputs in prompt_outputs(first, prompts)
  ]
  largest: list[list[np.ndarray]] = [[] for _ in prompts]
  kl: list[list[np.ndarray]] = [[] for _ in prompts]
  others = prompt_outputs(second, prompts)
  for ours, (prompt, _, values) in zip(kept, others, strict=True):
    theirs = values[:, :num_outputs]
    largest[prompt].append(max_difference(ours, theirs))
    if kind == LOGITS:
      kl[prompt].append(kl_per_position(ours, theirs))
  return OutputDifference(
    kind=kind,
    num_outputs=num_outputs,
    largest=[np.concatenate(parts) for parts in largest],
    kl=[np.concatenate(parts) for parts in kl if parts],
  )


def incomparable(first: Source, second: Source) -> str:
  """Why the outputs of two models cannot be compared; "" where they can."""
  ours, theirs = first.config.num_labels, second.config.num_labels
  if ours == theirs:
    return ""

  def head(labels: int) -> str:
    return f"a score head of {labels} outputs" if labels else "an LM head"

  return f"one model has {head(ours)} and the other {head(theirs)}"


def kl_per_position(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """KL divergence of the next-token distributions of two models.

  Args:
    first: [n, V] logits.
    second: [n, V] logits.

  Returns:
    [n] float64, in nats: sum over ids of p (log p - log q).
  """
  ours, theirs = _log_softmax(first), _log_softmax(second)
  divergence = np.sum(np.exp(ours) * (ours - theirs), axis=-1)
  # Rounding can take it below 0, which no divergence is.
  return np.maximum(divergence, 0.0)


def max_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """Largest |a - b| of each row of two [n, V] arrays: [n] float64."""
  return np.abs(first.astype(np.float64) - second).max(axis=-1)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
  logits = logits.astype(np.float64)
  shifted = logits - logits.max(axis=-1, keepdims=True)
  return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
