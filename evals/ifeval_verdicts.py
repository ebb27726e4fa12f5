# SPDX-License-Identifier: Apache-2.0
"""Which instructions of an IFEval record a response follows, in both senses.

Strictly, the response as it is must follow them. Loosely (arXiv 2311.07911,
section 2.3), it is enough that one of eight forms of it does: with or without
asterisks, its first line, its last line. That forgives "Sure, here it is:" and
Markdown, and may forgive too much: both are reported.
"""

from collections.abc import Mapping
from typing import Any

from ramjax.evals import ifeval_instructions

MODES = ("strict", "loose")


def verdicts(
  record: Mapping[str, Any], response: str, *, mode: str
) -> list[bool]:
  """Judges a response by each instruction of its record.

  Args:
    record: With `instruction_id_list` and `kwargs`.
    response: Any text.
    mode: "strict" or "loose".

  Returns:
    Whether each instruction is followed, in the record's order.

  Raises:
    ValueError: A field of the record is missing or wrong, or `mode` is neither.
  """
  if mode not in MODES:
    raise ValueError(f"mode={mode!r} must be one of {', '.join(MODES)}.")
  forms = [response] if mode == "strict" else relaxed_forms(response)
  return [
    any(ifeval_instructions.follows(name, form, kwargs) for form in forms)
    for name, kwargs in ifeval_instructions.check_record(record)
  ]


def relaxed_forms(response: str) -> list[str]:
  """The eight forms of the loose sense, the response itself first."""
  lines = response.split("\n")
  forms = [
    response,
    "\n".join(lines[1:]).strip(),
    "\n".join(lines[:-1]).strip(),
    "\n".join(lines[1:-1]).strip(),
  ]
  return forms + [form.replace("*", "") for form in forms]
