# SPDX-License-Identifier: Apache-2.0
"""The rewards of a run: found by name, fed by their options, summed.

`config.rewards.number_match = {weight: 1.0}` names `number_match_reward` of
`evals/number_match_reward.py`; a function of the config's own module is named
in the same way. So a new reward is a new file, or a function in a config, and
nothing else has to know of it.
"""

import collections.abc
import dataclasses
import difflib
import importlib
import importlib.resources
import importlib.util
import inspect
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ramjax.evals.answers import Answer, Reward

# Options of every term, which the functions themselves do not see.
TERM_OPTIONS = ("weight", "clip")

# A Python float: comparing it casts nothing.
_MOST = float(np.finfo(np.float32).max)
_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
_EMPTY = inspect.Parameter.empty


@dataclasses.dataclass(frozen=True)
class Term:
  """One reward of a weighted sum.

  Attributes:
    name: Under which the config names it.
    weight: What it is multiplied by; 0 measures it and no more.
    clip: Lowest and highest value before weighting, or None.
    function: `(answers, **options) -> one number an answer`.
    options: Its other arguments.
  """

  name: str
  weight: float
  clip: tuple[float, float] | None
  function: Reward
  options: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Scores:
  """What N answers are worth.

  Attributes:
    total: float32 [N], the weighted sum of the clipped rewards.
    parts: float32 [N] of each term by name, neither clipped nor weighted.
  """

  total: np.ndarray
  parts: dict[str, np.ndarray]


def find_rewards(
  config_terms: Mapping[str, Mapping[str, Any]],
  own: Mapping[str, Reward] = types.MappingProxyType({}),
) -> tuple[Term, ...]:
  """Finds the rewards that a config names and checks their options.

  Args:
    config_terms: `config.rewards` as a dict: options of each reward, `weight`
      and, where wanted, `clip`, a pair of the lowest and highest value.
    own: Functions of the config's module by name: `def brevity_reward(answers,
      *, ...)` is `brevity`.

  Returns:
    The terms, in the order given; none for an empty config.

  Raises:
    ValueError: An unknown reward, a missing or unknown option or one of a
      wrong type, or an own reward with the name of a built-in one.
  """
  known = reward_names()
  for name in own:
    if name in known:
      raise ValueError(
        f"The config's own reward {name!r} has the name of the built-in"
        f" evals/{name}_reward.py: rename one, so that a config can say which."
      )
  return tuple(
    _find_term(name, options, own) for name, options in config_terms.items()
  )


def reward_names() -> list[str]:
  """The built-in rewards: files of `evals/` that have one, by name."""
  folder = importlib.resources.files("ramjax.evals")
  names = (
    entry.name.removesuffix("_reward.py")
    for entry in folder.iterdir()
    if entry.name.endswith("_reward.py")
  )
  return sorted(
    name
    for name in names
    if name.isidentifier()
    and f"\ndef {name}_reward("
    in folder.joinpath(f"{name}_reward.py").read_text("utf-8")
  )


def score(terms: Sequence[Term], answers: Sequence[Answer]) -> Scores:
  """Scores answers by every term, and sums.

  Args:
    terms: From `find_rewards`; without any, every answer is worth 0.
    answers: N of them.

  Raises:
    ValueError: A reward gave something else than one finite number an answer,
      or the sum does not fit in float32.
  """
  total = np.zeros(len(answers), np.float64)
  parts = {}
  for term in terms:
    values = _values(term, answers)
    parts[term.name] = values.astype(np.float32)
    low, high = term.clip or (-math.inf, math.inf)
    total += term.weight * np.clip(values, low, high)
  large = np.abs(total) > _MOST
  if large.any():
    index = int(np.flatnonzero(large)[0])
    raise ValueError(
      f"The rewards of answer {index} sum to {total[index]}, too much for"
      " float32: lower the weights, or set clip."
    )
  return Scores(total=total.astype(np.float32), parts=parts)


def _values(term: Term, answers: Sequence[Answer]) -> np.ndarray:
  """A term's values, float64 [N], after checking them."""
  result = term.function(answers, **term.options)
  expected = (
    f"rewards.{term.name} must return one finite number for each of the"
    f" {len(answers)} answers"
  )
  if isinstance(result, str) or not hasattr(result, "__len__"):
    raise ValueError(f"{expected}, and it returned {result!r:.60}.")
  if len(result) != len(answers):
    raise ValueError(f"{expected}, and it returned {len(result)} values.")
  numbers = [_finite(value) for value in result]
  for index, number in enumerate(numbers):
    if number is None:
      raise ValueError(
        f"{expected}, and for answer {index}, {answers[index].response!r:.60},"
        f" it returned {result[index]!r:.60}."
      )
  return np.array(numbers, np.float64)


def _finite(value: Any) -> float | None:
  """A number that float32 can hold, or None for anything else."""
  if isinstance(value, str | bytes):
    return None
  try:
    number = float(value)
  except (TypeError, ValueError, OverflowError):
    return None
  return number if abs(number) <= _MOST else None


