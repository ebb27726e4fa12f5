# SPDX-License-Identifier: Apache-2.0
"""Writes losses/*.json of the pair losses: values and gradients by hand.

Only `math`, in float64: every loss and every derivative is written out here a
second time, from the papers, so that the files are an independent derivation
of what `ramjax.losses` computes in float32. All inputs are multiples of 1/8192
that float32 holds exactly. Run it after a change of the rows or options:

    python tests/golden/make_pairwise_goldens.py
"""

import json
import pathlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from pairwise_formulas import (
  LENGTHS,
  LOGPS,
  REFS,
  ROWS,
  SURE,
  Row,
  alphapo,
  aot,
  aot_unpaired,
  apo_down,
  apo_zero,
  chosen_nll,
  cpo,
  discopop,
  dno,
  dpo,
  dpo_norm,
  exo,
  hinge,
  ipo,
  nca,
  orpo,
  r_dpo,
  robust_dpo,
  rpo,
  simpo,
  sppo,
)

FOLDER = pathlib.Path(__file__).parent / "losses"


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
