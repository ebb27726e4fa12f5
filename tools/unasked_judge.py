# SPDX-License-Identifier: Apache-2.0
"""A judge is opened and its options are tried, hours before it is asked."""

import argparse
import re
from collections.abc import Callable, Sequence

from ramjax.evals.engine import ChatRequest, Completion
from ramjax.evals.top_tokens import Arrived, NextTokens
from ramjax.tools import eval_sides
from ramjax.tools.eval_sides import Side

# What a judge calls its arguments, where options have other names.
_OPTIONS = {
  "template": "rubric",
  "num_samples": "samples",
  "num": "top_logprobs",
}
_SAME = ("pattern", "lowest", "highest", "samples", "temperature", "seed")
_SAME += ("identifiers",)


class Unasked:
  """Stands for an engine where options are checked and nothing is asked."""

  def complete(
    self,
    requests: Sequence[ChatRequest],
    *,
    progress: Callable[[int], None] | None = None,
  ) -> list[Completion]:
    """See `engine.Engine`."""
    raise AssertionError("nothing may be asked before everything is checked")

  def top_tokens(
    self,
    requests: Sequence[ChatRequest],
    *,
    num: int,
    arrived: Arrived | None = None,
  ) -> list[NextTokens | OSError]:
    """See `top_tokens.TopTokens`."""
    raise AssertionError("nothing may be asked before everything is checked")


def check(
  args: argparse.Namespace,
  make: Callable[[Side, Unasked], object],
  *,
  most: int,
) -> None:
  """Opens a judge, loading nothing, and makes what would ask it.

  Args:
    args: Of `eval_sides.add_options`; `args.judge` is a folder or URL.
    make: Makes what reads verdicts, which refuses options that cannot work.
    most: The most tokens of a verdict where the options do not say it.

  Raises:
    ValueError: See `eval_sides.opened`; or what `make` raises, by the names of
      options.
    OSError: There is no such judge.
  """
  with eval_sides.opened(args, "judge", most=most) as side:
    try:
      make(side, Unasked())
    except ValueError as error:
      raise ValueError(_by_options(str(error))) from error


def _by_options(problem: str) -> str:
  """A problem with arguments, called as the options are.

  A judge is configured in runs, too, by `judge.samples` and so on.
  """
  names = "|".join([*_OPTIONS, *_SAME])
  return re.sub(
    rf"(?<!\S)(?:judge\.)?({names})=",
    lambda match: (
      f"{eval_sides.option_name(_OPTIONS.get(match[1], match[1]))}="
    ),
    problem,
  )
