# SPDX-License-Identifier: Apache-2.0
"""Values and derivatives of the pair losses, written out by hand in float64."""

import math
from collections.abc import Callable
from typing import NamedTuple


class Row(NamedTuple):
  """One pair, in the names of the losses' arrays."""

  chosen_logps: float
  rejected_logps: float
  ref_chosen_logps: float
  ref_rejected_logps: float
  chosen_lengths: int
  rejected_lengths: int
  preference_probs: float

  @property
  def h(self) -> tuple[float, float]:
    """Log-ratios of the chosen and the rejected response."""
    return (
      self.chosen_logps - self.ref_chosen_logps,
      self.rejected_logps - self.ref_rejected_logps,
    )

  @property
  def mean(self) -> tuple[float, float]:
    """Mean log-probabilities."""
    return (
      self.chosen_logps / self.chosen_lengths,
      self.rejected_logps / self.rejected_lengths,
    )


ROWS = [
  # Right and wrong order, policy = reference, one token.
  Row(-12.5, -15.25, -13.0, -14.75, 5, 8, 0.75),
  Row(-40.0, -20.5, -36.5, -24.0, 16, 7, 0.5),
  Row(-8.25, -9.5, -8.25, -9.5, 4, 4, 1.0),
  Row(-0.5, -3.0, -1.5, -2.25, 1, 1, 0.125),
  # Margins of 50 and -50 nats at beta 1.
  Row(-10.0, -95.0, -35.0, -70.0, 10, 20, 0.875),
  Row(-60.0, -20.0, -35.0, -45.0, 12, 3, 0.0),
]
# Mean probabilities near 1: e^-(1/4096) and e^-(1/64).
SURE = [
  Row(-1 / 4096, -2.0, 0.0, 0.0, 1, 2, 1.0),
  Row(-2.0, -1 / 64, 0.0, 0.0, 4, 1, 1.0),
]


class Pair(NamedTuple):
  """What a loss gives for one row; d are derivatives by log-probability."""

  loss: float
  d_chosen: float
  d_rejected: float
  chosen_reward: float
  rejected_reward: float


def sigma(x: float) -> float:
  if x < 0:
    return math.exp(x) / (1 + math.exp(x))
  return 1 / (1 + math.exp(-x))


def softplus(x: float) -> float:
  """-log sigma(-x); its derivative is sigma(x)."""
  return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def slope(x: float) -> float:
  """Derivative of sigma."""
  return sigma(x) * sigma(-x)


def link(m: float, eps: float = 0.0) -> tuple[float, float]:
  value = (1 - eps) * softplus(-m) + eps * softplus(m)
  return value, -(1 - eps) * sigma(-m) + eps * sigma(m)


def of_margin(row: Row, beta: float, cost: Callable, shift: float = 0) -> Pair:
  """A loss `cost(m) -> value, derivative` of DPO's margin, plus `shift`."""
  c, r = row.h
  value, d = cost(beta * c - beta * r + shift)
  return Pair(value, beta * d, -beta * d, beta * c, beta * r)


def dpo(row, beta, label_smoothing=0.0, divergence="reverse_kl", **others):
  def score(h):
    """f'(u) and its derivative by h = log u."""
    if divergence == "forward_kl":
      return 1 - math.exp(-h), math.exp(-h)
    if divergence == "js":
      return math.log(2) - softplus(-h), sigma(-h)
    if divergence == "alpha":
      alpha = others["divergence_alpha"]
      return (1 - math.exp(-alpha * h)) / alpha, math.exp(-alpha * h)
    return h, 1.0

  (c, dc), (r, dr) = score(row.h[0]), score(row.h[1])
  value, d = link(beta * (c - r), label_smoothing)
  return Pair(value, beta * d * dc, -beta * d * dr, beta * c, beta * r)


def robust_dpo(row, beta, label_smoothing):
  eps = label_smoothing

  def cost(m):
    value = ((1 - eps) * softplus(-m) - eps * softplus(m)) / (1 - 2 * eps)
    return value, (-(1 - eps) * sigma(-m) - eps * sigma(m)) / (1 - 2 * eps)

  return of_margin(row, beta, cost)


def ipo(row, beta, logp_reduction):
  mean = logp_reduction == "mean"
  n_c = row.chosen_lengths if mean else 1
  n_r = row.rejected_lengths if mean else 1
  c, r = row.h[0] / n_c, row.h[1] / n_r
  error = c - r - 1 / (2 * beta)
  return Pair(error**2, 2 * error / n_c, -2 * error / n_r, beta * c, beta * r)


def hinge(row, beta):
  return of_margin(row, beta, lambda m: (max(0.0, 1 - m), -1.0 * (m < 1)))


def exo(row, beta, label_smoothing):
  eps = label_smoothing

  def cost(m):
    yes = -softplus(-m) - math.log(1 - eps)
    no = -softplus(m) - math.log(eps)
    # d(q log q + (1 - q) log(1 - q)) leaves the logs only: the rest cancels.
    return sigma(m) * yes + sigma(-m) * no, slope(m) * (yes - no)

  return of_margin(row, beta, cost)


def nca(row, beta):
  c, r = beta * row.h[0], beta * row.h[1]
  value = softplus(-c) + softplus(c) / 2 + softplus(r) / 2
  d_c = -sigma(-c) + sigma(c) / 2
  return Pair(value, beta * d_c, beta * sigma(r) / 2, c, r)