def _find_term(
  name: str, options: Mapping[str, Any], own: Mapping[str, Reward]
) -> Term:
  if not isinstance(options, collections.abc.Mapping):
    raise ValueError(
      f"rewards.{name}={options!r} must be options, such as"
      f" rewards.{name} = dict(weight=1.0)."
    )
  function = own[name] if name in own else _built_in(name, own)
  given = dict(options)
  weight = _weight(name, given.pop("weight", None))
  clip = _clip(name, given.pop("clip", None))
  wanted = _options_of(name, function)
  _check_options(name, given, wanted)
  given = {
    option: _as_annotated(
      f"rewards.{name}.{option}", value, wanted[option].annotation
    )
    for option, value in given.items()
    if option in wanted
  }
  if name not in own:
    # A built-in reward checks its options before it looks at an answer.
    function([], **given)
  return Term(
    name=name, weight=weight, clip=clip, function=function, options=given
  )


def _built_in(name: str, own: Mapping[str, Reward]) -> Reward:
  known = reward_names()
  if name not in known:
    near = difflib.get_close_matches(name, [*known, *own])
    hint = f" Is it {near[0]}?" if near else ""
    yours = f", and of the config's own {', '.join(own)}" if own else ""
    raise ValueError(
      f"rewards names {name!r}, and there is no evals/{name}_reward.py with a"
      f" function {name}_reward.{hint} There are {', '.join(known)}{yours}."
    )
  module = importlib.import_module(f"ramjax.evals.{name}_reward")
  return getattr(module, f"{name}_reward")


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool)


def _weight(name: str, weight: Any) -> float:
  if not _is_number(weight) or not math.isfinite(weight):
    raise ValueError(
      f"rewards.{name}.weight={weight!r} must be a number: what the reward is"
      " multiplied by, 1.0 where it is the only one, 0.0 to measure it only."
    )
  return float(weight)


def _clip(name: str, clip: Any) -> tuple[float, float] | None:
  if clip is None:
    return None
  if (
    not isinstance(clip, list | tuple)
    or len(clip) != 2
    or not all(map(_is_number, clip))
    or not clip[0] <= clip[1]
  ):
    raise ValueError(
      f"rewards.{name}.clip={clip!r} must be a pair of numbers, the lowest and"
      " the highest value the reward may have, such as (-1.0, 1.0)."
    )
  return float(clip[0]), float(clip[1])


def _options_of(name: str, function: Reward) -> dict[str, inspect.Parameter]:
  """The keyword-only parameters of a reward; its first is the answers."""
  parameters = list(inspect.signature(function).parameters.values())
  positional = [
    p
    for p in parameters
    if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
  ]
  options = {p.name: p for p in parameters if p.kind == _KEYWORD_ONLY}
  if len(positional) != 1 or len(positional) + len(options) < len(parameters):
    raise ValueError(
      f"rewards.{name} is {function!r} with the parameters"
      f" {inspect.signature(function)}: a reward is written"
      f" def {name}_reward(answers, *, option, ...)."
    )
  reserved = [option for option in options if option in TERM_OPTIONS]
  if reserved:
    raise ValueError(
      f"The reward {name!r} has an option {reserved[0]!r}, which every reward"
      f" has in the config (rewards.{name}.{reserved[0]}): rename it."
    )
  return options


def _check_options(
  name: str,
  given: Mapping[str, Any],
  wanted: Mapping[str, inspect.Parameter],
) -> None:
  for option in given:
    if option not in wanted:
      near = difflib.get_close_matches(option, [*wanted, *TERM_OPTIONS])
      hint = f" Is it {near[0]}?" if near else ""
      raise ValueError(
        f"rewards.{name} has no option {option!r}.{hint} Its options:"
        f" {', '.join([*wanted, *TERM_OPTIONS])}."
      )
  missing = [
    option
    for option, parameter in wanted.items()
    if parameter.default is _EMPTY and option not in given
  ]
  if missing:
    raise ValueError(
      f"rewards.{name} lacks {', '.join(missing)}: set"
      f" rewards.{name}.{missing[0]} in the config."
    )


def _as_annotated(field: str, value: Any, annotation: Any) -> Any:
  """The value of an option, in the type that the reward says it is."""
  union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
  choices = typing.get_args(annotation) if union else (annotation,)
  kinds = [typing.get_origin(choice) or choice for choice in choices]
  # A function of the user's may say nothing, Any, or the type as text.
  says = annotation is not _EMPTY and annotation is not Any
  if not says or not all(isinstance(kind, type) for kind in kinds):
    return value
  # `--config.rewards.length.max_words=5` for a float is an integer.
  if float in kinds and type(value) is int:
    return float(value)
  # To Python, True is an integer.
  right = isinstance(value, tuple(kinds))
  if not right or (isinstance(value, bool) and bool not in kinds):
    expected = " or ".join(kind.__name__ for kind in kinds)
    raise ValueError(f"{field}={value!r} must be of type {expected}.")
  return value
