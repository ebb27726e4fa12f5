# SPDX-License-Identifier: Apache-2.0
"""How far annotators agree, beyond what chance would make of it.

Cohen 1960 (Educational and Psychological Measurement 20, p. 37) for two
annotators. The agreement of one annotator with the majority of the others is
what AlpacaEval, after AlpacaFarm (arXiv 2305.14387), calls human agreement.
"""

import collections
import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

# Item -> annotator -> label.
Labels = Mapping[str, Mapping[str, str]]


class Agreement(NamedTuple):
  """How far two annotators agree on items that both have labelled.

  Attributes:
    items: How many these are.
    observed: Share with the same label; None without items.
    expected: That share if each had drawn labels at random, as often as they
      gave them; None without items.
    kappa: (observed - expected) / (1 - expected); None without items, and where
      expected is 1: both gave one and the same label throughout.
  """

  items: int
  observed: float | None
  expected: float | None
  kappa: float | None


def cohens_kappa(
  first: Sequence[Hashable], second: Sequence[Hashable]
) -> Agreement:
  """Cohen's kappa of two annotators, for labels of any kind and number.

  Args:
    first: [n] labels of one annotator.
    second: [n] of the other one, of the same items.

  Raises:
    ValueError: They are not of one length.

  >>> cohens_kappa("aabb", "aaba").kappa
  0.5
  """
  if len(first) != len(second):
    raise ValueError(
      f"{len(first)} and {len(second)} labels: give both annotators' labels of"
      " the same items."
    )
  n = len(first)
  if not n:
    return Agreement(0, None, None, None)
  same = sum(a == b for a, b in zip(first, second, strict=True))
  counts = collections.Counter(first), collections.Counter(second)
  # In units of 1/n^2, so that "expected is 1" is exact.
  chance = sum(counts[0][label] * counts[1][label] for label in counts[0])
  kappa = None if chance == n * n else (same * n - chance) / (n * n - chance)
  return Agreement(n, same / n, chance / (n * n), kappa)


def annotators(labels: Labels) -> list[str]:
  """All annotators, sorted by name."""
  return sorted({name for given in labels.values() for name in given})


def pairwise(labels: Labels) -> dict[tuple[str, str], Agreement]:
  """The agreement of each pair of annotators on the items that both labelled.

  Args:
    labels: Item -> annotator -> label.

  Returns:
    By pair of names, sorted.
  """
  found = {}
  for one, other in itertools.combinations(annotators(labels), 2):
    both = [x for x in labels.values() if one in x and other in x]
    found[one, other] = cohens_kappa(
      [given[one] for given in both], [given[other] for given in both]
    )
  return found


def leave_one_out(labels: Labels) -> dict[str, list[float]]:
  """Each annotator's agreement with the most frequent label of the others.

  Where k labels are the most frequent ones, an annotator who gave one of them
  agrees by 1/k: what a fair draw of one of them comes to on average.

  Args:
    labels: Item -> annotator -> label; items with one annotator count nothing.

  Returns:
    Annotator -> a number in [0, 1] for each item that others labelled, too.
  """
  found: dict[str, list[float]] = {name: [] for name in annotators(labels)}
  for given in labels.values():
    if len(given) < 2:
      continue
    counts = collections.Counter(given.values())
    for name, label in given.items():
      counts[label] -= 1
      most = max(counts.values())
      modes = [x for x, count in counts.items() if count == most]
      found[name].append(1 / len(modes) if label in modes else 0.0)
      counts[label] += 1
  return found


def mean(values: Sequence[float]) -> float | None:
  """The mean; None of nothing."""
  return math.fsum(values) / len(values) if values else None
