# SPDX-License-Identifier: Apache-2.0
"""How one continuation is sampled: temperature, filters, where it ends."""

import dataclasses
import math
from collections.abc import Mapping

# Ids that end a row, at most: they lie in one array of this width.
MOST_STOP_TOKENS = 8
# Bounds far beyond any use, within which float32 and int32 do not overflow.
_MOST_TEMPERATURE, _MOST_PENALTY, _MOST_BIAS = 1e6, 1e3, 1e6
_MOST_INT = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class SamplingOptions:
  """Options of one continuation, in the order in which they act.

  Attributes:
    logit_bias: Added to the logits of these ids; minus infinity bans one.
    repetition_penalty: Divides positive and multiplies negative logits of
      tokens that the prompt or the continuation holds (CTRL, arXiv 1909.05858,
      section 4.1); 1 changes nothing.
    temperature: Divides the logits; 0 takes the most likely token.
    top_k: Keeps the k most likely tokens; 0 keeps all.
    top_p: Keeps the fewest most likely tokens that hold this probability
      (nucleus sampling, arXiv 1904.09751); 1 keeps all.
    min_p: Keeps tokens at least this share as likely as the most likely one
      (arXiv 2407.01082); 0 keeps all.
    max_tokens: Most tokens, the one that ends it included.
    stop_tokens: Ids that end it; the one that did is its last token.
  """

  logit_bias: Mapping[int, float] = dataclasses.field(default_factory=dict)
  repetition_penalty: float = 1.0
  temperature: float = 1.0
  top_k: int = 0
  top_p: float = 1.0
  min_p: float = 0.0
  max_tokens: int = 256
  stop_tokens: tuple[int, ...] = ()

  def __post_init__(self):
    _require(
      self,
      "repetition_penalty",
      f"from {1 / _MOST_PENALTY:g} to {_MOST_PENALTY:g}; 1 changes nothing",
      lambda x: 1 / _MOST_PENALTY <= x <= _MOST_PENALTY,
    )
    _require(
      self,
      "temperature",
      f"from 0 to {_MOST_TEMPERATURE:g}; 0 takes the most likely token",
      lambda x: 0 <= x <= _MOST_TEMPERATURE,
    )
    _require(self, "top_k", "0 (all) or more", lambda x: 0 <= x <= _MOST_INT)
    _require(self, "top_p", "in (0, 1]", lambda x: 0 < x <= 1)
    _require(self, "min_p", "in [0, 1)", lambda x: 0 <= x < 1)
    _require(self, "max_tokens", "1 or more", lambda x: 1 <= x <= _MOST_INT)
    if len(self.stop_tokens) > MOST_STOP_TOKENS:
      raise ValueError(
        f"stop_tokens has {len(self.stop_tokens)} ids: give at most"
        f" {MOST_STOP_TOKENS}."
      )
    for token in self.stop_tokens:
      _require_id("stop_tokens", token)
    for token, bias in self.logit_bias.items():
      _require_id("logit_bias", token)
      if not (bias == -math.inf or abs(bias) <= _MOST_BIAS):
        raise ValueError(
          f"logit_bias[{token}]={bias} must be from {-_MOST_BIAS:g} to"
          f" {_MOST_BIAS:g}, or -inf to ban the token."
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


def _require_id(name, token) -> None:
  if not 0 <= token <= _MOST_INT:
    raise ValueError(f"{name} names {token}: an id of a token is 0 or more.")
