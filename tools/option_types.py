# SPDX-License-Identifier: Apache-2.0
"""Numbers that options of commands take, as types for argparse."""

import argparse
import math

# Beyond it no count of ours can be held by an int32.
_END = 2**31


def positive_int(text: str) -> int:
  """A whole number above 0.

  Raises:
    argparse.ArgumentTypeError: It is none.
  """
  return _whole(text, 1, "above 0")


def count(text: str) -> int:
  """A whole number, 0 or above.

  Raises:
    argparse.ArgumentTypeError: It is none.
  """
  return _whole(text, 0, "from 0 on")


def positive_float(text: str) -> float:
  """A finite number above 0.

  Raises:
    argparse.ArgumentTypeError: It is none.
  """
  try:
    value = float(text)
  except ValueError:
    value = 0.0
  if not 0 < value < math.inf:
    raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
  return value


def _whole(text: str, least: int, which: str) -> int:
  try:
    value = int(text)
  except ValueError:
    value = least - 1
  if not least <= value < _END:
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number {which}")
  return value
