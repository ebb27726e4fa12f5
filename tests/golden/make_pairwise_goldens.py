# SPDX-License-Identifier: Apache-2.0
"""Writes losses/*.json of the pair losses: values and gradients by hand.

Only `math`, in float64: every loss and every derivative is written out here a
second time, from the papers, so that the files are an independent derivation
of what `ramjax.losses` computes in float32. All inputs are multiples of 1/8192
that float32 holds exactly. Run it after a change of the rows or options:

    python tests/golden/make_pairwise_goldens.py
"""

import json
import math
import pathlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

FOLDER = pathlib.Path(__file__).parent / "losses"


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


class Loss(NamedTuple):
  """A loss, where it is from, its arrays, and the options of each case."""

  function: Callable[..., Any]
  source: str
  formula: str
  arrays: tuple[str, ...]
  options: list[dict[str, Any]]
  rows: list[Row] = ROWS


_BETAS: list[dict[str, Any]] = [{"beta": 0.1}, {"beta": 1.0}]
_C = "r = beta (log pi - log pi_ref); m = r_chosen - r_rejected; "
LOSSES = [
  Loss(
    dpo,
    "arXiv 2305.18290 Eq. 7; cDPO note Eq. 3; arXiv 2309.16240 Table 1",
    "r = beta f'(pi / pi_ref); m = r_chosen - r_rejected;"
    " -(1 - eps) log sigma(m) - eps log sigma(-m)",
    REFS,
    [
      *_BETAS,
      {"beta": 0.5, "label_smoothing": 0.1},
      {"beta": 0.1, "divergence": "forward_kl"},
      {"beta": 1.0, "divergence": "js"},
      {"beta": 0.1, "divergence": "alpha", "divergence_alpha": 0.5},
      {"beta": 0.5, "divergence": "alpha", "divergence_alpha": 0.25},
    ],
  ),
  Loss(
    robust_dpo,
    "arXiv 2403.00409 section 3",
    _C + "(-(1 - eps) log sigma(m) + eps log sigma(-m)) / (1 - 2 eps)",
    REFS,
    [
      {"beta": 0.1, "label_smoothing": 0.0},
      {"beta": 1.0, "label_smoothing": 0.25},
    ],
  ),
  Loss(
    ipo,
    "arXiv 2310.12036 Eq. 17",
    "h = log pi - log pi_ref, divided by the length for mean;"
    " (h_chosen - h_rejected - 1 / (2 beta))^2",
    (*REFS, *LENGTHS),
    [
      {"beta": 0.1, "logp_reduction": "mean"},
      {"beta": 0.5, "logp_reduction": "sum"},
    ],
  ),
  Loss(
    hinge,
    "arXiv 2305.10425 section 2; arXiv 2309.06657 section 3",
    _C + "max(0, 1 - m)",
    REFS,
    _BETAS,
  ),
  Loss(
    exo,
    "arXiv 2402.00856 Eq. 16",
    _C + "q = sigma(m); q log(q / (1 - eps)) + (1 - q) log((1 - q) / eps)",
    REFS,
    [
      {"beta": 0.1, "label_smoothing": 0.001},
      {"beta": 1.0, "label_smoothing": 0.25},
    ],
  ),
  Loss(
    nca,
    "arXiv 2402.05369, pairs",
    "-log sigma(r_c) - log sigma(-r_c) / 2 - log sigma(-r_r) / 2",
    REFS,
    _BETAS,
  ),
  Loss(
    aot,
    "arXiv 2406.05882 section 3, paired",
    "d = log-odds of a pair; -log sigma(beta (d_(k) - d_ref_(k))), by rank k",
    REFS,
    _BETAS,
  ),
  Loss(
    aot_unpaired,
    "arXiv 2406.05882 section 3, unpaired",
    "-log sigma(beta (h_chosen_(k) - h_rejected_(k))), by rank k; a row has"
    " half of the cost and the whole gradient of each of its two ranks",
    REFS,
    _BETAS,
  ),
  Loss(
    apo_zero,
    "arXiv 2408.06266 Eq. 7",
    "1 - sigma(r_c) + sigma(r_r)",
    REFS,
    _BETAS,
  ),
  Loss(
    apo_down,
    "arXiv 2408.06266 Eq. 8",
    "sigma(r_c) + 1 - sigma(r_c - r_r)",
    REFS,
    _BETAS,
  ),
  Loss(
    sppo,
    "arXiv 2405.00675 Eq. 4.7, hard",
    "(h_c - 1 / (2 beta))^2 + (h_r + 1 / (2 beta))^2",
    REFS,
    [{"beta": 0.001}, {"beta": 0.5}],
  ),
  Loss(
    discopop,
    "arXiv 2406.08414 Eq. 5",
    _C + "g = sigma(m / tau); -(1 - g) log sigma(m) + g exp(-m)",
    REFS,
    [{"beta": 0.05}, {"beta": 1.0, "tau": 0.5}, {"beta": 0.1, "tau": 1.0}],
  ),
  Loss(
    dpo_norm,
    "arXiv 2411.15124 section 5",
    "r = beta (log pi - log pi_ref) / length; -log sigma(r_c - r_r)",
    (*REFS, *LENGTHS),
    [{"beta": 5.0}, {"beta": 0.5}],
  ),
  Loss(
    orpo,
    "arXiv 2403.07691 Eqs. 4, 6, 7",
    "l = log pi / length; o = l - log(1 - exp(l));"
    " -l_c - lambda log sigma(o_c - o_r)",
    (*LOGPS, *LENGTHS),
    [{"odds_ratio_weight": 0.1}, {"odds_ratio_weight": 1.0}],
    ROWS + SURE,
  ),
  Loss(
    simpo,
    "arXiv 2405.14734 Eq. 6",
    "r = beta log pi / length; -log sigma(r_c - r_r - gamma)",
    (*LOGPS, *LENGTHS),
    [{"beta": 2.0, "gamma": 0.5}, {"beta": 10.0, "gamma": 0.0}],
  ),
  Loss(
    alphapo,
    "arXiv 2501.03884 section 3",
    "r = beta (1 - exp(-alpha log pi / length)) / alpha;"
    " -log sigma(r_c - r_r - gamma)",
    (*LOGPS, *LENGTHS),
    [
      {"beta": 2.5, "gamma": 0.5, "alpha": 0.25},
      {"beta": 1.0, "gamma": 0.0, "alpha": -0.5},
    ],
  ),
  Loss(
    cpo,
    "arXiv 2401.08417 section 3",
    "-log sigma(beta log pi_c - beta log pi_r) - w log pi_c / length_c",
    (*LOGPS, "chosen_lengths"),
    [{"beta": 0.1}, {"beta": 1.0, "nll_weight": 0.5}],
  ),
  Loss(
    rpo,
    "arXiv 2404.19733 Eq. 1",
    _C + "-log sigma(m) - w log pi_c / length_c",
    (*REFS, "chosen_lengths"),
    [{"beta": 0.1, "nll_weight": 1.0}, {"beta": 1.0, "nll_weight": 0.25}],
  ),
  Loss(
    r_dpo,
    "arXiv 2403.19159 section 3",
    _C + "-log sigma(m + alpha (length_c - length_r))",
    (*REFS, *LENGTHS),
    [
      {"beta": 0.1, "length_penalty": 0.0},
      {"beta": 1.0, "length_penalty": 0.125},
    ],
  ),
  Loss(
    dno,
    "arXiv 2404.03715 Algorithm 1",
    _C + "-p log sigma(m) - (1 - p) log sigma(-m)",
    (*REFS, "preference_probs"),
    _BETAS,
  ),
  Loss(
    chosen_nll,
    "arXiv 2404.19733 Eq. 1, second term",
    "-log pi_c / length_c",
    (*LOGPS, *LENGTHS),
    [{}],
  ),
]


