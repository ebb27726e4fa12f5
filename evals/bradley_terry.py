# SPDX-License-Identifier: Apache-2.0
"""Strengths of models from verdicts on pairs of their answers.

Bradley and Terry (Biometrika 39, 1952, p. 324): a model of log strength a wins
over one of b with probability sigmoid(a - b). A tie counts as half a win for
each, as in Chatbot Arena (arXiv 2403.04132). Strengths are printed on the Elo
scale: 400 points are odds of 10 to 1.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

# Elo points of one nat of log strength.
ELO_PER_NAT = 400 / math.log(10)
# Rating of the anchor, or the mean of all.
BASE_RATING = 1000.0
# At the maximum, what pulls a model up equals what pulls it down, but for this
# share of both.
_TOLERANCE = 1e-10
_MAX_STEPS = 200
# What Newton's method would change no further, in nats: where weights differ by
# many orders of magnitude, rounding hides the rest.
_SHORTEST_STEP = 1e-9
# Longest change of a log strength in one step; Newton's may be far too long
# while predicted shares are near 0 or 1.
_LONGEST_STEP = 4.0
_INTERVAL = (2.5, 97.5)


@dataclasses.dataclass(frozen=True)
class Verdicts:
  """Verdicts on pairs, in the order in which they were given.

  Attributes:
    models: Their names.
    first: [n] int, index of the first model of a pair.
    second: [n] int, index of the second one.
    share: [n] what the first one won: 1, 0, or 0.5 for a tie.
    weight: [n] above 0, what a verdict counts.
  """

  models: tuple[str, ...]
  first: np.ndarray
  second: np.ndarray
  share: np.ndarray
  weight: np.ndarray

  def __post_init__(self):
    """Refuses what is no set of verdicts."""
    arrays = (self.first, self.second, self.share, self.weight)
    if len({array.shape for array in arrays}) > 1 or self.first.ndim != 1:
      raise ValueError(
        f"shapes {[array.shape for array in arrays]} of first, second, share and"
        " weight: they are [n], all of one n."
      )
    if not self.first.size:
      raise ValueError("There are no verdicts.")
    ends = np.stack([self.first, self.second])
    if ends.min() < 0 or ends.max() >= len(self.models):
      raise ValueError(
        f"first and second are indexes below {len(self.models)}."
      )
    if (self.first == self.second).any():
      name = self.models[self.first[self.first == self.second][0]]
      raise ValueError(f"A verdict is on {name!r} against itself: drop it.")
    if not np.isin(self.share, (0.0, 0.5, 1.0)).all():
      raise ValueError("share is 1 (won), 0 (lost) or 0.5 (a tie).")
    if not (np.isfinite(self.weight) & (self.weight > 0)).all():
      raise ValueError("weight is a finite number above 0.")


def win_matrix(verdicts: Verdicts) -> np.ndarray:
  """[m, m] weight of the wins of each row's model over each column's."""
  size = len(verdicts.models)
  wins = np.zeros((size, size))
  won = verdicts.weight * verdicts.share
  np.add.at(wins, (verdicts.first, verdicts.second), won)
  lost = verdicts.weight - won
  np.add.at(wins, (verdicts.second, verdicts.first), lost)
  return wins


def groups(wins: np.ndarray) -> list[np.ndarray]:
  """Models that are comparable: linked by verdicts, directly or through others.

  Args:
    wins: [m, m] from `win_matrix`.

  Returns:
    Indexes of the models of each group, the largest group first.
  """
  met = (wins + wins.T) > 0
  left = np.ones(len(wins), bool)
  found = []
  while left.any():
    group = _reached(met, int(np.flatnonzero(left)[0]))
    found.append(np.flatnonzero(group))
    left &= ~group
  return sorted(found, key=len, reverse=True)


def has_maximum(wins: np.ndarray) -> bool:
  """Whether finite strengths fit best: Ford's condition.

  However the models are split in two, some of each side beat some of the other
  (Ford 1957; assumption 1 of Hunter, Annals of Statistics 32, 2004, p. 384). It
  fails for a model that won or lost everything.

  Args:
    wins: [m, m] from `win_matrix`.
  """
  beats = wins > 0
  return bool(_reached(beats, 0).all() and _reached(beats.T, 0).all())


def _reached(edges: np.ndarray, start: int) -> np.ndarray:
  """[m] bool, what can be reached from `start`, itself included."""
  reached = np.zeros(len(edges), bool)
  reached[start] = True
  new = reached
  while new.any():
    new = edges[new].any(axis=0) & ~reached
    reached = reached | new
  return reached


def require_comparable(
  wins: np.ndarray, models: Sequence[str], *, ridge: float
) -> None:
  """Refuses verdicts that no finite strengths fit best, naming the models.

  Args:
    wins: [m, m] from `win_matrix`.
    models: Their names.
    ridge: See `fit`; above 0 any linked models have finite strengths.

  Raises:
    ValueError: Some models never met the others, directly or through others; or
      without a ridge some won, or lost, every verdict against all others.
  """
  apart = groups(wins)
  if len(apart) > 1:
    told = "; ".join(_names(group, models) for group in apart)
    raise ValueError(
      f"{len(apart)} groups of models were never compared with each other:"
      f" {told}. Rate each group by itself, or add verdicts between them."
    )
  if ridge > 0 or has_maximum(wins):
    return
  told = [
    f"{_names(group, models)} {what}" for group, what in _one_sided(wins > 0)
  ]
  raise ValueError(
    f"{'; '.join(told)}: no finite strength fits best. Leave those models"
    " out, add verdicts, or give a ridge (--ridge=0.1), which pulls all"
    " strengths towards their mean."
  )


def _one_sided(beats: np.ndarray) -> list[tuple[np.ndarray, str]]:
  """Groups that lost nothing, or won nothing, against all others."""
  reach = np.stack([_reached(beats, i) for i in range(len(beats))])
  found = []
  for group in np.unique(reach & reach.T, axis=0):
    for edges, what in (
      (beats[~group][:, group], "lost nothing to the others"),
      (beats[group][:, ~group], "won nothing against the others"),
    ):
      if not edges.any():
        found.append((np.flatnonzero(group), what))
  return found


def _names(group: np.ndarray, models: Sequence[str]) -> str:
  shown = [models[int(i)] for i in group[:12]]
  more = len(group) - len(shown)
  return ", ".join(shown) + (f" and {more} more" if more else "")


def fit(
  wins: np.ndarray, *, ridge: float = 0.0, start: np.ndarray | None = None
) -> np.ndarray:
  """Log strengths of most likelihood, by Newton's method.

  It is the maximum that Hunter's MM algorithm (2004, eq. 3) climbs to, in fewer
  steps.

  Args:
    wins: [m, m] from `win_matrix`; `has_maximum`, or a ridge above 0.
    ridge: Adds -ridge/2 times the sum of squared log strengths: a normal prior
      of variance 1/ridge, in nats, around the mean.
    start: [m] log strengths to start from.

  Returns:
    [m] log strengths in nats; their mean is 0.

  Raises:
    ValueError: There is no maximum, or it was not found.
  """
  if not ridge > 0 and not has_maximum(wins):
    raise ValueError(
      "No finite strengths fit best: see `require_comparable`, or give a ridge."
    )
  games = wins + wins.T
  size = len(wins)
  # The likelihood does not change along the vector of ones.
  level = np.full((size, size), 1 / size)
  strengths = np.zeros(size) if start is None else start - start.mean()
  value = _log_likelihood(wins, strengths, ridge)
  for _ in range(_MAX_STEPS):
    share = win_probabilities(strengths)
    # Wins that were not expected, and losses; each sum is exact where shares
    # are near 0.
    up = (wins * share.T).sum(axis=1)
    down = (wins.T * share).sum(axis=1)
    slope = up - down - ridge * strengths
    pulls = up + down + ridge * np.abs(strengths)
    if (np.abs(slope) <= _TOLERANCE * pulls).all():
      return strengths - strengths.mean()
    curve = games * share * share.T
    scale = curve.sum(axis=1).max() + ridge
    hessian = np.diag(curve.sum(axis=1) + ridge) - curve + scale * level
    step = np.linalg.solve(hessian, slope)
    if np.abs(step).max() <= _SHORTEST_STEP:
      return strengths - strengths.mean()
    step *= min(1.0, _LONGEST_STEP / max(np.abs(step).max(), 1e-300))
    strengths, value = _climbed(wins, strengths, step, value, ridge)
  raise ValueError(
    f"No maximum was found in {_MAX_STEPS} steps: some strengths are nearly"
    " infinite. Give a ridge (--ridge=0.1)."
  )


def _climbed(
  wins: np.ndarray,
  strengths: np.ndarray,
  step: np.ndarray,
  value: float,
  ridge: float,
) -> tuple[np.ndarray, float]:
  """Takes a step, halved until it does not lose more than rounding does."""
  for _ in range(30):
    new = _log_likelihood(wins, strengths + step, ridge)
    if new >= value - 1e-12 * abs(value):
      moved = strengths + step
      return moved - moved.mean(), new
    step = step / 2
  return strengths, value


def _log_likelihood(
  wins: np.ndarray, strengths: np.ndarray, ridge: float
) -> float:
  gaps = strengths[:, None] - strengths[None, :]
  penalty = ridge / 2 * float(strengths @ strengths)
  return -float((wins * np.logaddexp(0.0, -gaps)).sum()) - penalty


def win_probabilities(strengths: np.ndarray) -> np.ndarray:
  """[m, m] probability that each row's model wins over each column's.

  Args:
    strengths: [m] log strengths in nats.
  """
  gaps = strengths[:, None] - strengths[None, :]
  return np.exp(-np.logaddexp(0.0, -gaps))


def ratings(strengths: np.ndarray, anchor: int | None = None) -> np.ndarray:
  """Log strengths on the Elo scale.

  Args:
    strengths: [..., m] in nats.
    anchor: The model whose rating is 1000; without one the mean is.

  >>> ratings(np.log([10.0, 1.0]), anchor=1).round(6).tolist()
  [1400.0, 1000.0]
  """
  base = strengths.mean(axis=-1) if anchor is None else strengths[..., anchor]
  return BASE_RATING + ELO_PER_NAT * (strengths - base[..., None])


def bootstrap(
  verdicts: Verdicts, *, draws: int, seed: int, ridge: float = 0.0
) -> np.ndarray:
  """Log strengths of verdicts drawn again with replacement.

  Verdicts are taken to be independent: those of one question, or of one judge,
  may not be, and then intervals are too narrow.

  Args:
    verdicts: `require_comparable` of them passes.
    draws: How often, at least 1.
    seed: Of NumPy's generator.
    ridge: See `fit`.

  Returns:
    [draws, m] in nats; a row of NaN where a draw has no finite strengths.
  """
  rng = np.random.default_rng(seed)
  # Equal verdicts are drawn together: counts of a multinomial.
  table = np.stack(
    [verdicts.first, verdicts.second, verdicts.share, verdicts.weight], axis=1
  )
  kinds, counts = np.unique(table, axis=0, return_counts=True)
  first, second = kinds[:, 0].astype(int), kinds[:, 1].astype(int)
  won, lost = kinds[:, 2] * kinds[:, 3], (1 - kinds[:, 2]) * kinds[:, 3]
  start = fit(win_matrix(verdicts), ridge=ridge)
  size = len(verdicts.models)
  found = np.full((draws, size), np.nan)
  for draw in range(draws):
    times = rng.multinomial(counts.sum(), counts / counts.sum())
    wins = np.zeros((size, size))
    np.add.at(wins, (first, second), times * won)
    np.add.at(wins, (second, first), times * lost)
    if ridge > 0 or has_maximum(wins):
      found[draw] = fit(wins, ridge=ridge, start=start)
  return found


def intervals(
  samples: np.ndarray,
) -> tuple[list[float | None], list[float | None]]:
  """The 95 % percentile interval of each model's rating.

  A draw without finite strengths counts as lower than all others for the lower
  end, and higher for the upper one; an end that is then infinite is None.

  Args:
    samples: [draws, m] ratings; rows of NaN are draws without.

  Returns:
    Lower and upper ends, [m] each, which are values of draws.
  """
  low = np.where(np.isnan(samples), -np.inf, samples)
  high = np.where(np.isnan(samples), np.inf, samples)
  ends = (
    np.percentile(low, _INTERVAL[0], axis=0, method="lower"),
    np.percentile(high, _INTERVAL[1], axis=0, method="higher"),
  )
  lower, upper = (
    [float(x) if np.isfinite(x) else None for x in end] for end in ends
  )
  return lower, upper


def online_elo(verdicts: Verdicts, *, k: float) -> np.ndarray:
  """Elo's ratings, updated after each verdict in the order given.

  They depend on that order, and late verdicts count more: for models that do
  not change, `fit` is the better figure.

  Args:
    verdicts: In their order; each weighs its weight.
    k: Points that a sure win which is lost moves a rating; Chatbot Arena had 4.

  Returns:
    [m] ratings; a model starts at 1000, and the mean stays there.
  """
  found = [BASE_RATING] * len(verdicts.models)
  rows = zip(
    verdicts.first.tolist(),
    verdicts.second.tolist(),
    verdicts.share.tolist(),
    verdicts.weight.tolist(),
    strict=True,
  )
  for first, second, share, weight in rows:
    gap = (found[second] - found[first]) / 400
    # The limit keeps the power a number where K is absurd.
    change = k * weight * (share - 1 / (1 + 10 ** min(gap, 300.0)))
    found[first] += change
    found[second] -= change
  return np.array(found)
