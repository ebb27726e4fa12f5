# SPDX-License-Identifier: Apache-2.0
"""Writes the golden vectors of the losses of reward heads.

From formulas and derivatives written out by hand, in float64 with Python's
`math` alone: no code of the project and no automatic differentiation. Run as
`python tests/golden/make_reward_goldens.py`; it overwrites losses/NAME.json.
In the files, null stands for NaN, a target that is not known.
"""

import json
import math
import pathlib

_FOLDER = pathlib.Path(__file__).parent / "losses"

_SCORE_PAIRS = [
  (1.0, -0.5, 0.5),
  (-0.75, 0.25, 1.0),
  (0.0, 0.0, 0.0),
  (2.5, 2.5, 3.0),
  (25.0, -25.0, 1.0),
  (-25.0, 25.0, 2.0),
  (3.0, 1.5, 0.25),
]
_RANKINGS = [
  ([2.0, 1.0, 0.5, -1.0], [True, True, True, True]),
  ([-1.0, 0.0, 3.0, 1.0], [True, True, True, True]),
  ([0.5, -0.5, 9.0, 9.0], [True, True, False, False]),
  ([0.5, 7.0, -0.5, 0.25], [True, False, True, True]),
  ([4.0, 1.0, 1.0, 1.0], [True, False, False, False]),
  ([0.0, 0.0, 0.0, 0.0], [False, False, False, False]),
  ([50.0, 0.0, -50.0, -50.0], [True, True, True, True]),
  ([-50.0, 0.0, 50.0, 0.0], [True, True, True, False]),
]
_RATINGS = [
  ([2.5, 0.0, 4.0], [3.0, None, 4.0]),
  ([-1.0, 1.5, 0.25], [None, 1.0, 0.0]),
  ([50.0, -50.0, 2.0], [0.0, 4.0, None]),
  ([0.0, 0.0, 0.0], [None, None, None]),
]
_GRADES = [
  ([2.0, 0.5, -1.0], 1.0),
  ([2.0, 0.5, -1.0], 3.0),
  ([-0.25, -0.5, -4.0], 0.0),
  ([50.0, 50.0, 50.0], 0.0),
  ([50.0, 0.0, -50.0], 2.0),
  ([1.0, 1.0, 1.0], None),
  ([0.0, 0.0, 0.0], 0.0),
]
_CLASSES = [
  ([1.0, -0.5, 0.25], 0.0),
  ([1.0, -0.5, 0.25], 2.0),
  ([0.0, 0.0, 0.0], 1.0),
  ([50.0, -50.0, 0.0], 1.0),
  ([50.0, -50.0, 0.0], 0.0),
  ([1.0, 2.0, 3.0], None),
]


def _sigmoid(x: float) -> float:
  return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _softplus(x: float) -> float:
  """log(1 + e^x), the negative log of sigmoid(-x)."""
  return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _softmax(xs: list[float]) -> list[float]:
  top = max(xs)
  total = math.fsum(math.exp(x - top) for x in xs)
  return [math.exp(x - top) / total for x in xs]


def _log_sum_exp(xs: list[float]) -> float:
  top = max(xs)
  return top + math.log(math.fsum(math.exp(x - top) for x in xs))


def _bradley_terry(margin: str, smoothing: float, centering: float) -> dict:
  losses, chosen_grads, rejected_grads = [], [], []
  for chosen, rejected, given in _SCORE_PAIRS:
    gap = chosen - rejected - (given if margin == "subtract" else 0.0)
    weight = given if margin == "scale" else 1.0
    loss = (1 - smoothing) * _softplus(-gap) + smoothing * _softplus(gap)
    slope = weight * (_sigmoid(gap) - (1 - smoothing))
    total = chosen + rejected
    losses.append(weight * loss + centering * total**2)
    chosen_grads.append(slope + 2 * centering * total)
    rejected_grads.append(-slope + 2 * centering * total)
  chosen, rejected, margins = map(list, zip(*_SCORE_PAIRS, strict=True))
  return {
    "inputs": {
      "chosen_scores": chosen,
      "rejected_scores": rejected,
      "margins": margins,
    },
    "options": {
      "margin": margin,
      "label_smoothing": smoothing,
      "centering": centering,
    },
    "losses": losses,
    "chosen_rewards": chosen,
    "rejected_rewards": rejected,
    "gradients": {
      "chosen_scores": chosen_grads,
      "rejected_scores": rejected_grads,
    },
  }


def _plackett_luce() -> dict:
  losses, grads = [], []
  for scores, present in _RANKINGS:
    places = [k for k, there in enumerate(present) if there]
    loss, grad = 0.0, [0.0] * len(scores)
    # The place k is won with a softmax among those not placed before it.
    for start, winner in enumerate(places):
      left = places[start:]
      loss += _log_sum_exp([scores[k] for k in left]) - scores[winner]
      for k, share in zip(
        left, _softmax([scores[k] for k in left]), strict=True
      ):
        grad[k] += share - (k == winner)
    losses.append(loss)
    grads.append(grad)
  return {
    "inputs": {
      "scores": [scores for scores, _ in _RANKINGS],
      "present": [present for _, present in _RANKINGS],
    },
    "options": {},
    "losses": losses,
    "gradients": {"scores": grads},
  }