def case(loss: Loss, options: dict[str, Any]) -> dict[str, Any]:
  rows, given = loss.rows, {}
  if loss.function in (aot, aot_unpaired):
    pairs, given = loss.function(rows, **options)
  else:
    pairs = [loss.function(row, **options) for row in rows]
  arrays = {name: [getattr(row, name) for row in rows] for name in loss.arrays}
  gradients = {
    "chosen_logps": [pair.d_chosen for pair in pairs],
    "rejected_logps": [pair.d_rejected for pair in pairs],
  }
  return {
    "inputs": arrays | given,
    "options": options,
    "losses": [pair.loss for pair in pairs],
    "chosen_rewards": [pair.chosen_reward for pair in pairs],
    "rejected_rewards": [pair.rejected_reward for pair in pairs],
    "gradients": gradients,
  }


def main() -> None:
  FOLDER.mkdir(exist_ok=True)
  for loss in LOSSES:
    name = loss.function.__name__
    content = {
      "loss": name,
      "source": loss.source,
      "formula": loss.formula,
      "cases": [case(loss, options) for options in loss.options],
    }
    text = json.dumps(content, indent=1)
    # A list of numbers on one line.
    text = re.sub(
      r"\[[^][{}\"]*\]", lambda found: " ".join(found[0].split()), text
    )
    (FOLDER / f"{name}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
  main()
