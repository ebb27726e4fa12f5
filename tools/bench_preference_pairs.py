# SPDX-License-Identifier: Apache-2.0
"""The tokenised pairs of `ramjax bench preference`: kept in a file.

Imports no JAX: TRL's process, whose memory is measured, imports this module.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from ramjax.data.tokenize_groups import Group


def save(path: pathlib.Path, pairs: Sequence[Group]) -> None:
  """Writes pairs of answers to one prompt, every token of them supervised."""
  parts = [
    part for pair in pairs for part in (pair.prompts[0], *pair.responses)
  ]
  np.savez(
    path,
    tokens=np.concatenate(parts),
    lengths=np.asarray([len(part) for part in parts]),
    margins=np.stack([pair.features["margins"] for pair in pairs]),
    preference_probs=np.stack(
      [pair.features["preference_probs"] for pair in pairs]
    ),
  )


def load(path: pathlib.Path) -> list[Group]:
  """Reads what `save` wrote."""
  with np.load(path) as stored:
    parts = np.split(stored["tokens"], np.cumsum(stored["lengths"])[:-1])
    margins, probs = stored["margins"], stored["preference_probs"]
  return [
    Group(
      prompts=(prompt,),
      responses=(chosen, rejected),
      response_masks=(np.ones(len(chosen), bool), np.ones(len(rejected), bool)),
      features={"margins": margin, "preference_probs": prob},
      num_truncated=0,
    )
    for prompt, chosen, rejected, margin, prob in zip(
      parts[::3], parts[1::3], parts[2::3], margins, probs, strict=True
    )
  ]


def longest_answer(pair: Group) -> int:
  """Tokens of the prompt and the longer answer: what a pair pads to."""
  return len(pair.prompts[0]) + max(map(len, pair.responses))
