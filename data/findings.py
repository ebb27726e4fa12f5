# SPDX-License-Identifier: Apache-2.0
"""What an audit of a run's data finds, and how bad it is."""

import enum
from collections.abc import Iterable, Sequence
from typing import NamedTuple

# Examples that a finding names: enough to look at, few enough to read.
NUM_EXAMPLES = 3


class Severity(enum.IntEnum):
  """How bad a finding is; the larger, the worse."""

  CLEAN = 0
  # Worth knowing; often as it should be.
  NOTE = 1
  # The run will work, and probably worse than it could.
  WARNING = 2
  # The run would learn something that nobody wants, or report a wrong figure.
  ERROR = 3


class Place(NamedTuple):
  """Where a row stands.

  Attributes:
    source: The source's name in the config; "" of held-out rows, which are
      taken from all sources in turn.
    index: Its number there, from 0: of the rows to train on, in the order of
      the file; of the examples made of them, where `kind` says so.
    kind: "row", "held-out row" or "example".
  """

  source: str
  index: int
  kind: str = "row"

  def __str__(self) -> str:
    """As people count: from 1."""
    return f"{self.source} {self.kind} {self.index + 1}".strip()


class Finding(NamedTuple):
  """One thing that an audit found.

  Attributes:
    severity: How bad it is.
    name: What it is called, such as "duplicate_prompts".
    found: What was found, in a sentence with counts and shares.
    remedy: What to do, in a sentence.
    count: How many rows, or answers, it is about.
    total: Out of how many.
    examples: Up to `NUM_EXAMPLES` of the rows.
  """

  severity: Severity
  name: str
  found: str
  remedy: str
  count: int
  total: int
  examples: tuple[Place, ...] = ()


def worst(findings: Iterable[Finding]) -> Severity:
  """The worst severity among findings; CLEAN if there are none."""
  return max((f.severity for f in findings), default=Severity.CLEAN)


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
  """The worst first; what is equally bad stays in order."""
  return sorted(findings, key=lambda finding: -finding.severity)


def by_share(
  count: int, total: int, *, warn_from: float, below: Severity = Severity.NOTE
) -> Severity:
  """WARNING from a share of `warn_from` on, and `below` under it."""
  return Severity.WARNING if count >= warn_from * total else below


def of(count: int, total: int) -> str:
  """A count with its share: "3 of 200 (1.5%)"."""
  return f"{count:,} of {total:,} ({share(count, total)})"


def share(count: float, total: float) -> str:
  """A share in percent, never rounded to none or all when it is neither."""
  percent = 100 * count / total if total else 0.0
  if 0 < percent < 0.1:
    return "under 0.1%"
  if 99.9 < percent < 100:
    return "over 99.9%"
  return f"{percent:.1f}%"


def first(places: Sequence[Place]) -> tuple[Place, ...]:
  """The examples to name, each once."""
  return tuple(dict.fromkeys(places))[:NUM_EXAMPLES]
