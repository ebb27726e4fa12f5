# SPDX-License-Identifier: Apache-2.0
"""Which metrics a report knows: their charts, names and units.

Whatever else a run logs gets a chart under its own name.
"""

import math
from collections.abc import Collection
from typing import NamedTuple

from ramjax.tools.report_points import Mark, Tint

VERIFIED = "eval/verified_accuracy"
# Of answers drawn as in a rollout, where those above are greedy.
SAMPLED = "eval/sampled/"
SAMPLED_SCORE = f"{SAMPLED}score"
SAMPLED_VERIFIED = f"{SAMPLED}verified_accuracy"
PAIR_ACCURACY = "eval/rewards/accuracy"

# The better and the worse answer: of a pair, and where they come one by one.
_SIDES: tuple[tuple[str, Tint], ...] = (
  ("chosen", "chosen"),
  ("desirable", "chosen"),
  ("rejected", "rejected"),
  ("undesirable", "rejected"),
)
# Below this, rewards and ratios are rounding: log-probabilities of whole answers
# are sums of float32.
_ROUNDING = 1e-5


class Line(NamedTuple):
  """One metric in a chart; `low` and `high` are the metrics of its interval."""

  key: str
  name: str
  mark: Mark = "line"
  tint: Tint = ""
  low: str = ""
  high: str = ""


class Chart(NamedTuple):
  """A chart's caption, unit and curves.

  Positive values whose extremes have a ratio of `log_from` or more are drawn on
  a logarithmic axis. `of_answers` are those that compare answers.
  """

  title: str
  unit: str
  lines: tuple[Line, ...]
  log_from: float = math.inf
  noisy: bool = True
  zero: bool = False
  percent: bool = False
  noise: float = 0.0
  of_answers: bool = False


def loss_unit(algorithm: object, metrics: Collection[str]) -> str:
  """What one value of the loss is per.

  Args:
    algorithm: Of the run's config; anything else is unknown.
    metrics: Names of what was logged.

  Returns:
    Such as "per pair"; "" if unknown.
  """
  if algorithm in ("sft", "cut"):
    return "nats per token"
  logged = {key.partition("/")[2] for key in metrics}
  if "rewards/best_first" in logged:
    return "per ranking"
  if algorithm == "unpaired" or logged & {"rewards/desirable", "error"}:
    return "per answer"
  if algorithm == "preference" or "rewards/chosen" in logged:
    return "per pair"
  return ""


def known(unit: str) -> tuple[Chart, ...]:
  """Every known chart in the order of the page: its first two are the page's.

  Args:
    unit: Of the loss.
  """
  loss = Chart("Loss", unit, _both("loss"), log_from=30.0)
  return (_SCORE, loss, *_KNOWN)


def _both(name: str) -> tuple[Line, ...]:
  return (
    Line(f"train/{name}", "train"),
    Line(f"eval/{name}", "held out", "dots"),
  )


def _by_side(name: str) -> tuple[Line, ...]:
  """Both answers, in training and held out."""
  lines = []
  for side, tint in _SIDES:
    mark: Mark = "line" if tint == "chosen" else "dashes"
    lines += [
      Line(f"train/{name}/{side}", f"{side}, train", mark, tint),
      Line(f"eval/{name}/{side}", f"{side}, held out", "dots", tint),
    ]
  return tuple(lines)


# What an online run climbs, so before its loss, which says little.
_SCORE = Chart(
  "Score",
  "mean reward of the answers",
  (
    Line("rollout/score", "rollouts"),
    Line(SAMPLED_SCORE, "held out, sampled", "dots"),
    Line("eval/score", "held out, greedy", "dots", tint="chosen"),
  ),
  zero=True,
)

