# SPDX-License-Identifier: Apache-2.0
"""What a reward sees of one answer: the prompt, the text, the row it is for."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ramjax.data.rows import Message


@dataclasses.dataclass(frozen=True)
class Answer:
  """One answer of a model to a prompt.

  Attributes:
    prompt: The conversation that is answered, without the answer.
    response: The text of the answer.
    record: The raw row the prompt is from: the ground truth is in it.
    finished: Whether the model ended the answer itself, and was not cut off at
      the most tokens it may have.
    num_tokens: Tokens of the answer, the one that ends it included.
  """

  prompt: tuple[Message, ...]
  response: str
  record: Mapping[str, Any]
  finished: bool
  num_tokens: int


# `(answers, **options) -> one number an answer`, higher is better.
Reward = Callable[..., Sequence[float]]
