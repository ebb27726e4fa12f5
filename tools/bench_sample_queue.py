# SPDX-License-Identifier: Apache-2.0
"""The queue that `ramjax bench sample` measures, and what both sides report.

Imports no JAX: the peer's process imports this module.
"""

import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ramjax.tools.bench_cases import Report

# Prompts and answers, in tokens: long-tailed, as those of chats are.
PROMPT_TOKENS = (8, 128)
ANSWER_TOKENS = (16, 256)
# Of the most likely tokens that both sides must agree on.
GREEDY_TOKENS = 16


def save(
  path: pathlib.Path, *, num: int, vocab_size: int, even: bool, seed: int = 0
) -> None:
  """Writes prompts of random ids and the length of each answer.

  Args:
    path: The file.
    num: Prompts.
    vocab_size: Ids of prompts lie below.
    even: All prompts and all answers of 32 tokens; otherwise log-uniform in
      `PROMPT_TOKENS` and `ANSWER_TOKENS`.
    seed: Of everything.
  """
  rng = np.random.default_rng(seed)

  def lengths(least: int, most: int) -> np.ndarray:
    if even:
      return np.full(num, 32)
    return np.exp(rng.uniform(np.log(least), np.log(most + 1), num)).astype(int)

  of_prompts = lengths(*PROMPT_TOKENS)
  # Ids from 4 on: those below have a meaning to some tokenizers.
  tokens = rng.integers(4, vocab_size, of_prompts.sum())
  np.savez(
    path, tokens=tokens, lengths=of_prompts, limits=lengths(*ANSWER_TOKENS)
  )


def load(spec: Mapping[str, Any]) -> tuple[list[np.ndarray], np.ndarray]:
  """Prompts, [P] int32 each, and answer lengths [n], as `save` wrote them."""
  path = pathlib.Path(spec["folder"]) / spec["queue"]
  with np.load(path) as stored:
    ends = np.cumsum(stored["lengths"])[:-1]
    prompts = np.split(stored["tokens"].astype(np.int32), ends)
    return prompts, stored["limits"]


def timed(
  one_pass: Callable[[int], None], spec: Mapping[str, Any]
) -> list[float]:
  """Seconds of each pass, until `spec["seconds"]` are over.

  Args:
    one_pass: Given its number, from 1 on; returns when all is done.
    spec: Of the case.
  """
  times: list[float] = []
  while sum(times) < spec["seconds"]:
    start = time.perf_counter()
    one_pass(len(times) + 1)
    times.append(time.perf_counter() - start)
  return times


def report(
  times: list[float], useful: np.ndarray, computed: np.ndarray
) -> Report:
  """The part of a report that both sides make alike.

  Args:
    times: Seconds of each pass.
    useful: Tokens of each answer that were asked for.
    computed: Tokens of each row that were generated.
  """
  return dict(
    step_s=times,
    counts=dict(
      supervised=len(times) * int(np.sum(useful)),
      places=len(times) * int(np.sum(computed)),
    ),
  )
