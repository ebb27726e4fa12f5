# SPDX-License-Identifier: Apache-2.0
"""The terms of a loss: found by name, fed by their signature, summed.

`config.loss.terms.dpo = {weight: 1.0, beta: 0.1}` names `dpo_loss` of
`losses/dpo.py`. Its parameters that the algorithm can provide (`chosen_logps`,
...) are arrays; the others are its options and come from the config. So a new
loss is a new file, and nothing else has to know of it.
"""

import dataclasses
import difflib
import importlib
import importlib.resources
import importlib.util
import inspect
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp

Arrays = dict[str, jax.Array]

# How the candidates of Cringe's contrast are drawn (`losses.token_gaps`):
# options of every term that compares with one.
CONTRAST_OPTIONS = {"top_k": int, "stop_candidate_gradient": bool}
_GAP_ARRAYS = ("rejected_gap_losses", "gap_losses")


@dataclasses.dataclass(frozen=True)
class Term:
  """One loss of a weighted sum.

  Attributes:
    name: Of the module in `losses/`.
    weight: What it is multiplied by.
    function: `<name>_loss`.
    arrays: Names of the arrays it takes.
    options: Its other arguments.
    contrast: `CONTRAST_OPTIONS` by name; empty where it takes no gaps.
    statistics: The module's `batch_statistics`, or None.
    carried: Initial values of what `statistics` keeps between updates.
    predictions: The module's `predictions`, from scores to ratings, or None.
  """

  name: str
  weight: float
  function: Callable[..., Any]
  arrays: frozenset[str]
  options: Mapping[str, Any]
  contrast: Mapping[str, Any]
  statistics: Callable[..., Mapping[str, jax.Array]] | None
  carried: Mapping[str, float]
  predictions: Callable[[jax.Array], jax.Array] | None

  @property
  def statistics_arrays(self) -> frozenset[str]:
    """Names of the arrays that `statistics` takes."""
    if self.statistics is None:
      return frozenset()
    parameters = inspect.signature(self.statistics).parameters
    return self.arrays & parameters.keys()


def load_terms(
  terms: Mapping[str, Mapping[str, Any]],
  *,
  provided: Collection[str],
  algorithm: str,
) -> tuple[Term, ...]:
  """Finds the losses that a config names and checks their options.

  Args:
    terms: `config.loss.terms` as a dict: options of each loss, and `weight`.
    provided: Names of the arrays that the algorithm can provide.
    algorithm: Its name, for errors.

  Returns:
    The terms, in the order given.

  Raises:
    ValueError: No term; an unknown loss, a missing or unknown option, or a
      loss that needs what the algorithm's rows do not have.
  """
  if not terms:
    raise ValueError(
      "loss.terms is empty: name a loss, such as"
      " loss.terms.dpo = dict(weight=1.0, beta=0.1)."
    )
  return tuple(
    _load_term(name, dict(options), provided, algorithm)
    for name, options in terms.items()
  )


def _load_term(
  name: str,
  given: dict[str, Any],
  provided: Collection[str],
  algorithm: str,
) -> Term:
  module = _module(name)
  function = getattr(module, f"{name}_loss")
  statistics = getattr(module, "batch_statistics", None)
  carried = getattr(module, "CARRIED", {})
  weight = given.pop("weight", None)
  is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
  if not is_number or weight <= 0:
    raise ValueError(
      f"loss.terms.{name}.weight={weight!r} must be a number above 0: the share"
      " of this loss in the sum, 1.0 where it is the only one."
    )
  parameters = dict(inspect.signature(function).parameters)
  if statistics is not None:
    parameters |= inspect.signature(statistics).parameters
  arrays = {p for p, spec in parameters.items() if _is_array(spec)}
  wanted = {p: s for p, s in parameters.items() if p not in arrays}
  contrast: dict[str, Any] = {}
  if not arrays.isdisjoint(_GAP_ARRAYS):
    wanted |= {
      option: inspect.Parameter(option, _KEYWORD_ONLY, annotation=kind)
      for option, kind in CONTRAST_OPTIONS.items()
    }
  _check_options(name, given, wanted)
  given = {
    option: _as_annotated(f"loss.terms.{name}.{option}", value, wanted[option])
    for option, value in given.items()
  }
  if not arrays.isdisjoint(_GAP_ARRAYS):
    contrast = {option: given.pop(option) for option in CONTRAST_OPTIONS}
  absent = arrays - set(provided)
  if statistics is not None:
    # What it returns is an array of the loss that no algorithm has; what it
    # takes must come from the rows, or from the update before.
    absent &= inspect.signature(statistics).parameters.keys()
    absent -= {"mask", *carried}
  if absent:
    raise ValueError(
      f"loss.terms.{name} needs {', '.join(sorted(absent))}, which"
      f" algorithm={algorithm!r} does not have. It has"
      f" {', '.join(sorted(provided))}."
    )
  return Term(
    name=name,
    weight=float(weight),
    function=function,
    arrays=frozenset(arrays & set(provided)),
    options=given,
    contrast=contrast,
    statistics=statistics,
    carried=carried,
    predictions=getattr(module, "predictions", None),
  )


_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY


