# SPDX-License-Identifier: Apache-2.0
"""How a judge of pairs is asked, and how a preference is read from its answer.

In the order shown: 1 is the first output, 2 the second, 1.5 a tie.
"""

import collections
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from ramjax.evals import logprob_verdict, top_tokens
from ramjax.evals.engine import ChatRequest, Completion, Engine
from ramjax.evals.top_tokens import NextTokens, TopTokens
from ramjax.evals.win_rate import TIE
from ramjax.models.sampling_options import SamplingOptions

# Of what a judge wrote, kept beside its verdict.
_MOST_KEPT = 2000
_GROUPS = ("A", "B", "tie")
_PREFERENCES = {"A": 1.0, "B": 2.0, "tie": TIE}

# What official prompts ask a judge to write, by name: [[A]], [[B]] or [[C]] of
# MT-Bench and its kin, and the ranked list of AlpacaEval 1, where model_1 is the
# output shown first.
PATTERNS = {
  "brackets": r"\[\[(?:(?P<A>A)|(?P<B>B)|(?P<tie>C))\]\]",
  "ranks": (
    r"""\{\s*['"]model['"]\s*:\s*['"](?:(?P<A>model_1)|(?P<B>model_2))['"]\s*,"""
    r"""\s*['"]rank['"]\s*:\s*1\s*\}"""
  ),
}

Heard = Callable[[int, Any], None]


class Reader(Protocol):
  """Asks an engine about pairs, and reads its answers.

  Attributes:
    options: How answers are sampled.
    num_samples: Answers to each conversation.
  """

  options: SamplingOptions
  num_samples: int

  def identity(self) -> Mapping[str, Any]:
    """What decides how answers are read, of JSON's types."""
    ...

  def ask(self, requests: Sequence[ChatRequest], heard: Heard) -> None:
    """Tells the index of each request with its answer, or with an OSError."""
    ...

  def read(self, answers: Sequence[Any]) -> tuple[float | None, Any]:
    """A preference in the order shown, and what it was read from, for a file.

    Args:
      answers: `num_samples` of them.

    Returns:
      From 1 to 2, or None where there is no verdict; and a value of JSON's
      types.
    """
    ...


@runtime_checkable
class FailsOne(Protocol):
  """An engine of which one request may fail and the others go on."""

  def complete_each(
    self,
    requests: Sequence[ChatRequest],
    arrived: Callable[[int, Completion], None],
    failed: Callable[[int, Any], None] | None = None,
  ) -> None:
    """See `http_engine.HttpEngine.complete_each`."""
    ...


class LogprobReader:
  """Reads how likely the judge's first token names the one output or the other.

  The rule of AlpacaEval 2's `weighted_alpaca_eval_gpt4_turbo`; see
  `logprob_verdict`.
  """

  options = SamplingOptions(max_tokens=1)
  num_samples = 1

  def __init__(
    self,
    engine: TopTokens,
    *,
    identifiers: tuple[str, str] = (
      logprob_verdict.FIRST,
      logprob_verdict.SECOND,
    ),
    num_top: int = 5,
  ):
    """Checks how it will ask and read.

    Args:
      engine: Tells the likeliest tokens.
      identifiers: The token for the output shown first, and for the other.
      num_top: How many tokens are looked at; an identifier that is not among
        them counts as impossible.

    Raises:
      ValueError: The identifiers are equal or empty, or too many tokens.
    """
    top_tokens.check_num(num_top)
    if identifiers[0] == identifiers[1] or not all(identifiers):
      raise ValueError(
        f"identifiers={','.join(identifiers)!r} must be two different tokens,"
        " for the output shown first and for the other."
      )
    self._engine = engine
    self._identifiers = identifiers
    self._num_top = num_top

  def identity(self) -> Mapping[str, Any]:
    """See `Reader`."""
    return {"identifiers": list(self._identifiers), "num_top": self._num_top}

  def ask(self, requests: Sequence[ChatRequest], heard: Heard) -> None:
    """See `Reader`."""
    self._engine.top_tokens(requests, num=self._num_top, arrived=heard)

  def read(self, answers: Sequence[NextTokens]) -> tuple[float | None, Any]:
    """See `Reader`."""
    (answer,) = answers
    # Minus infinity is no JSON, and says what its absence says.
    said = [[text, logp] for text, logp in answer.top if logp > float("-inf")]
    preference = logprob_verdict.preference(
      [(text, logp) for text, logp in said],
      swapped=False,
      identifiers=self._identifiers,
    )
    return preference, said


