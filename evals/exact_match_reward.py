# SPDX-License-Identifier: Apache-2.0
"""Whether an answer is the right one, as SQuAD compares them."""

import re
import string
from collections.abc import Sequence

from ramjax.evals import ground_truth
from ramjax.evals.answers import Answer

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def exact_match_reward(
  answers: Sequence[Answer], *, field: str = "answer"
) -> list[float]:
  """1.0 for an answer equal to one of its row's, 0.0 for any other.

  Both are normalised as by SQuAD (arXiv 1606.05250, section 6.1).

  Args:
    answers: What is scored.
    field: Of the rows: the right answer, or a list of them.

  Returns:
    1.0 or 0.0 an answer.

  Raises:
    ValueError: A row has no such field, or no strings in it.
  """
  return [
    float(
      normalise_answer(answer.response)
      in map(
        normalise_answer,
        ground_truth.truth_texts(
          answer.record, field, reward="exact_match", index=index
        ),
      )
    )
    for index, answer in enumerate(answers)
  ]


def normalise_answer(text: str) -> str:
  """Lower case, without ASCII punctuation, articles and extra white space."""
  text = text.lower().translate(_NO_PUNCTUATION)
  return " ".join(_ARTICLES.sub(" ", text).split())
