# SPDX-License-Identifier: Apache-2.0
"""Held-out rows: chosen by a hash of the prompt, so none leaks into training."""

import hashlib
import itertools
from collections.abc import Sequence

from ramjax.data.rows import (
  ChatRow,
  JudgedRow,
  PreferenceRow,
  PromptRow,
  RankedRow,
  RatedRow,
  Row,
  Text,
  TextRow,
  UnpairedRow,
)

_PromptedRow = (
  TextRow | PreferenceRow | UnpairedRow | RankedRow | RatedRow | JudgedRow
)


def prompt_text(row: Row) -> str:
  """What precedes the first supervised token, as one string.

  Of one conversation it is the same whatever the kind of the row, so that rows
  of every kind hold out the same prompts. Raw text without a prompt is known
  by its (better, or best) answer.
  """
  if isinstance(row, ChatRow):
    prompt = itertools.takewhile(lambda turn: not turn.supervised, row.messages)
  elif isinstance(row, PromptRow) or row.prompt:
    prompt = row.prompt
  else:
    prompt = _first_answer(row)
  if isinstance(prompt, str):
    return prompt
  return "\n\n".join(f"{turn.role}\n{turn.content}" for turn in prompt)


def _first_answer(row: _PromptedRow) -> Text:
  match row:
    case PreferenceRow():
      return row.chosen
    case RankedRow():
      return row.completions[0]
    case _:
      return row.completion


def held_out_indices(rows: Sequence[Row], num_rows: int) -> set[int]:
  """Which rows to hold out: about `num_rows`, the same ones every time.

  Rows are taken in the order of the SHA-256 of their prompt. Rows that share
  a prompt go together, so the result may hold a few more than `num_rows`; the
  choice does not depend on the order of the file.

  Args:
    rows: All rows of one source.
    num_rows: How many to hold out, at least 0.

  Returns:
    Indices into `rows`.

  Raises:
    ValueError: `num_rows` is negative, or would leave nothing to train on.
  """
  if num_rows < 0:
    raise ValueError(f"eval_rows={num_rows} must be at least 0.")
  by_hash: dict[bytes, list[int]] = {}
  for i, row in enumerate(rows):
    digest = hashlib.sha256(prompt_text(row).encode()).digest()
    by_hash.setdefault(digest, []).append(i)
  chosen: set[int] = set()
  for digest in sorted(by_hash):
    if len(chosen) >= num_rows:
      break
    chosen.update(by_hash[digest])
  if num_rows and len(chosen) == len(rows):
    raise ValueError(
      f"eval_rows={num_rows} of {len(rows)} rows leaves none to train on:"
      " lower it, or point the source at more rows."
    )
  return chosen
