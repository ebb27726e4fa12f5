# SPDX-License-Identifier: Apache-2.0
"""`ramjax convert merge`: one model from the weights of several."""

import argparse
import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from ramjax.models import merged, merged_slerp, merged_ties, same_shape
from ramjax.models.hf_folder import FLOAT_DTYPES
from ramjax.models.merged import Merged
from ramjax.models.open_model import open_model
from ramjax.models.tensors import Source
from ramjax.tools import convert_options, model_card, new_folder, write_model


class _Method(NamedTuple):
  """What a method takes.

  Attributes:
    needs: Options it cannot do without.
    takes: Options it has a default for.
    num_models: How many; None is any number.
  """

  needs: tuple[str, ...] = ()
  takes: tuple[str, ...] = ()
  num_models: int | None = None


_METHODS = {
  "linear": _Method(takes=("weight", "no_normalize")),
  "slerp": _Method(needs=("t",), num_models=2),
  "task": _Method(needs=("base",), takes=("weight", "lambda")),
  "ties": _Method(needs=("base",), takes=("density", "lambda")),
  "expo": _Method(needs=("base", "alpha"), num_models=1),
}
_OPTIONS = ("base", "weight", "no_normalize", "t", "density", "lambda", "alpha")

_DESCRIPTION = """\
Compute a model from the weights of others of the same shape.

methods:
  linear  sum_i w_i m_i, the weights divided by their sum (model soups,
          arXiv 2203.05482): --weight, --no-normalize
  slerp   from the first model (t = 0) to the second (t = 1) along the arc,
          tensor by tensor (Shoemake 1985): --t
  task    base + lambda sum_i w_i (m_i - base) (task arithmetic,
          arXiv 2212.04089): --base, --weight, --lambda
  ties    base + lambda times the mean of the changes that agree in sign,
          after the smaller ones of each tensor are dropped
          (arXiv 2306.01708): --base, --density, --lambda
  expo    m + alpha (m - base), past the tuned model m; base is the model
          its alignment started from (ExPO, arXiv 2404.16792): --base, --alpha

An option that the method does not use is refused. Tokenizer, chat template and
licence are those of the first --model. All is computed in float32 and rounded
once.
"""
_EXAMPLES = """\
examples:
  ramjax convert merge linear soup --model runs/a --model runs/b
  ramjax convert merge expo better --base runs/sft --model runs/dpo --alpha=0.3
"""


def main(argv: Sequence[str]) -> int:
  """Merges, and says what was written."""
  args = _parser().parse_args(argv)
  given = {name: vars(args)[name] for name in _OPTIONS}
  given = {name: value for name, value in given.items() if value is not None}
  _check(args.method, args.model, given)
  new_folder.check_new(args.target)
  models = [open_model(path) for path in args.model]
  named = {str(p): m for p, m in zip(args.model, models, strict=True)}
  base = None
  if "base" in given:
    base = open_model(given["base"])
    named.setdefault(str(given["base"]), base)
  same_shape.check(named)
  source = _merge(args.method, models, base, given, args.dtype)
  total = write_model.write_model(
    source,
    args.target,
    layout=convert_options.layout(args.to, models[0]),
    like=args.model[0],
    provenance={
      "command": "convert merge",
      "method": args.method,
      "models": [str(path) for path in args.model],
      "options": {
        name: str(value) if name == "base" else value
        for name, value in given.items()
      },
      "of_models": [model_card.read_provenance(path) for path in args.model],
      "version": model_card.version(),
    },
  )
  print(
    f"{args.target}: {args.method} of {len(models)} model(s),"
    f" {len(source.specs)} tensors, {total / 1e9:.2f} GB"
  )
  return 0


def _merge(
  method: str,
  models: Sequence[Source],
  base: Source | None,
  given: dict,
  dtype: str | None,
) -> Merged:
  weights = given.get("weight", [1.0] * len(models))
  scale = given.get("lambda", 1.0)
  if method == "linear":
    return merged.linear(
      models, weights, normalize="no_normalize" not in given, dtype=dtype
    )
  if method == "slerp":
    return merged_slerp.slerp(models[0], models[1], given["t"], dtype=dtype)
  assert base is not None  # `_check` saw to it.
  if method == "task":
    return merged.task(base, models, weights, scale=scale, dtype=dtype)
  if method == "ties":
    density = given.get("density", merged_ties.DENSITY)
    return merged_ties.ties(
      base, models, density=density, scale=scale, dtype=dtype
    )
  return merged.extrapolate(base, models[0], given["alpha"], dtype=dtype)


def _check(method: str, models: list[pathlib.Path], given: dict) -> None:
  """Refuses options that a method lacks or would ignore, and odd values."""
  takes = _METHODS[method]
  missing = [name for name in takes.needs if name not in given]
  unused = [n for n in given if n not in (*takes.needs, *takes.takes)]
  if missing or unused:
    allowed = [_flag(name) for name in (*takes.needs, *takes.takes)]
    what = "needs" if missing else "does not use"
    raise ValueError(
      f"{method} {what} {', '.join(map(_flag, missing or unused))}: its"
      f" options are --model, {', '.join(allowed)}."
    )
  if takes.num_models not in (None, len(models)):
    raise ValueError(
      f"{method} takes {takes.num_models} --model, and {len(models)} are given."
    )
  if len(given.get("weight", models)) != len(models):
    raise ValueError(
      f"{len(given['weight'])} --weight for {len(models)} --model: give one for"
      " each, in their order, or none."
    )
  if not 0 <= given.get("t", 0) <= 1:
    raise ValueError(f"--t={given['t']} must be from 0 to 1.")
  if not 0 < given.get("density", 1) <= 1:
    raise ValueError(
      f"--density={given['density']} must be above 0 and at most 1."
    )


def _flag(name: str) -> str:
  return "--" + name.replace("_", "-")


def _number(text: str) -> float:
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if not math.isfinite(value):
    raise argparse.ArgumentTypeError(f"{text!r} is not a finite number.")
  return value


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax convert merge",
    description=_DESCRIPTION,
    epilog=_EXAMPLES,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = parser.add_argument
  add("method", metavar="METHOD", choices=tuple(_METHODS))
  add("target", metavar="DST", type=pathlib.Path)
  add(
    "--model",
    metavar="PATH",
    type=pathlib.Path,
    action="append",
    required=True,
    help="a model; repeat it for each",
  )
  add(
    "--weight",
    metavar="W",
    type=_number,
    action="append",
    help="of each --model, in their order (default: 1 each)",
  )
  add(
    "--no-normalize",
    action="store_true",
    default=None,
    help="linear: take the weights as they are",
  )
  add("--base", metavar="PATH", type=pathlib.Path, help="the untuned model")
  add("--t", metavar="T", type=_number, help="slerp: how far, from 0 to 1")
  add(
    "--density",
    metavar="D",
    type=_number,
    help=(
      "ties: share of each tensor's changes that is kept (default:"
      f" {merged_ties.DENSITY})"
    ),
  )
  add(
    "--lambda",
    metavar="L",
    type=_number,
    help="task, ties: what the change is multiplied with (default: 1)",
  )
  add(
    "--alpha",
    metavar="A",
    type=_number,
    help="expo: how far past the model; 0.3 or 0.5 are a start",
  )
  add(
    "--dtype",
    choices=FLOAT_DTYPES,
    help="of the weights written (default: as in the first --model)",
  )
  convert_options.add_layout(parser, of="the first --model")
  return parser
