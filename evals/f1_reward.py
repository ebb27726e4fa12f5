# SPDX-License-Identifier: Apache-2.0
"""How many words an answer shares with the right one, as SQuAD counts them."""

import collections
from collections.abc import Sequence

from ramjax.evals import ground_truth
from ramjax.evals.answers import Answer
from ramjax.evals.exact_match_reward import normalise_answer


def f1_reward(
  answers: Sequence[Answer], *, field: str = "answer"
) -> list[float]:
  """Harmonic mean of precision and recall of words, of the best right answer.

  SQuAD's F1 (arXiv 1606.05250, section 6.1) after its normalisation.

  Args:
    answers: What is scored.
    field: Of the rows: the right answer, or a list of them.

  Returns:
    One number in [0, 1] an answer.

  Raises:
    ValueError: A row has no such field, or no strings in it.
  """
  scores = []
  for index, answer in enumerate(answers):
    truths = ground_truth.truth_texts(
      answer.record, field, reward="f1", index=index
    )
    scores.append(max(word_f1(answer.response, truth) for truth in truths))
  return scores


def word_f1(text: str, truth: str) -> float:
  """F1 of two texts' words; with no word in one, whether both have none."""
  given = normalise_answer(text).split()
  wanted = normalise_answer(truth).split()
  if not given or not wanted:
    return float(given == wanted)
  same = collections.Counter(given) & collections.Counter(wanted)
  return 2 * same.total() / (len(given) + len(wanted))