_KNOWN = (
  Chart(
    "Held-out perplexity",
    "",
    (
      Line("eval/perplexity", "model", "dots"),
      Line("eval/unigram_perplexity", "token frequencies alone", "rule"),
    ),
    log_from=3.0,
  ),
  Chart(
    "Pair accuracy",
    "share of pairs with chosen above rejected",
    (
      Line("train/rewards/accuracy", "train"),
      Line(
        PAIR_ACCURACY,
        "held out",
        "dots",
        low=f"{PAIR_ACCURACY}_low",
        high=f"{PAIR_ACCURACY}_high",
      ),
    ),
    zero=True,
    percent=True,
  ),
  Chart("Error", "mean distance from the rating", _both("error"), zero=True),
  Chart(
    "Negative log-likelihood of the answers",
    "nats per token",
    (
      *_both("nll"),
      Line(
        "train/nll/conditioned",
        "train, flagged, given the judgment",
        "dashes",
      ),
      Line(
        "eval/nll/conditioned",
        "held out, flagged, given the judgment",
        "dots",
        tint="rejected",
      ),
    ),
  ),
  Chart(
    "Rewards",
    "mean over answers",
    _by_side("rewards"),
    noise=_ROUNDING,
    of_answers=True,
  ),
  Chart(
    "Margin",
    "reward of the chosen answer less that of the rejected",
    _both("rewards/margin"),
    noise=_ROUNDING,
    of_answers=True,
  ),
  Chart(
    "Log-probabilities",
    "log π, nats per answer",
    _by_side("logps"),
    of_answers=True,
  ),
  Chart(
    "Ratio to the reference",
    "log π \N{MINUS SIGN} log π_ref, nats per answer",
    _by_side("log_ratios"),
    noise=_ROUNDING,
    of_answers=True,
  ),
  Chart(
    "Divergence from the reference",
    "KL, held out, nats per token",
    (Line("eval/kl_per_token", "held out", "dots"),),
    zero=True,
    noise=1e-7,
    of_answers=True,
  ),
  Chart(
    "Divergence of the rollouts from the reference",
    "KL, nats per answer",
    (Line("rollout/kl", "rollouts"),),
    zero=True,
    noise=1e-7,
    of_answers=True,
  ),
  Chart(
    "Entropy",
    "nats per sampled token",
    (Line("rollout/entropy", "rollouts"),),
    zero=True,
    of_answers=True,
  ),
  Chart(
    "Length of the answers",
    "tokens",
    (
      Line("rollout/response_tokens", "rollouts"),
      Line(f"{SAMPLED}response_tokens", "held out, sampled", "dots"),
      Line("eval/response_tokens", "held out, greedy", "dots", tint="chosen"),
    ),
    zero=True,
    of_answers=True,
  ),
  Chart(
    "Groups of one worth",
    "share of the prompts, which teach nothing",
    (Line("rollout/uniform_groups", "rollouts"),),
    zero=True,
    percent=True,
    of_answers=True,
  ),
  Chart(
    "Best answer ranked first",
    "share of rankings",
    _both("rewards/best_first"),
    zero=True,
    percent=True,
    of_answers=True,
  ),
  Chart(
    "Token accuracy",
    "share of next tokens predicted",
    _both("accuracy"),
    zero=True,
    percent=True,
  ),
  Chart(
    "Learning rate",
    "",
    (Line("train/learning_rate", "learning rate"),),
    noisy=False,
    zero=True,
  ),
  Chart(
    "Gradient norm",
    "before clipping",
    (Line("train/grad_norm", "gradient norm"),),
    log_from=30.0,
  ),
  Chart(
    "Weights changed",
    "share of the trained weights, as bfloat16 has them",
    (Line("train/weights_changed", "weights changed"),),
    zero=True,
    percent=True,
  ),
  Chart(
    "Throughput",
    "tokens per second",
    (
      Line("train/tokens_per_s", "all tokens"),
      Line("train/supervised_tokens_per_s", "supervised tokens", "dashes"),
    ),
    zero=True,
  ),
  Chart(
    "Padding",
    "share of the batch",
    (Line("train/padding_share", "padding"),),
    zero=True,
    percent=True,
  ),
  Chart("Time per step", "seconds", (Line("train/step_s", "step"),), zero=True),
  Chart(
    "Desirable answers",
    "share of the batch",
    _both("labels/desirable"),
    zero=True,
    percent=True,
  ),
  Chart(
    "Flagged tokens",
    "share of the judged answers' tokens",
    _both("flagged"),
    zero=True,
    percent=True,
  ),
)
