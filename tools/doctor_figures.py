# SPDX-License-Identifier: Apache-2.0
"""The figures of a run's data that the doctor states beside its findings."""

from typing import NamedTuple

import numpy as np

from ramjax.data import audit_pairs, findings
from ramjax.data.audit_data import AuditedData
from ramjax.tools import report_text


class Figure(NamedTuple):
  """One figure.

  Attributes:
    name: What it is.
    value: As text.
    detail: What it is made of, or "".
  """

  name: str
  value: str
  detail: str


def figures(data: AuditedData) -> list[Figure]:
  """Rows, tokens, supervised share, and the length bias of pairs."""
  rows = len(data.rows)
  examples = sum(len(source.examples) for source in data.sources)
  lengths = np.array([len(one.tokens) for _, one in data.answered])
  supervised = sum(int(one.mask.sum()) for _, one in data.answered)
  detail = f"{len(data.held_out_rows):,} held out"
  if examples != rows:
    detail += f"; {examples:,} examples"
  found = [
    Figure("Rows to train on", f"{rows:,}", detail),
    Figure(
      "Tokens",
      report_text.count(int(lengths.sum())),
      f"{len(lengths):,} sequences of {np.median(lengths):.0f} (median) to"
      f" {lengths.max():,}",
    ),
    Figure(
      "Supervised",
      findings.share(supervised, int(lengths.sum())),
      f"{supervised:,} tokens",
    ),
  ]
  bias = audit_pairs.length_bias(data)
  if bias is None:
    num_cut = sum(source.counts["rows_truncated"] for source in data.sources)
    found.append(
      Figure(
        "Cut to fit",
        f"{num_cut:,}",
        f"to data.max_length={data.max_length}",
      )
    )
  else:
    low, high = bias.low, bias.high
    longer = bias.accuracy >= 0.5
    if not longer:
      low, high = 1 - high, 1 - low
    found.append(
      Figure(
        "Chosen is longer",
        findings.share(bias.longer, bias.pairs),
        f"{bias.difference:+.1f} tokens; choosing the"
        f" {'longer' if longer else 'shorter'} is right in {low:.1%} to"
        f" {high:.1%}",
      )
    )
  return found


def facts(data: AuditedData, algorithm: str) -> list[tuple[str, str]]:
  """What the data was read for."""
  return [
    ("Algorithm", algorithm),
    ("Template", data.template if data.has_chats else "none: raw text"),
    ("max_length", f"{data.max_length:,}"),
    ("Packing", "on" if data.pack else "off"),
    ("Vocabulary", f"{data.tokenizer.vocab_size:,}"),
    *(
      (source.name, str(source.counts.get("path", "")))
      for source in data.sources
    ),
  ]