def _as_annotated(field: str, value: Any, parameter: inspect.Parameter) -> Any:
  """The value of an option, in the type that the loss says it is."""
  annotation = parameter.annotation
  kinds = typing.get_args(annotation) or (annotation,)
  # `--config.loss.terms.dpo_norm.beta=5` is an integer, and means 5.0.
  if float in kinds and type(value) is int:
    return float(value)
  if type(value) not in kinds:
    expected = " or ".join(getattr(kind, "__name__", "?") for kind in kinds)
    raise ValueError(f"{field}={value!r} must be of type {expected}.")
  return value


def _is_array(parameter: inspect.Parameter) -> bool:
  """Whether a parameter is annotated as an array, by jaxtyping."""
  annotation = parameter.annotation
  choices = typing.get_args(annotation) or (annotation,)
  return any(hasattr(choice, "array_type") for choice in choices)


def _check_options(
  name: str,
  given: Mapping[str, Any],
  wanted: Mapping[str, inspect.Parameter],
) -> None:
  unknown = [option for option in given if option not in wanted]
  if unknown:
    raise ValueError(
      f"loss.terms.{name} has no option {unknown[0]!r}. Its options:"
      f" {', '.join([*wanted, 'weight'])}."
    )
  missing = [
    option
    for option, parameter in wanted.items()
    if parameter.default is inspect.Parameter.empty and option not in given
  ]
  if missing:
    raise ValueError(
      f"loss.terms.{name} lacks {', '.join(missing)}: set"
      f" loss.terms.{name}.{missing[0]} in the config."
    )


def _module(name: str) -> Any:
  path = f"ramjax.losses.{name}"
  found = name.isidentifier() and importlib.util.find_spec(path) is not None
  module = importlib.import_module(path) if found else None
  if module is None or not hasattr(module, f"{name}_loss"):
    near = difflib.get_close_matches(name, losses())
    hint = f" Is it {near[0]}?" if near else ""
    raise ValueError(
      f"loss.terms names {name!r}, and there is no losses/{name}.py with a"
      f" function {name}_loss.{hint} There are {', '.join(losses())}."
    )
  return module


def losses() -> list[str]:
  """The modules of `losses/` with a loss, by name; SFT's has its own trainer."""
  folder = importlib.resources.files("ramjax.losses")
  modules = (e for e in folder.iterdir() if e.name.endswith(".py"))
  return sorted(
    name
    for module in modules
    if (name := module.name.removesuffix(".py")) != "sft"
    and f"\ndef {name}_loss(" in module.read_text("utf-8")
  )


def contrast_of(terms: tuple[Term, ...]) -> Mapping[str, Any]:
  """How candidates are drawn, which all terms of a sum must agree on.

  Raises:
    ValueError: Two terms differ.
  """
  wanted = [term for term in terms if term.contrast]
  for term in wanted[1:]:
    if term.contrast != wanted[0].contrast:
      raise ValueError(
        f"loss.terms.{wanted[0].name} and loss.terms.{term.name} draw their"
        f" candidates differently ({dict(wanted[0].contrast)} and"
        f" {dict(term.contrast)}): give both the same."
      )
  return wanted[0].contrast if wanted else {}


def weighted_losses(
  terms: tuple[Term, ...],
  arrays: Arrays,
  statistics: Mapping[str, Arrays],
) -> tuple[jax.Array, Any]:
  """The weighted sum of the terms, and what the first one returned.

  Args:
    terms: From `load_terms`.
    arrays: Everything that the algorithm provides.
    statistics: What `batch_statistics` returned, by the term's name.

  Returns:
    The losses, in the shape that the terms return them, and the first term's
    result (a NamedTuple with `losses`, or the losses).
  """
  total, first = None, None
  for term in terms:
    known = {**arrays, **statistics.get(term.name, {}), **term.options}
    accepted = inspect.signature(term.function).parameters
    result = term.function(**{k: v for k, v in known.items() if k in accepted})
    losses = getattr(result, "losses", result)
    if first is None:
      first = result
    elif total is not None and losses.shape != total.shape:
      raise ValueError(
        f"loss.terms.{terms[0].name} and loss.terms.{term.name} cannot be"
        f" summed: one has losses of shape {total.shape}, the other"
        f" {losses.shape}."
      )
    weighted = term.weight * losses
    total = weighted if total is None else total + weighted
  assert total is not None
  return total, first


def batch_statistics(
  term: Term, arrays: Arrays, mask: jax.Array, carried: Arrays
) -> tuple[Arrays, Arrays]:
  """What a term needs to know of the whole batch; no gradient flows to it.

  Args:
    term: With `statistics`.
    arrays: [N] over the whole batch.
    mask: [N] bool, the real examples.
    carried: The term's values from the update before.

  Returns:
    Further arguments of the loss, and the values to carry on.
  """
  assert term.statistics is not None
  known = {**arrays, **carried, **term.options, "mask": mask}
  accepted = inspect.signature(term.statistics).parameters
  found = term.statistics(**{k: v for k, v in known.items() if k in accepted})
  found = {k: jnp.asarray(v, jnp.float32) for k, v in found.items()}
  return found, {name: found[name] for name in term.carried}
