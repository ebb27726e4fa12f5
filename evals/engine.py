# SPDX-License-Identifier: Apache-2.0
"""What answers a conversation: our sampler, or somebody's endpoint.

Whoever needs answers (evaluation, rewards, rounds, `ramjax generate`) asks an
`Engine` and does not know which it is.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from ramjax.data.rows import Message
from ramjax.models.sampling_options import SamplingOptions


@dataclasses.dataclass(frozen=True)
class ChatRequest:
  """One answer that is asked for.

  Attributes:
    messages: The conversation; the last turn is not the assistant's.
    options: How it is sampled. The tokens that end a turn always end it too.
    stop: Texts that end the answer and are not part of it.
    seed: In [0, 2^32); the same request with the same seed has the same answer,
      whatever else is asked for at the same time.
  """

  messages: tuple[Message, ...]
  options: SamplingOptions
  stop: tuple[str, ...] = ()
  seed: int = 0


@dataclasses.dataclass(frozen=True)
class Completion:
  """One answer.

  Attributes:
    text: Without the token or text that ended it, and without white space
      around it, which some templates put there.
    finished: Whether it ended by itself, and not at the most tokens.
    num_tokens: Tokens of the answer, the one that ended it included.
    tokens: [n] int32 ids; None from an endpoint that does not tell.
    logps: [n] float32 log-probabilities under the model as it is, in nats.
    drawn_logps: [n] float32, under the distribution that was drawn from.
    num_prompt_tokens: Tokens of the conversation; None where it is not told.
  """

  text: str
  finished: bool
  num_tokens: int
  tokens: np.ndarray | None = None
  logps: np.ndarray | None = None
  drawn_logps: np.ndarray | None = None
  num_prompt_tokens: int | None = None


class Engine(Protocol):
  """Answers conversations."""

  def complete(
    self,
    requests: Sequence[ChatRequest],
    *,
    progress: Callable[[int], None] | None = None,
  ) -> list[Completion]:
    """An answer to each request, in their order.

    Args:
      requests: Any number.
      progress: Told the number of tokens of each answer that ends.
    """
    ...
