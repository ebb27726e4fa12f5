# SPDX-License-Identifier: Apache-2.0
"""Every loss that an algorithm over answers can train, with rows to train on.

A loss on pairs, on labelled or on judged answers without a case here is tried
with the options of its config; one with neither fails `test_invariance.py`.
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tiny_groups
from tiny_groups import CONFIG

from ramjax.data import group_rows
from ramjax.data.tokenize_groups import Group
from ramjax.models.config import LlamaConfig
from ramjax.trainers import cut, preference, reward, unpaired
from ramjax.trainers.step import Objective

_ROOT = pathlib.Path(__file__).parents[2]
# Not trained by an algorithm over answers.
_OTHERS = {"sft"}
_DRAWN = dict(top_k=3, stop_candidate_gradient=False)
_BY_LENGTH = dict(logp_reduction="sum", token_reduction="mean")

_PAIRS: dict[str, dict[str, Any]] = {
  "alphapo": dict(beta=2.0, gamma=0.5, alpha=0.25),
  "aot": dict(beta=0.1),
  "aot_unpaired": dict(beta=0.1),
  "apo_down": dict(beta=0.1),
  "apo_zero": dict(beta=0.1),
  "chosen_nll": {},
  "cpo": dict(beta=0.1, nll_weight=1.0),
  "discopop": dict(beta=0.1, tau=0.5),
  "dno": dict(beta=0.1),
  "dpo": dict(beta=0.1),
  "dpo_norm": dict(beta=2.0),
  "exo": dict(beta=0.1, label_smoothing=0.1),
  "hinge": dict(beta=0.1),
  "ipo": dict(beta=0.1, logp_reduction="mean"),
  "nca": dict(beta=0.1),
  "orpo": dict(odds_ratio_weight=0.5),
  "pairwise_cringe": dict(
    alpha=0.5, b=-1.0, tau=3.0, stop_gradient_gate=False, **_BY_LENGTH, **_DRAWN
  ),
  "r_dpo": dict(beta=0.1, length_penalty=0.05),
  "robust_dpo": dict(beta=0.1, label_smoothing=0.1),
  "rpo": dict(beta=0.1, nll_weight=1.0),
  "simpo": dict(beta=2.0, gamma=0.5),
  "sppo": dict(beta=0.1),
}
_UNPAIRED: dict[str, dict[str, Any]] = {
  "bco": dict(beta=0.1),
  "cringe": dict(
    alpha=0.5, contrast_positives=True, logp_reduction="sum", **_DRAWN
  ),
  "kto": dict(beta=0.1, desirable_weight=1.0, undesirable_weight=1.5),
  "unlikelihood": dict(alpha=0.5, logp_reduction="sum"),
}


@dataclasses.dataclass(frozen=True)
class Family:
  """Losses that one program can train.

  Attributes:
    algorithm: Its name.
    terms: Options of each loss.
    config: Of the model.
    groups: Rows.
    shares_prompts: Whether the answers of a row follow one prompt.
    carried: Scalars from an update before.
  """

  algorithm: str
  terms: Mapping[str, Mapping[str, Any]]
  config: LlamaConfig
  groups: Sequence[Group]
  shares_prompts: bool = True
  carried: Mapping[str, float] = dataclasses.field(default_factory=dict)

  def objective(
    self,
    terms: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    chunk_size: int = 16,
  ) -> Objective:
    """What a step minimises; all the losses, or `terms`."""
    terms = terms or weighted(self.terms)
    if self.algorithm == "reward":
      return reward.make_reward_objective(self.config, terms=terms)
    make = {
      "preference": preference.make_preference_objective,
      "unpaired": unpaired.make_unpaired_objective,
      "cut": cut.make_cut_objective,
    }[self.algorithm]
    return make(self.config, terms=terms, chunk_size=chunk_size)


def weighted(
  terms: Mapping[str, Mapping[str, Any]], weight: float = 1.0
) -> dict[str, dict[str, Any]]:
  """The terms as a config has them."""
  return {name: {"weight": weight, **term} for name, term in terms.items()}


def pairs(num: int) -> list[Group]:
  """Pairs with margins and probabilities."""
  return [
    tiny_groups.random_group(
      1 + i % 5,
      (1 + (3 * i) % 7, 1 + (5 * i + 2) % 6),
      seed=i,
      margins=[0.5 * (i % 4)],
      preference_probs=[0.5 + 0.05 * i],
    )
    for i in range(num)
  ]


def labelled(num: int) -> list[Group]:
  """Answers of both labels, and of each a second one to another prompt."""
  groups = [
    tiny_groups.random_group(
      1 + i % 5, (1 + (3 * i) % 7,), seed=i, labels=[i % 3 != 0]
    )
    for i in range(num)
  ]
  return group_rows.with_mismatched(groups, groups, max_length=14)


def judged(num: int) -> list[Group]:
  """The same answer after a long and a short prompt."""
  found = []
  for i in range(num):
    group = tiny_groups.random_group(
      4 + i % 5, (1 + (3 * i) % 7,), seed=i, labels=[i % 3 != 0]
    )
    found.append(
      group._replace(
        prompts=(group.prompts[0], group.prompts[0][-(1 + i % 3) :]),
        responses=group.responses * 2,
        response_masks=group.response_masks * 2,
      )
    )
  return found


def ranked(num: int) -> list[Group]:
  """Rankings of three answers, and of two."""
  return [
    tiny_groups.random_group(
      1 + i % 5, (2 + i % 4, 1 + i % 3, 3)[: 3 - i % 2], seed=i
    )
    for i in range(num)
  ]


def rated(num: int, *targets: Sequence[float]) -> list[Group]:
  """Answers with ratings, in turn."""
  return [
    tiny_groups.random_group(
      1 + i % 5,
      (1 + (3 * i) % 7,),
      seed=i,
      targets=targets[i % len(targets)],
    )
    for i in range(num)
  ]


_NAN = float("nan")
_ONE_SCORE = dataclasses.replace(CONFIG, num_labels=1)
_THREE_SCORES = dataclasses.replace(CONFIG, num_labels=3)
_GRADES = rated(10, [0.0], [2.0], [_NAN], [1.0])
_FAMILIES = {
  "preference": Family("preference", _PAIRS, CONFIG, pairs(10)),
  "unpaired": Family(
    "unpaired",
    _UNPAIRED,
    CONFIG,
    labelled(10),
    carried={"bco/log_ratio_mean": 0.5, "bco/log_ratio_count": 7.0},
  ),
  "cut": Family(
    "cut",
    {"cut": dict(alpha=0.5, threshold=1.0)},
    CONFIG,
    judged(10),
    shares_prompts=False,
  ),
  "bradley_terry": Family(
    "reward",
    {
      "bradley_terry": dict(
        margin="subtract", label_smoothing=0.1, centering=0.01
      )
    },
    _ONE_SCORE,
    pairs(10),
  ),
  "plackett_luce": Family(
    "reward", {"plackett_luce": {}}, _ONE_SCORE, ranked(10)
  ),
  "regression": Family(
    "reward",
    {"regression": {}},
    _THREE_SCORES,
    rated(10, [1.0, 4.0, 2.5], [_NAN, 0.5, 3.0], [_NAN] * 3),
  ),
  "classification": Family(
    "reward",
    {"classification": dict(label_smoothing=0.1)},
    _THREE_SCORES,
    _GRADES,
  ),
  "ordinal": Family("reward", {"ordinal": {}}, _THREE_SCORES, _GRADES),
}


def trainable_losses() -> set[str]:
  """Modules of `losses/` with a loss, but those of other algorithms."""
  return {
    path.stem
    for path in (_ROOT / "losses").glob("*.py")
    if f"\ndef {path.stem}_loss(" in path.read_text("utf-8")
  } - _OTHERS


def _with_new_losses(families: dict[str, Family]) -> dict[str, Family]:
  """Adds the losses that have no case, with the options of a config."""
  known = {name for family in families.values() for name in family.terms}
  missing = trainable_losses() - known
  for path in sorted((_ROOT / "configs").glob("*.py")) if missing else ():
    module = importlib.import_module(f"ramjax.configs.{path.stem}")
    if not hasattr(module, "get_config"):
      continue
    config = module.get_config()
    family = families.get(config.algorithm)
    if family is None:
      continue
    new = {
      name: {k: _DRAWN.get(k, v) for k, v in term.items() if k != "weight"}
      for name, term in config.loss.terms.items()
      if name in missing
    }
    terms = {**new, **family.terms}
    families[config.algorithm] = dataclasses.replace(family, terms=terms)
  return families


FAMILIES = _with_new_losses(_FAMILIES)


def random_params(config: LlamaConfig, seed: int) -> Any:
  """Parameters near `tiny_groups.params`, of the policy's shape."""
  rng = np.random.default_rng(seed)

  def moved(tree: Any) -> Any:
    if isinstance(tree, dict):
      return {name: moved(value) for name, value in tree.items()}
    noise = rng.normal(0.0, 0.05, tree.shape)
    return (tree + noise).astype(np.float32)

  return moved(tiny_groups.params(config))
