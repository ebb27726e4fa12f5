# SPDX-License-Identifier: Apache-2.0
"""How one continuation is sampled: temperature, filters, where it ends."""

import dataclasses
import math
from collections.abc import Mapping

# Ids that end a row, at most: they lie in one array of this width.
MOST_STOP_TOKENS = 8


@dataclasses.dataclass(frozen=True)
class SamplingOptions:
  """Options of one continuation, in the order in which they act.

  Attributes:
    repetition_penalty: Divides positive and multiplies negative logits of
      tokens that the prompt or the continuation holds (CTRL, arXiv 1909.05858,
      section 4.1); 1 changes nothing.
    logit_bias: Added to the logits of these ids.
    temperature: Divides the logits; 0 takes the most likely token.
    top_k: Keeps the k most likely tokens; 0 keeps all.
    top_p: Keeps the fewest most likely tokens that hold this probability
      (nucleus sampling, arXiv 1904.09751); 1 keeps all.
    min_p: Keeps tokens at least this share as likely as the most likely one
      (arXiv 2407.01082); 0 keeps all.
    max_tokens: Most tokens, the one that ends it included.
    stop_tokens: Ids that end it; the one that did is its last token.
  """

  repetition_penalty: float = 1.0
  logit_bias: Mapping[int, float] = dataclasses.field(default_factory=dict)
  temperature: float = 1.0
  top_k: int = 0
  top_p: float = 1.0
  min_p: float = 0.0
  max_tokens: int = 256
  stop_tokens: tuple[int, ...] = ()

  def __post_init__(self):
    _require(self, "repetition_penalty", "above 0", lambda x: x > 0)
    _require(self, "temperature", "at least 0", lambda x: x >= 0)
    _require(self, "top_k", "at least 0; 0 keeps all", lambda x: x >= 0)
    _require(self, "top_p", "in (0, 1]", lambda x: 0 < x <= 1)
    _require(self, "min_p", "in [0, 1)", lambda x: 0 <= x < 1)
    _require(self, "max_tokens", "at least 1", lambda x: x >= 1)
    if len(self.stop_tokens) > MOST_STOP_TOKENS:
      raise ValueError(
        f"stop_tokens has {len(self.stop_tokens)} ids: give at most"
        f" {MOST_STOP_TOKENS}."
      )
    for token, bias in self.logit_bias.items():
      if token < 0 or math.isnan(bias) or bias == math.inf:
        raise ValueError(
          f"logit_bias[{token}]={bias} must be a number below infinity for an"
          " id of the vocabulary."
        )

  @property
  def filters(self) -> bool:
    """Whether any token is left out by its rank or probability."""
    return self.temperature > 0 and (
      self.top_k > 0 or self.top_p < 1 or self.min_p > 0
    )


def _require(options, name, allowed, holds) -> None:
  value = getattr(options, name)
  if not (math.isfinite(value) and holds(value)):
    raise ValueError(f"{name}={value} must be {allowed}.")