def _regression() -> dict:
  errors = [
    [0.0 if t is None else s - t for s, t in zip(*row, strict=True)]
    for row in _RATINGS
  ]
  return {
    "inputs": {
      "scores": [scores for scores, _ in _RATINGS],
      "targets": [targets for _, targets in _RATINGS],
    },
    "options": {},
    "losses": [[error**2 for error in row] for row in errors],
    "gradients": {"scores": [[2 * error for error in row] for row in errors]},
  }


def _ordinal() -> dict:
  losses, grads = [], []
  for scores, grade in _GRADES:
    if grade is None:
      losses.append(0.0)
      grads.append([0.0] * len(scores))
      continue
    above = [grade > c for c in range(len(scores))]
    losses.append(
      math.fsum(
        _softplus(-s if a else s) for s, a in zip(scores, above, strict=True)
      )
    )
    grads.append([_sigmoid(s) - a for s, a in zip(scores, above, strict=True)])
  return {
    "inputs": {
      "scores": [scores for scores, _ in _GRADES],
      "targets": [[grade] for _, grade in _GRADES],
    },
    "options": {},
    "losses": losses,
    "gradients": {"scores": grads},
  }


def _classification(smoothing: float) -> dict:
  losses, grads = [], []
  for scores, target in _CLASSES:
    if target is None:
      losses.append(0.0)
      grads.append([0.0] * len(scores))
      continue
    wanted = [
      (1 - smoothing) * (c == target) + smoothing / len(scores)
      for c in range(len(scores))
    ]
    normalizer = _log_sum_exp(scores)
    losses.append(
      math.fsum(
        q * (normalizer - s) for q, s in zip(wanted, scores, strict=True)
      )
    )
    grads.append([p - q for p, q in zip(_softmax(scores), wanted, strict=True)])
  return {
    "inputs": {
      "scores": [scores for scores, _ in _CLASSES],
      "targets": [[target] for _, target in _CLASSES],
    },
    "options": {"label_smoothing": smoothing},
    "losses": losses,
    "gradients": {"scores": grads},
  }


def _write(loss: str, source: str, formula: str, cases: list[dict]) -> None:
  vectors = {
    "loss": loss,
    "source": source,
    "formula": formula,
    "cases": cases,
  }
  text = json.dumps(vectors, indent=1, allow_nan=False)
  (_FOLDER / f"{loss}.json").write_text(text + "\n", "utf-8")


def main() -> None:
  """Writes all five files."""
  _FOLDER.mkdir(exist_ok=True)
  _write(
    "bradley_terry",
    "Llama 2 (arXiv 2307.09288) eq. 2; HelpSteer2-Preference (arXiv 2410.01257)"
    " scaled loss; Eisenstein et al. (arXiv 2312.09244) centering",
    "w * (-(1 - eps) * log sigmoid(z) - eps * log sigmoid(-z)) + centering *"
    " (chosen + rejected)^2; z = chosen - rejected - m; margin 'subtract': m ="
    " margin, w = 1; 'scale': m = 0, w = margin; 'none': m = 0, w = 1",
    [
      _bradley_terry("none", 0.0, 0.0),
      _bradley_terry("none", 0.1, 0.01),
      _bradley_terry("subtract", 0.0, 0.0),
      _bradley_terry("subtract", 0.25, 0.05),
      _bradley_terry("scale", 0.0, 0.01),
      _bradley_terry("scale", 0.1, 0.0),
    ],
  )
  _write(
    "plackett_luce",
    "Zhu, Jiao and Jordan (arXiv 2301.11270), K-wise maximum likelihood",
    "-sum_k log(exp(r_k) / sum_{j >= k} exp(r_j)) over the answers present",
    [_plackett_luce()],
  )
  _write(
    "regression",
    "SteerLM (arXiv 2310.05344); HelpSteer2 (arXiv 2406.08673)",
    "(score - target)^2 of each attribute; 0 where the target is not known",
    [_regression()],
  )
  _write(
    "ordinal",
    "Cao, Mirjalili and Raschka, CORAL (arXiv 1901.07884)",
    "-sum_c (log sigmoid(s_c) if grade > c else log sigmoid(-s_c))",
    [_ordinal()],
  )
  _write(
    "classification",
    "cross-entropy; label smoothing of Szegedy et al. (arXiv 1512.00567) sec. 7",
    "-(1 - eps) * log p_target - eps / C * sum_c log p_c; p = softmax(scores)",
    [_classification(0.0), _classification(0.2)],
  )


if __name__ == "__main__":
  main()
