# SPDX-License-Identifier: Apache-2.0
"""The sources a config names: loaded, split into train and held-out, tokenised."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tqdm

from ramjax.data import load, parse_rows, split, templates
from ramjax.data.rows import ChatRow, Message, SFTRow, TextRow
from ramjax.data.tokenize_rows import Example, tokenize_row
from ramjax.data.tokenizers import Tokenizer


@dataclasses.dataclass(frozen=True)
class SourceRows:
  """One source of SFT rows.

  Attributes:
    name: Its name in the config.
    train: Rows to train on.
    held_out: Rows kept for evaluation; no prompt is in both.
    held_out_records: The raw record of each held-out row.
    summary: Path, counts and fingerprint, for the manifest.
  """

  name: str
  train: list[SFTRow]
  held_out: list[SFTRow]
  held_out_records: list[Mapping[str, Any]]
  summary: dict[str, Any]


def load_sft_source(
  name: str,
  path: str,
  *,
  eval_rows: int,
  max_bad_share: float,
  quarantine_dir: pathlib.Path,
) -> SourceRows:
  """Loads one source and holds rows out of it.

  Args:
    name: Its name in the config.
    path: A file, `tfds:...` or `tasks:...`; see `load.load_rows`.
    eval_rows: Rows to hold out, chosen by a hash of their prompt.
    max_bad_share: Share of bad rows to put aside; 0 refuses the first.
    quarantine_dir: Where they are put aside.

  Returns:
    `SourceRows`.

  Raises:
    ValueError: Bad rows, or none left to train on.
    FileNotFoundError: There is no such file.
  """
  loaded = load.load_rows(
    path,
    parse=parse_rows.parse_sft,
    max_bad_share=max_bad_share,
    quarantine_path=quarantine_dir / f"{name}.jsonl",
  )
  held = split.held_out_indices(loaded.rows, eval_rows)
  order = sorted(held)
  return SourceRows(
    name=name,
    train=[row for i, row in enumerate(loaded.rows) if i not in held],
    held_out=[loaded.rows[i] for i in order],
    held_out_records=[loaded.records[i] for i in order],
    summary={
      "path": path,
      "sha256": loaded.fingerprint,
      "rows_read": loaded.num_read,
      "rows_quarantined": loaded.num_quarantined,
      "rows_train": len(loaded.rows) - len(held),
      "rows_held_out": len(held),
    },
  )


def tokenize_rows(
  rows: Sequence[SFTRow],
  *,
  template: str,
  tokenizer: Tokenizer,
  max_length: int,
  label: str,
) -> tuple[list[Example], dict[str, int]]:
  """Tokenises rows with a progress bar on a terminal.

  Args:
    rows: The rows.
    template: Name of the chat template.
    tokenizer: The tokenizer.
    max_length: Longest example; longer rows are truncated and counted.
    label: Shown beside the bar.

  Returns:
    The examples and counts: `tokens`, `supervised_tokens`, `rows_truncated`,
    `tokens_truncated`.
  """
  examples = [
    tokenize_row(
      row, template=template, tokenizer=tokenizer, max_length=max_length
    )
    for row in tqdm.tqdm(
      rows, desc=f"tokenising {label}", unit="row", disable=None, leave=False
    )
  ]
  counts = {
    "tokens": sum(len(example.tokens) for example in examples),
    "supervised_tokens": sum(
      int(example.response_mask.sum()) for example in examples
    ),
    "rows_truncated": sum(example.num_truncated > 0 for example in examples),
    "tokens_truncated": sum(example.num_truncated for example in examples),
  }
  return examples, counts


def row_texts(rows: Iterable[SFTRow], *, template: str) -> Iterable[str]:
  """Every piece of text that the rows render to, for training a tokenizer.

  Headings of the template are among them: left out, each would cost many
  tokens of every row (41 instead of 26 a row on short tasks).
  """
  for row in rows:
    if isinstance(row, TextRow):
      yield from filter(None, (row.prompt, row.completion))
    else:
      for span in templates.render(row.messages, template=template):
        if not span.special:
          yield span.text


def prompt_and_reference(row: SFTRow) -> tuple[tuple[Message, ...], str] | None:
  """The turns before the first supervised one, and that one's text.

  None for raw text and for a conversation that opens with the answer: there
  is nothing to ask a chat model.
  """
  if not isinstance(row, ChatRow):
    return None
  for i, message in enumerate(row.messages):
    if message.supervised:
      return (row.messages[:i], message.content) if i else None
  return None
