# SPDX-License-Identifier: Apache-2.0
"""Writes the golden vectors of the Cringe losses and of the unpaired losses.

From formulas and derivatives written out by hand, in float64 with Python's
`math` alone: no code of the project and no automatic differentiation. Run as
`python tests/golden/make_unpaired_goldens.py`; it overwrites losses/NAME.json.
"""

import json
import math
import pathlib

_FOLDER = pathlib.Path(__file__).parent

# (log-probability, that of the reference, desirable); sums over tokens. The
# last row is padding.
_EXAMPLES = [
  (-12.5, -13.0, True),
  (-12.5, -13.0, False),
  (-30.25, -28.0, True),
  (-30.25, -28.0, False),
  (-10.0, -60.0, True),
  (-10.0, -60.0, False),
  (-60.0, -10.0, True),
  (-60.0, -10.0, False),
  (-7.0, -7.0, True),
  (0.0, 0.0, False),
]
# (log-probability, loss against the tokens, length, desirable).
_ANSWERS = [
  (-12.5, 4.75, 6, True),
  (-12.5, 4.75, 6, False),
  (-0.5, 51.0, 1, True),
  (-0.5, 51.0, 1, False),
  (-300.0, 0.0, 64, True),
  (-300.0, 0.0, 64, False),
  (0.0, 0.0, 0, False),
]
# (log p(chosen), log p(rejected), contrast of rejected, lengths of the two).
_PAIRS = [
  (-12.5, -11.0, 4.75, 6, 4),
  (-11.0, -12.5, 0.25, 4, 6),
  (-10.0, -60.0, 3.0, 2, 5),
  (-60.0, -10.0, 9.5, 5, 2),
  (-7.0, -7.0, 1.0, 3, 3),
  (0.0, 0.0, 0.0, 0, 0),
]
# (log p(y), log p(y | judgement), judged bad): a ratio that rises, one that
# falls, one between the thresholds 1.1 and 1.5, and probabilities near 1.
_TOKENS = [
  (-3.0, -1.0, True),
  (-1.0, -3.0, True),
  (-1.0, -0.75, True),
  (-3.0, -1.0, False),
  (-0.25, -0.125, True),
  (-0.5, -0.001953125, True),
  (-50.0, -1.0, True),
  (-1.0, -50.0, True),
  (-50.0, -1.0, False),
  (0.0, 0.0, False),
  (0.0, 0.0, True),
]


def _sigmoid(x: float) -> float:
  return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _softplus(x: float) -> float:
  return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _columns(rows, names):
  return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def _case(inputs, options, rows, outputs, gradients):
  """A case whose `rows` hold, an example each, the outputs and gradients."""
  columns = _columns(rows, outputs + gradients)
  return {
    "inputs": inputs,
    "options": options,
    **{name: columns[name] for name in outputs},
    "gradients": {name: columns[name] for name in gradients},
  }


def _kto(kl, beta, good, bad):
  rows = []
  for logp, ref, is_good in _EXAMPLES:
    weight = good if is_good else bad
    x = beta * (logp - ref - kl) * (1 if is_good else -1)
    slope = weight * _sigmoid(x) * _sigmoid(-x) * beta
    rows.append(
      (
        weight * _sigmoid(-x),
        beta * (logp - ref),
        -slope if is_good else slope,
      )
    )
  inputs = _columns(_EXAMPLES, ["logps", "ref_logps", "labels"])
  options = dict(beta=beta, desirable_weight=good, undesirable_weight=bad)
  return _case(
    inputs | {"kl": kl}, options, rows, ["losses", "rewards"], ["logps"]
  )


def _bco(mean, beta):
  rows = []
  for logp, ref, is_good in _EXAMPLES:
    sign = 1 if is_good else -1
    x = beta * (logp - ref - mean) * sign
    rows.append(
      (_softplus(-x), beta * (logp - ref), -sign * beta * _sigmoid(-x))
    )
  inputs = _columns(_EXAMPLES, ["logps", "ref_logps", "labels"])
  return _case(
    inputs | {"log_ratio_mean": mean},
    dict(beta=beta),
    rows,
    ["losses", "rewards"],
    ["logps"],
  )


def _for_or_against(name, alpha, reduction, contrast_positives=None):
  """Cringe and unlikelihood: one likelihood, one sum against the tokens."""
  rows = []
  for logp, against, length, is_good in _ANSWERS:
    size = max(length, 1) if reduction == "mean" else 1
    on_logp = -1 / size if is_good else 0.0
    counts = bool(contrast_positives) or not is_good
    on_against = alpha / size if counts else 0.0
    rows.append(
      (
        on_logp * logp + on_against * against,
        logp / size,
        on_logp,
        on_against,
      )
    )
  inputs = _columns(_ANSWERS, ["logps", name, "lengths", "labels"])
  options = dict(alpha=alpha, logp_reduction=reduction)
  if contrast_positives is not None:
    options["contrast_positives"] = contrast_positives
  return _case(inputs, options, rows, ["losses", "rewards"], ["logps", name])