def apo_zero(row, beta):
  c, r = beta * row.h[0], beta * row.h[1]
  value = sigma(-c) + sigma(r)
  return Pair(value, -beta * slope(c), beta * slope(r), c, r)


def apo_down(row, beta):
  c, r = beta * row.h[0], beta * row.h[1]
  value = sigma(c) + sigma(r - c)
  d_c = slope(c) - slope(r - c)
  return Pair(value, beta * d_c, beta * slope(r - c), c, r)


def sppo(row, beta):
  c, r = row.h
  goal = 0.5 / beta
  value = (c - goal) ** 2 + (r + goal) ** 2
  return Pair(value, 2 * (c - goal), 2 * (r + goal), beta * c, beta * r)


def discopop(row, beta, tau=0.05):
  def cost(m):
    shut = sigma(-m / tau)
    blown = math.exp(-softplus(-m / tau) - m)
    value = shut * softplus(-m) + blown
    d = -slope(m / tau) / tau * softplus(-m) - shut * sigma(-m)
    return value, d + blown * (shut / tau - 1)

  return of_margin(row, beta, cost)


def dpo_norm(row, beta):
  b_c, b_r = beta / row.chosen_lengths, beta / row.rejected_lengths
  c, r = b_c * row.h[0], b_r * row.h[1]
  value, d = link(c - r)
  return Pair(value, b_c * d, -b_r * d, c, r)


def orpo(row, odds_ratio_weight):
  c, r = row.mean
  rest_c, rest_r = -math.expm1(c), -math.expm1(r)  # 1 - p
  odds_c, odds_r = c - math.log(rest_c), r - math.log(rest_r)
  value, d = link(odds_c - odds_r)
  # d log(p / (1 - p)) / d log p = 1 / (1 - p).
  return Pair(
    -c + odds_ratio_weight * value,
    (-1 + odds_ratio_weight * d / rest_c) / row.chosen_lengths,
    -odds_ratio_weight * d / rest_r / row.rejected_lengths,
    odds_c,
    odds_r,
  )


def simpo(row, beta, gamma):
  c, r = beta * row.mean[0], beta * row.mean[1]
  value, d = link(c - r - gamma)
  b_c, b_r = beta / row.chosen_lengths, beta / row.rejected_lengths
  return Pair(value, b_c * d, -b_r * d, c, r)


def alphapo(row, beta, gamma, alpha):
  # p^(-alpha), p the geometric mean probability of a token.
  power_c = math.exp(-alpha * row.mean[0])
  power_r = math.exp(-alpha * row.mean[1])
  c, r = beta * (1 - power_c) / alpha, beta * (1 - power_r) / alpha
  value, d = link(c - r - gamma)
  b_c, b_r = beta / row.chosen_lengths, beta / row.rejected_lengths
  return Pair(value, b_c * power_c * d, -b_r * power_r * d, c, r)


def cpo(row, beta, nll_weight=1.0):
  c, r = beta * row.chosen_logps, beta * row.rejected_logps
  value, d = link(c - r)
  value -= nll_weight * row.mean[0]
  d_c = beta * d - nll_weight / row.chosen_lengths
  return Pair(value, d_c, -beta * d, c, r)


def rpo(row, beta, nll_weight):
  pair = of_margin(row, beta, link)
  return pair._replace(
    loss=pair.loss - nll_weight * row.mean[0],
    d_chosen=pair.d_chosen - nll_weight / row.chosen_lengths,
  )


def r_dpo(row, beta, length_penalty):
  longer = row.chosen_lengths - row.rejected_lengths
  return of_margin(row, beta, link, shift=length_penalty * longer)


def dno(row, beta):
  return of_margin(row, beta, lambda m: link(m, 1 - row.preference_probs))


def chosen_nll(row):
  c, r = row.mean
  return Pair(-c, -1 / row.chosen_lengths, 0.0, c, r)


def by_rank(values: list[float], others: list[float]) -> list[float]:
  """For each of `values` the one of `others` with as many below it."""
  below = [sum(v < value for v in values) for value in values]
  assert len(set(below)) == len(values), "ties"
  return [sorted(others)[k] for k in below]


def aot(rows, beta):
  ref = by_rank(
    [row.chosen_logps - row.rejected_logps for row in rows],
    [row.ref_chosen_logps - row.ref_rejected_logps for row in rows],
  )
  pairs = []
  for row, matched in zip(rows, ref, strict=True):
    value, d = link(beta * (row.chosen_logps - row.rejected_logps - matched))
    c, r = row.h
    pairs.append(Pair(value, beta * d, -beta * d, beta * c, beta * r))
  return pairs, {"matched_ref_margins": ref}


def aot_unpaired(rows, beta):
  chosen, rejected = [row.h[0] for row in rows], [row.h[1] for row in rows]
  to_chosen = by_rank(chosen, rejected)
  to_rejected = by_rank(rejected, chosen)
  pairs = []
  for i, (c, r) in enumerate(zip(chosen, rejected, strict=True)):
    a, d_a = link(beta * (c - to_chosen[i]))
    b, d_b = link(beta * (to_rejected[i] - r))
    pairs.append(Pair((a + b) / 2, beta * d_a, -beta * d_b, beta * c, beta * r))
  return pairs, {
    "matched_chosen_ratios": to_rejected,
    "matched_rejected_ratios": to_chosen,
  }


LOGPS = ("chosen_logps", "rejected_logps")
REFS = (*LOGPS, "ref_chosen_logps", "ref_rejected_logps")
LENGTHS = ("chosen_lengths", "rejected_lengths")
