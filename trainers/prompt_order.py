# SPDX-License-Identifier: Apache-2.0
"""Which prompt comes when: endless, by number, every epoch in its own order."""

from collections.abc import Callable, Sequence

import grain

from ramjax.trainers.prompt_data import Prompt


def prompt_order(
  prompts: Sequence[Sequence[Prompt]], weights: Sequence[float], seed: int
) -> Callable[[int], Prompt]:
  """Mixes the prompts of sources by weight.

  Args:
    prompts: Of each source.
    weights: Relative weight of each.
    seed: Of the shuffles; a source is shuffled anew in every epoch.

  Returns:
    From a number, from 0, to its prompt.
  """
  total = sum(weights)
  mixed = grain.MapDataset.mix(
    [
      grain.MapDataset.source(source).seed(seed + i).shuffle().repeat()
      for i, source in enumerate(prompts)
    ],
    [weight / total for weight in weights],
  )

  def prompt_at(number: int) -> Prompt:
    prompt = mixed[number]
    assert prompt is not None  # Nothing is filtered.
    return prompt

  return prompt_at
