# SPDX-License-Identifier: Apache-2.0
"""The options of a model that scores answers, and what they come to."""

import argparse
import pathlib

from ramjax.evals.padded_rows import MOST_TOKENS
from ramjax.evals.response_scorers import IMPLICIT, KINDS, REWARD
from ramjax.tools import (
  eval_likelihood,
  loaded_model,
  option_types,
  scoring_model,
)
from ramjax.tools.eval_likelihood import NO_TEMPLATE
from ramjax.tools.scoring_model import OpenedModel, Scoring

SCORES_FILE = "scores.jsonl"
_BATCH_SIZE = 16
# RewardBench's.
_MAX_LENGTH = 2048


def add_options(parser: argparse.ArgumentParser) -> None:
  """All but `--model`; none has a default that `given` would not tell."""
  parser.add_argument(
    "--scorer",
    choices=KINDS,
    help="reward: the score head; implicit: beta (log pi - log pi_ref), DPO's"
    " reward, or the density ratio of two models; logp, mean_logp:"
    " log-probability, summed or by token (default: reward for a model with a"
    " score head, implicit with --reference)",
  )
  parser.add_argument(
    "--reference",
    type=pathlib.Path,
    metavar="FOLDER",
    help="what an implicit reward is compared with: the model that DPO started"
    " from; of a run the newest checkpoint",
  )
  parser.add_argument(
    "--beta",
    type=option_types.positive_float,
    metavar="X",
    help="of an implicit reward (default: 1)",
  )
  parser.add_argument(
    "--max-length",
    type=option_types.positive_int,
    metavar="N",
    help="tokens of a prompt with its answer; longer ones are cut, and counted"
    f" (default: {_MAX_LENGTH}, or what the model is for)",
  )
  parser.add_argument(
    "--batch-size",
    type=option_types.positive_int,
    metavar="N",
    help=f"answers that are scored at a time, at most (default: {_BATCH_SIZE});"
    f" fewer where padded they would be more than {MOST_TOKENS:,} tokens",
  )
  loaded_model.add_template(parser)
  loaded_model.add_reading_options(parser)


def given(args: argparse.Namespace) -> list[str]:
  """Those of `add_options` that were given, as they are written."""
  parser = argparse.ArgumentParser()
  add_options(parser)
  defaults = vars(parser.parse_args([]))
  return [
    f"--{name.replace('_', '-')}"
    for name, default in defaults.items()
    if getattr(args, name) != default
  ]


def check(args: argparse.Namespace) -> None:
  """Refuses options that do not go together, whatever the model is.

  Args:
    args: Of `add_options`.

  Raises:
    ValueError: They do not, or --reference can be no reference.
    OSError: --reference has no model, or cannot be read.
  """
  if args.scorer == IMPLICIT and args.reference is None:
    raise ValueError(
      "--scorer=implicit needs --reference=FOLDER, the model that DPO started"
      " from."
    )
  for name in ("reference", "beta"):
    if args.scorer not in (None, IMPLICIT) and getattr(args, name) is not None:
      raise ValueError(
        f"--{name}={getattr(args, name)}: --scorer={args.scorer} compares with"
        " no reference: leave it out."
      )
  if args.beta is not None and args.reference is None:
    raise ValueError(
      f"--beta={args.beta} is of an implicit reward: name what it is compared"
      " with (--reference=FOLDER, the model that DPO started from), or leave"
      " --beta out."
    )
  if args.reference is not None:
    reference = scoring_model.open_model(args.reference, template=NO_TEMPLATE)
    if reference.config.num_labels:
      raise ValueError(
        f"--reference={args.reference} has a score head: an implicit reward"
        " compares with a language model."
      )
    eval_likelihood.check_max_length(
      args.max_length, args.reference, reference.config.max_positions
    )


def open_scoring(args: argparse.Namespace) -> Scoring:
  """Opens what `--model` and the options name; reads no weights.

  Args:
    args: Of `add_options`, and `model`; `check` has nothing against them.

  Raises:
    ValueError, OSError: A folder without a model, or options that do not go
      together.
  """
  model = scoring_model.open_model(
    args.model,
    step=args.step,
    average=args.average,
    template=args.template,
    dtype=args.dtype,
  )
  kind = _kind(args, model)
  reference = None
  if args.reference is not None:
    reference = scoring_model.open_model(
      args.reference, dtype=model.dtype, template=model.template
    )
  return Scoring(
    kind=kind,
    beta=args.beta or 1.0,
    model=model,
    reference=reference,
    max_length=_max_length(args, model, reference),
    batch_size=args.batch_size or _BATCH_SIZE,
  )


def _kind(args: argparse.Namespace, model: OpenedModel) -> str:
  """The scorer that is asked for, or the one that the folders are for."""
  num_labels = model.config.num_labels
  kind = args.scorer
  if kind is None and num_labels:
    kind = REWARD
  if kind is None and args.reference is not None:
    kind = IMPLICIT
  if kind is None:
    raise ValueError(
      f"--model={args.model} is a language model: name what it is compared with"
      " (--reference=FOLDER, the model that DPO started from), or"
      " --scorer=logp or mean_logp to score without a reference."
    )
  if kind == REWARD and num_labels != 1:
    raise ValueError(
      f"--model={args.model} has num_labels={num_labels}, and --scorer=reward"
      " reads the one score of a reward model: name one, or another --scorer."
    )
  if kind != REWARD and num_labels:
    raise ValueError(
      f"--scorer={kind}: --model={args.model} has a score head in place of the"
      " one that predicts tokens: leave --scorer out."
    )
  if kind != IMPLICIT and args.reference is not None:
    raise ValueError(
      f"--reference={args.reference}: --scorer={kind} compares with no"
      " reference: leave it out."
    )
  return kind


def _max_length(
  args: argparse.Namespace, model: OpenedModel, reference: OpenedModel | None
) -> int:
  opened = [model] if reference is None else [model, reference]
  least = min(opened, key=lambda one: one.config.max_positions)
  positions = least.config.max_positions
  eval_likelihood.check_max_length(args.max_length, least.folder, positions)
  return args.max_length or min(_MAX_LENGTH, positions)
