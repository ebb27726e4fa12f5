# SPDX-License-Identifier: Apache-2.0
"""How long to wait before a server is asked again."""

import dataclasses
import datetime
import email.utils
import re

# Beyond this many doublings every wait is the longest.
_MOST_DOUBLINGS = 30


@dataclasses.dataclass(frozen=True)
class RetryPolicy:
  """How often one request is repeated, and how long one waits in between.

  Attributes:
    most: Repetitions, at most; 0 asks once.
    first_wait_s: Before the first; each further wait is twice as long.
    longest_wait_s: Of our own accord.
    longest_asked_wait_s: Where the server says how long (Retry-After).
  """

  most: int = 6
  first_wait_s: float = 1.0
  longest_wait_s: float = 60.0
  longest_asked_wait_s: float = 300.0

  def __post_init__(self):
    waits = self.first_wait_s, self.longest_wait_s, self.longest_asked_wait_s
    if self.most < 0 or not all(0 <= wait < 1e6 for wait in waits):
      raise ValueError(
        f"{self}: `most` must be 0 or more, and waits from 0 to 1e6 seconds."
      )


def wait_s(
  policy: RetryPolicy, attempt: int, *, asked_s: float | None, uniform: float
) -> float:
  """Seconds to wait: exponential backoff with jitter, or what was asked for.

  Jitter keeps requests that failed together from coming back together.

  Args:
    policy: The bounds.
    attempt: How often the request was repeated already.
    asked_s: What the server asked for, if it did.
    uniform: A random number in [0, 1).
  """
  if asked_s is not None:
    bounded = min(max(asked_s, 0.0), policy.longest_asked_wait_s)
    return bounded + uniform * policy.first_wait_s
  backoff = policy.first_wait_s * 2 ** min(attempt, _MOST_DOUBLINGS)
  return min(backoff, policy.longest_wait_s) * (0.5 + 0.5 * uniform)


def asked_wait_s(header: str | None, now: datetime.datetime) -> float | None:
  """Seconds that a Retry-After header asks for (RFC 9110, section 10.2.3).

  Args:
    header: Its value: seconds, or a date; anything else asks for nothing.
    now: With a time zone.
  """
  if header is None:
    return None
  if re.fullmatch(r"\s*[0-9]{1,9}(\.[0-9]{1,9})?\s*", header, re.ASCII):
    return float(header)
  try:
    until = email.utils.parsedate_to_datetime(header)
  except (ValueError, OverflowError):
    return None  # No date: a header may hold anything.
  if until.tzinfo is None:
    until = until.replace(tzinfo=datetime.UTC)
  return max(0.0, (until - now).total_seconds())
