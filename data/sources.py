# SPDX-License-Identifier: Apache-2.0
"""The sources a config names: loaded, split into train and held-out, tokenised."""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import tqdm

from ramjax.data import load, split, templates
from ramjax.data.judged_prompts import judged_prompt
from ramjax.data.rows import (
  ChatRow,
  JudgedRow,
  Message,
  PreferenceRow,
  PromptRow,
  RankedRow,
  Row,
  SFTRow,
  Text,
  UnpairedRow,
)
from ramjax.data.tokenize_rows import Example, tokenize_row
from ramjax.data.tokenizers import Tokenizer

T = TypeVar("T", bound=Row)


@dataclasses.dataclass(frozen=True)
class SourceRows(Generic[T]):
  """One source of rows.

  Attributes:
    name: Its name in the config.
    train: Rows to train on.
    held_out: Rows kept for evaluation; no prompt is in both.
    held_out_records: The raw record of each held-out row.
    summary: Path, counts and fingerprint, for the manifest.
  """

  name: str
  train: list[T]
  held_out: list[T]
  held_out_records: list[Mapping[str, Any]]
  summary: dict[str, Any]


def load_source(
  name: str,
  path: str,
  *,
  parse: Callable[[Any], T],
  eval_rows: int,
  eval_path: str = "",
  max_bad_share: float,
  quarantine_dir: pathlib.Path,
) -> SourceRows[T]:
  """Loads one source and holds rows out of it.

  Args:
    name: Its name in the config.
    path: A file, `tfds:...` or `tasks:...`; see `load.load_rows`.
    parse: From a record to a row, such as `parse_rows.parse_sft`.
    eval_rows: Rows to hold out, chosen by a hash of their prompt.
    eval_path: Where rows that are held out already are; "" for nowhere. Rows
      with the prompt of one of them are left out of training, and counted.
    max_bad_share: Share of bad rows to put aside; 0 refuses the first.
    quarantine_dir: Where they are put aside.

  Returns:
    `SourceRows`.

  Raises:
    ValueError: Bad rows, none left to train on, or both ways to hold out.
    FileNotFoundError: There is no such file.
  """
  if eval_path and eval_rows:
    raise ValueError(
      f"data.sources.{name} has eval_path={eval_path!r} and"
      f" eval_rows={eval_rows}: held-out rows come from one of the two."
    )

  def load_rows(path: str, suffix: str) -> load.LoadedRows[T]:
    return load.load_rows(
      path,
      parse=parse,
      max_bad_share=max_bad_share,
      quarantine_path=quarantine_dir / f"{name}{suffix}.jsonl",
    )

  loaded = load_rows(path, "")
  held = split.held_out_indices(loaded.rows, eval_rows)
  order = sorted(held)
  held_out = [loaded.rows[i] for i in order]
  records = [loaded.records[i] for i in order]
  summary = {
    "path": path,
    "sha256": loaded.fingerprint,
    "rows_read": loaded.num_read,
    "rows_quarantined": loaded.num_quarantined,
    "rows_held_out": len(held),
  }
  if eval_path:
    apart = load_rows(eval_path, "-eval")
    held_out, records = apart.rows, apart.records
    held = _with_prompts_of(loaded.rows, held_out)
    if len(held) == len(loaded.rows):
      raise ValueError(
        f"data.sources.{name}: every prompt of path={path!r} is in"
        f" eval_path={eval_path!r}, which leaves none to train on: name other"
        " rows."
      )
    summary |= {
      "eval_path": eval_path,
      "eval_sha256": apart.fingerprint,
      "rows_read": loaded.num_read + apart.num_read,
      "rows_quarantined": loaded.num_quarantined + apart.num_quarantined,
      "rows_held_out": len(held_out),
      "rows_left_out": len(held),
    }
  summary["rows_train"] = len(loaded.rows) - len(held)
  return SourceRows(
    name=name,
    train=[row for i, row in enumerate(loaded.rows) if i not in held],
    held_out=held_out,
    held_out_records=records,
    summary=summary,
  )


def _with_prompts_of(rows: Sequence[Row], others: Sequence[Row]) -> set[int]:
  """Indices of the rows whose prompt is that of another."""
  prompts = {split.prompt_text(row) for row in others}
  return {i for i, row in enumerate(rows) if split.prompt_text(row) in prompts}


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


def in_turn(lists: Sequence[Sequence[Any]]) -> list[Any]:
  """One element of each list, then the next of each: all sources come early."""
  missing = object()
  rounds = itertools.zip_longest(*lists, fillvalue=missing)
  return [x for one in rounds for x in one if x is not missing]


def answers_of(row: Row) -> tuple[Text, ...]:
  """Every answer of a row that has a prompt of its own."""
  match row:
    case ChatRow():
      raise TypeError("a ChatRow does not tell its prompt from its answer.")
    case PreferenceRow():
      return row.chosen, row.rejected
    case RankedRow():
      return row.completions
    case PromptRow():
      return ()
    case _:
      return (row.completion,)


def row_texts(rows: Iterable[Row], *, template: str) -> Iterable[str]:
  """Every piece of text that the rows render to, for training a tokenizer.

  Headings of the template are among them: left out, each would cost many
  tokens of every row (41 instead of 26 a row on short tasks).
  """
  for row in rows:
    if isinstance(row, ChatRow):
      yield from _chat_texts(row.messages, template)
      continue
    prompt = row.prompt
    if isinstance(row, PromptRow):
      yield from _prompt_texts(prompt, template)
      continue
    if isinstance(row, JudgedRow):
      prompt = judged_prompt(prompt, row.judgement)
    for answer in answers_of(row):
      if isinstance(prompt, str):
        yield from (t for t in (prompt, answer) if t and isinstance(t, str))
      else:
        yield from _chat_texts((*prompt, *answer), template)


def _prompt_texts(prompt: Text, template: str) -> Iterable[str]:
  if isinstance(prompt, str):
    yield prompt
    return
  spans = templates.render(
    prompt, template=template, add_generation_prompt=True
  )
  yield from (span.text for span in spans if not span.special)


def _chat_texts(messages: Any, template: str) -> Iterable[str]:
  for span in templates.render(messages, template=template):
    if not span.special:
      yield span.text


def prompt_and_reference(
  row: Row,
) -> tuple[tuple[Message, ...], str | None] | None:
  """The turns before the first supervised one, and a good answer to them.

  Of several answers the reference is the first, which is the best; it is None
  where the only answer is marked as a bad one. None for raw text and for a
  conversation that opens with the answer: there is nothing to ask a chat model.
  """
  if isinstance(row, PromptRow):
    return None if isinstance(row.prompt, str) else (row.prompt, None)
  if not isinstance(row, ChatRow):
    answer = answers_of(row)[0]
    if isinstance(row.prompt, str) or isinstance(answer, str):
      return None
    is_bad = isinstance(row, UnpairedRow | JudgedRow) and not row.label
    return row.prompt, None if is_bad else answer[0].content
  for i, message in enumerate(row.messages):
    if message.supervised:
      return (row.messages[:i], message.content) if i else None
  return None
