# SPDX-License-Identifier: Apache-2.0
"""Options of a judge of pairs, for all commands that have one."""

import argparse
import math
import pathlib
from collections.abc import Sequence

from ramjax.tools import eval_sides, judge_failures, option_types

# Of a verdict in words.
MAX_TOKENS = 1024
_TOP_LOGPROBS = 5
# By option: what stands for it where it is not given.
_OF_WORDS = {"samples": 1, "temperature": 0.0, "judge_max_tokens": None}
# All but the judge itself and its --judge-...: of no use with verdicts that were recorded.
_OF_A_JUDGE = (
  "prompt",
  "references",
  "identifiers",
  "pattern",
  "top_logprobs",
  "both_orders",
  "seed",
  "max_invalid",
  "canaries",
  "samples",
  "temperature",
  "prices",
)


def add_options(
  parser: argparse.ArgumentParser,
  *,
  recorded: str = "",
  required: bool = True,
) -> None:
  """Adds who judges, what it is shown, and how it is asked and read.

  Args:
    parser: Gets two groups of options.
    recorded: What a file of recorded verdicts is, for help, if --judge may be
      one; --prompt is then not required.
    required: Whether there has to be a --judge.
  """
  _add_reading(parser, prompt_required=required and not recorded)
  _add_judge(parser, recorded=recorded, required=required)


def is_asked(judge: str) -> bool:
  """Whether a judge is a model that is asked, and not a file of verdicts."""
  return eval_sides.is_url(judge) or pathlib.Path(judge).is_dir()


def check_recorded(
  args: argparse.Namespace,
  parser: argparse.ArgumentParser,
  argv: Sequence[str],
) -> None:
  """Refuses options of a judge that is asked where none is.

  Args:
    args: `argv`, parsed; --judge is a file, or missing.
    parser: Of `add_options`.
    argv: The command's arguments.

  Raises:
    ValueError: Which, and what to do.
  """
  blank = argparse.Namespace(**dict.fromkeys(_OF_A_JUDGE))
  found = vars(parser.parse_args(argv, blank))
  given = [
    *(
      eval_sides.option_name(name)
      for name in _OF_A_JUDGE
      if found[name] is not None
    ),
    *eval_sides.given(args, "judge"),
  ]
  if not given:
    return
  judge = "there is no --judge"
  if args.judge is not None:
    there = pathlib.Path(args.judge).exists()
    judge = f"--judge={args.judge} is {'a file' if there else 'not there'}"
  raise ValueError(
    f"{', '.join(given)}: for a judge that is asked, and {judge}."
    " Give a model's folder or an endpoint's URL, or drop what is for it."
  )


def check_asked(args: argparse.Namespace, **needed: str) -> None:
  """Refuses a judge that cannot be asked for want of an option.

  Args:
    args: Parsed; --judge is a folder or a URL, where it might be a file.
    **needed: By option that it needs besides --prompt: what that is for.

  Raises:
    ValueError: Which, and what to do.
  """
  needed = {"prompt": "FILE, what the judge is shown", **needed}
  for name, what in needed.items():
    if getattr(args, name) is None:
      kind = "an endpoint" if eval_sides.is_url(args.judge) else "a directory"
      raise ValueError(
        f"--judge={args.judge} is {kind}, so a model that judges, and not a file"
        f" of verdicts: it needs {eval_sides.option_name(name)}={what}."
      )
  check(args)


def check(args: argparse.Namespace) -> None:
  """Refuses options of a judge that do not go together; fills in the others.

  Raises:
    ValueError: Which, and what to do.
  """
  eval_sides.check(args, "judge")
  if args.prices and not eval_sides.is_url(args.judge):
    raise ValueError(
      f"--prices is for an endpoint, and --judge={args.judge} is none: drop it."
    )
  judge_failures.most_of(args.max_invalid, 1)  # Refuses what is no share.
  _check_reading(args)


def _check_reading(args: argparse.Namespace) -> None:
  """Refuses options of the other way to read a verdict."""
  if args.pattern is not None and args.top_logprobs is not None:
    raise ValueError(
      f"--top-logprobs={args.top_logprobs} is for --identifiers, and --pattern"
      " reads a verdict in words: drop one of them."
    )
  for name, default in _OF_WORDS.items():
    value = getattr(args, name)
    if value is None:
      setattr(args, name, default)
    elif args.pattern is None:
      raise ValueError(
        f"{eval_sides.option_name(name)}={value} is for --pattern:"
        " log-probabilities of one token are read without it, the same each"
        " time. Give a pattern, or drop it."
      )
  if args.top_logprobs is None:
    args.top_logprobs = _TOP_LOGPROBS


