# SPDX-License-Identifier: Apache-2.0
"""In which order AlpacaEval's judges see two outputs."""

import random


def is_swapped(instruction: str, seed: int = 0) -> bool:
  """Whether a judge sees the second output, the model's, first.

  By a coin that the instruction is the seed of, as the authors' tool does, so
  that the order can be told from a file that does not record it.

  Args:
    instruction: What was asked.
    seed: The annotator's.

  Returns:
    True if the outputs are shown swapped.
  """
  coin = random.Random(f"is_switched_outputs{instruction}{seed}")
  return coin.choices([False, True])[0]