class PatternReader:
  """Reads a verdict in the judge's words; of several samples, the majority's."""

  def __init__(
    self,
    engine: Engine,
    *,
    pattern: str,
    options: SamplingOptions,
    num_samples: int = 1,
  ):
    """Checks how it will ask and read.

    Args:
      engine: What writes the verdicts.
      pattern: A regular expression with a group for each verdict: (?P<A>...),
        the output shown first, (?P<B>...), the other, and (?P<tie>...) if the
        judge may call one. Its last match counts, for a judge may quote an
        answer before it decides.
      options: How verdicts are sampled.
      num_samples: Verdicts on each pair in each order.

    Raises:
      ValueError: An option that cannot work.
    """
    self._engine = engine
    self._pattern = check_pattern(pattern)
    if num_samples < 1 or (num_samples > 1 and options.temperature == 0):
      raise ValueError(
        f"num_samples={num_samples} must be at least 1, and is 1 where"
        f" temperature={options.temperature} makes all verdicts the same."
      )
    self.options = options
    self.num_samples = num_samples

  def identity(self) -> Mapping[str, Any]:
    """See `Reader`."""
    return {
      "pattern": self._pattern.pattern,
      "num_samples": self.num_samples,
      "temperature": self.options.temperature,
      "max_tokens": self.options.max_tokens,
    }

  def ask(self, requests: Sequence[ChatRequest], heard: Heard) -> None:
    """See `Reader`; of an engine that cannot fail one by one, errors pass."""
    if isinstance(self._engine, FailsOne):
      self._engine.complete_each(requests, heard, heard)
      return
    for index, answer in enumerate(self._engine.complete(requests)):
      heard(index, answer)

  def read(self, answers: Sequence[Completion]) -> tuple[float | None, Any]:
    """See `Reader`: most votes among those that can be read; else a tie."""
    votes = collections.Counter(self.vote(answer.text) for answer in answers)
    said = [answer.text[-_MOST_KEPT:] for answer in answers]
    del votes[None]
    most = max(votes.values(), default=0)
    if not most:
      return None, said
    leading = [vote for vote, number in votes.items() if number == most]
    return _PREFERENCES[leading[0]] if len(leading) == 1 else TIE, said

  def vote(self, words: str) -> Any:
    """The group of the last match in a judge's words; None without one."""
    last = collections.deque(self._pattern.finditer(words), maxlen=1)
    if not last:
      return None
    groups = last[0].groupdict()
    found = [name for name in _GROUPS if groups.get(name) is not None]
    return found[0] if len(found) == 1 else None


def check_pattern(pattern: str) -> re.Pattern[str]:
  """The compiled pattern of a verdict.

  Args:
    pattern: A name in `PATTERNS`, or a regular expression.

  Raises:
    ValueError: It does not compile, or has not the groups A and B, or others.
  """
  try:
    compiled = re.compile(PATTERNS.get(pattern, pattern))
  except re.error as error:
    raise ValueError(
      f"pattern={pattern!r} is none of {', '.join(PATTERNS)}, and no regular"
      f" expression: {error}."
    ) from error
  names = set(compiled.groupindex)
  if not {"A", "B"} <= names <= set(_GROUPS):
    raise ValueError(
      f"pattern={pattern!r} must be one of {', '.join(PATTERNS)}, or have the"
      " groups (?P<A>...) for the output shown first and (?P<B>...) for the"
      f" other, and may have (?P<tie>...), such as {PATTERNS['brackets']!r}."
    )
  return compiled