def _identifiers(text: str) -> tuple[str, str]:
  first, comma, second = text.partition(",")
  if not comma or not first or not second or "," in second or first == second:
    raise argparse.ArgumentTypeError(
      f"{text!r} must be two different tokens with a comma between them"
    )
  return first, second


def _prices(text: str) -> tuple[float, float]:
  try:
    read, written = map(float, text.split(","))
  except ValueError:
    read = written = math.nan
  if not (0 <= read < math.inf and 0 <= written < math.inf):
    raise argparse.ArgumentTypeError(
      f"{text!r} must be two prices with a comma between them, such as 2.5,10"
    )
  return read, written


def _add_reading(
  parser: argparse.ArgumentParser, *, prompt_required: bool
) -> None:
  group = parser.add_argument_group("how the judge is asked and read")
  group.add_argument(
    "--prompt",
    required=prompt_required,
    type=pathlib.Path,
    metavar="FILE",
    help="what the judge is shown: turns between <|im_start|>ROLE and"
    " <|im_end|>, with {instruction}, {output_1} and {output_2}, and {reference}"
    " for --references",
  )
  group.add_argument(
    "--references",
    type=pathlib.Path,
    metavar="FILE",
    help="a known good answer to each instruction, which the judge is shown"
    " besides: records with instruction and output",
  )
  how = group.add_mutually_exclusive_group()
  how.add_argument(
    "--identifiers",
    type=_identifiers,
    default=("m", "M"),
    metavar="FIRST,SECOND",
    help="tokens for the output shown first and second: their probabilities as"
    " the judge's first token are the preference (default: m,M)",
  )
  how.add_argument(
    "--pattern",
    metavar="NAME|REGEX",
    help="read a verdict in the judge's words: brackets ([[A]], [[B]], [[C]]),"
    " ranks (AlpacaEval 1's lists), or a regular expression with the groups"
    " (?P<A>...), (?P<B>...) and (?P<tie>...); the last match counts",
  )
  group.add_argument(
    "--top-logprobs",
    type=option_types.positive_int,
    metavar="NUM",
    help="likeliest tokens among which identifiers are looked for (default:"
    f" {_TOP_LOGPROBS})",
  )
  group.add_argument(
    "--both-orders",
    action="store_true",
    help="show each pair in both orders, whose mean counts (default: in one,"
    " drawn by the instruction as AlpacaEval does)",
  )
  group.add_argument(
    "--seed", type=int, default=0, help="of orders and samples (default: 0)"
  )
  group.add_argument(
    "--max-invalid",
    type=float,
    default=0.1,
    metavar="SHARE",
    help="of pairs that may have no verdict (default: 0.1)",
  )
  group.add_argument(
    "--canaries",
    type=option_types.count,
    default=5,
    metavar="NUM",
    help="of each of the five kinds (default: 5)",
  )
  _add_words(parser)


def _add_words(parser: argparse.ArgumentParser) -> None:
  group = parser.add_argument_group("with --pattern")
  group.add_argument(
    "--samples",
    type=option_types.positive_int,
    metavar="NUM",
    help="verdicts on each pair and order; the majority counts (default: 1)",
  )
  group.add_argument(
    "--temperature", type=float, help="of a verdict (default: 0)"
  )


def _add_judge(
  parser: argparse.ArgumentParser, *, recorded: str, required: bool
) -> None:
  group = parser.add_argument_group("the judge")
  group.add_argument(
    "--judge",
    required=required,
    metavar="FILE|FOLDER|URL" if recorded else "FOLDER|URL",
    help=f"{recorded}{', ' if recorded else ''}a run's folder, a Hugging Face"
    " one, or an endpoint",
  )
  group.add_argument(
    "--prices",
    type=_prices,
    metavar="READ,WRITTEN",
    help="of a million tokens that an endpoint reads and writes: says what the"
    " verdicts cost, those of earlier runs of this command included",
  )
  eval_sides.add_options(parser, "judge", most=MAX_TOKENS)