def _pairwise_cringe(alpha, b, tau, stop, margin_reduction, term_reduction):
  rows = []
  for chosen, rejected, contrast, long, short in _PAIRS:
    means = (max(long, 1), max(short, 1))
    a, c = means if margin_reduction == "mean" else (1, 1)
    d, e = means if term_reduction == "mean" else (1, 1)
    x = (b - (chosen / a - rejected / c)) / tau
    gate = _sigmoid(x)
    inside = -chosen / d + alpha * contrast / e
    # d gate / d margin, and the margin's own derivatives 1 / a and -1 / c.
    slope = 0.0 if stop else -gate * _sigmoid(-x) / tau
    rows.append(
      (
        gate * inside,
        chosen / a,
        rejected / c,
        -gate / d + slope * inside / a,
        -slope * inside / c,
        gate * alpha / e,
      )
    )
  inputs = _columns(
    _PAIRS,
    [
      "chosen_logps",
      "rejected_logps",
      "rejected_gap_losses",
      "chosen_lengths",
      "rejected_lengths",
    ],
  )
  options = dict(
    alpha=alpha,
    b=b,
    tau=tau,
    stop_gradient_gate=stop,
    logp_reduction=margin_reduction,
    token_reduction=term_reduction,
  )
  return _case(
    inputs,
    options,
    rows,
    ["losses", "chosen_rewards", "rejected_rewards"],
    ["chosen_logps", "rejected_logps", "rejected_gap_losses"],
  )


def _cut(alpha, threshold):
  rows = []
  for plain, judged, flagged in _TOKENS:
    if not flagged:
      rows.append((-plain, -1.0, 0.0))
    elif math.exp(judged - plain) > threshold:
      x = min(plain, -1e-5)
      unlikelihood = -math.log(-math.expm1(x))
      rows.append(
        (
          0.5 * (alpha * unlikelihood - judged),
          0.5 * alpha * math.exp(x) / -math.expm1(x),
          -0.5,
        )
      )
    else:
      rows.append((0.5 * (-plain - judged), -0.5, -0.5))
  inputs = _columns(
    _TOKENS, ["token_logps", "conditioned_token_logps", "flagged"]
  )
  return _case(
    inputs,
    dict(alpha=alpha, threshold=threshold),
    rows,
    ["losses"],
    ["token_logps", "conditioned_token_logps"],
  )


_FILES = {
  "losses/cringe.json": (
    "Adolphs et al., arXiv 2211.05826, section 3",
    "desirable: -log p(y) [+ alpha C]; undesirable: alpha C,"
    " C = sum_t softplus of the gap",
    [
      _for_or_against("gap_losses", 1.0, "sum", False),
      _for_or_against("gap_losses", 0.25, "mean", False),
      _for_or_against("gap_losses", 0.5, "sum", True),
      _for_or_against("gap_losses", 0.5, "mean", True),
    ],
  ),
  "losses/unlikelihood.json": (
    "Welleck et al., arXiv 1908.04319, section 5",
    "desirable: -log p(y); undesirable: alpha sum_t -log(1 - p(y_t))",
    [
      _for_or_against("unlikelihoods", 1.0, "sum"),
      _for_or_against("unlikelihoods", 0.25, "mean"),
    ],
  ),
  "losses/pairwise_cringe.json": (
    "Xu et al., arXiv 2312.16682, section 3",
    "sigmoid((b - M) / tau) (-log p(y_w) + alpha C(y_l)),"
    " M = log p(y_w) - log p(y_l)",
    [
      _pairwise_cringe(1.0, 0.0, 1.0, True, "sum", "sum"),
      _pairwise_cringe(0.25, -10.0, 10.0, False, "sum", "sum"),
      _pairwise_cringe(0.5, 10.0, 10.0, False, "mean", "mean"),
      _pairwise_cringe(0.5, 2.0, 0.5, False, "mean", "sum"),
      _pairwise_cringe(0.0, 2.0, 4.0, False, "sum", "mean"),
    ],
  ),
  "losses/kto.json": (
    "Ethayarajh et al., arXiv 2402.01306, section 4.1",
    "desirable: w_D (1 - sigmoid(beta (r - z0)));"
    " undesirable: w_U (1 - sigmoid(beta (z0 - r)))",
    [
      _kto(0.0, 0.125, 1.0, 1.0),
      _kto(2.5, 0.5, 1.5, 0.75),
      _kto(50.0, 1.0, 0.0, 2.0),
    ],
  ),
  "losses/bco.json": (
    "Jung et al., arXiv 2404.04656, section 3",
    "desirable: -log sigmoid(beta (r - m)); undesirable:"
    " -log sigmoid(-beta (r - m))",
    [_bco(0.0, 0.125), _bco(-1.5, 1.0), _bco(50.0, 0.5)],
  ),
  "losses/cut.json": (
    "Xu et al., arXiv 2312.14591, section 4",
    "approved: -log p; judged: (-log p_j + (-alpha log(1 - p) if p_j / p >"
    " threshold else -log p)) / 2",
    [_cut(1.0, 1.1), _cut(0.5, 1.5), _cut(0.5, 0.5)],
  ),
}


def main() -> None:
  for name, (source, formula, cases) in _FILES.items():
    path = _FOLDER / name
    content = dict(loss=path.stem, source=source, formula=formula, cases=cases)
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
  main()
