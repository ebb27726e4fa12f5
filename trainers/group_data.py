# SPDX-License-Identifier: Apache-2.0
"""The data of a run on answers: rows, tokenizer, groups, what was counted."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grain
import ml_collections

from ramjax.data import group_batches, group_rows, parse_rows, sources
from ramjax.data.group_batches import GroupBatch
from ramjax.data.group_rows import GroupRow
from ramjax.data.rows import Row
from ramjax.data.tokenize_groups import Group
from ramjax.data.tokenizers import Tokenizer
from ramjax.trainers import loop, run_tokenizer


@dataclasses.dataclass(frozen=True)
class GroupData:
  """What a run on answers trains and is evaluated on.

  Attributes:
    train: Groups of each source.
    train_rows: The rows of each source, before tokenisation; a row may stand
      for several groups, or for none if its answers are the same.
    train_row_ids: The index in those of each group.
    weights: Relative weight of each source.
    held_out: Groups of all held-out rows.
    held_out_subsets: The subset that each of those belongs to.
    held_out_rows: Held-out rows before tokenisation.
    held_out_records: The raw record of each.
    tokenizer: The run's tokenizer.
    row_length: Tokens of a row of a batch.
    summary: Per source: path, fingerprint, rows read, quarantined, truncated.
  """

  train: list[list[Group]]
  train_rows: list[list[Row]]
  train_row_ids: list[list[int]]
  weights: list[float]
  held_out: list[Group]
  held_out_subsets: list[str]
  held_out_rows: list[Row]
  held_out_records: list[Mapping[str, Any]]
  tokenizer: Tokenizer
  row_length: int
  summary: dict[str, dict[str, Any]]


def load_groups(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  *,
  vocab_size: int,
  parse: Callable[[Any], Any],
  expand: Callable[[Any], Sequence[GroupRow]] = lambda row: [row],
  finish: Callable[[list[Group], list[Group]], list[Group]] = (
    lambda groups, pool: groups
  ),
) -> GroupData:
  """Loads, splits and tokenises every source of `config.data.sources`.

  Args:
    config: Of the run: `data` and `tokenizer` are read.
    workdir: Gets a copy of the tokenizer, and the quarantine files.
    vocab_size: Of the model; the tokenizer's must not be larger.
    parse: From a record to a row.
    expand: From a row to the rows it stands for, after the split.
    finish: What is done with some groups, given all groups to train on.

  Returns:
    `GroupData`.

  Raises:
    ValueError: No sources, bad rows, rows whose answers are all the same, or a
      tokenizer too large for the model.
    FileNotFoundError: A file of the config does not exist.
  """
  if not config.data.sources:
    raise ValueError(
      "data.sources is empty: name at least one, such as"
      " data.sources.main = dict(path=..., weight=1.0, eval_rows=0,"
      " eval_path='')."
    )
  loaded = [
    _load_source(config, workdir, name, parse)
    for name in sorted(config.data.sources)
  ]
  tokenizer = run_tokenizer.choose_tokenizer(
    config,
    workdir,
    [row for source in loaded for row in source.train],
    vocab_size=vocab_size,
  )

  train, row_ids, held_out, subsets, summary = [], [], [], [], {}
  for source in loaded:
    groups, ids, counts = _tokenize(
      config, tokenizer, source.train, expand, source.name
    )
    kept, held_ids, held_counts = _tokenize(
      config, tokenizer, source.held_out, expand, f"{source.name} (held out)"
    )
    if not groups:
      raise ValueError(
        f"source {source.name!r}: in all {len(source.train)} rows the answers"
        " are the same once they are cut to"
        f" data.max_length={config.data.max_length}. Raise it, or look at the"
        " rows."
      )
    row_ids.append(ids)
    train.append(groups)
    held_out += kept
    subsets += [
      _subset(source.held_out_records[i], source.name) for i in held_ids
    ]
    summary[source.name] = {
      **source.summary,
      **counts,
      **{f"held_out_{name}": value for name, value in held_counts.items()},
    }
  pool = [group for groups in train for group in groups]
  train = [finish(groups, pool) for groups in train]
  held_out = finish(held_out, pool)
  num_answers = max(
    group.size for groups in (*train, held_out) for group in groups
  )
  return GroupData(
    train=train,
    train_rows=[source.train for source in loaded],
    train_row_ids=row_ids,
    weights=[config.data.sources[source.name].weight for source in loaded],
    held_out=held_out,
    held_out_subsets=subsets,
    held_out_rows=sources.in_turn([source.held_out for source in loaded]),
    held_out_records=sources.in_turn(
      [source.held_out_records for source in loaded]
    ),
    tokenizer=tokenizer,
    row_length=config.data.row_length or num_answers * config.data.max_length,
    summary=summary,
  )


def _load_source(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  name: str,
  parse: Callable[[Any], Any],
) -> sources.SourceRows:
  source = config.data.sources[name]
  return sources.load_source(
    name,
    source.path,
    parse=parse,
    eval_rows=source.eval_rows,
    eval_path=source.eval_path,
    max_bad_share=config.data.max_bad_share,
    quarantine_dir=workdir / "quarantine",
  )


def _tokenize(
  config: ml_collections.ConfigDict,
  tokenizer: Tokenizer,
  rows: Sequence[Row],
  expand: Callable[[Any], Sequence[GroupRow]],
  label: str,
) -> tuple[list[Group], list[int], dict[str, int]]:
  """The groups, the index in `rows` of each, and what was counted."""
  expanded = [(i, one) for i, row in enumerate(rows) for one in expand(row)]
  groups, kept, counts = group_rows.tokenize_group_rows(
    [one for _, one in expanded],
    template=config.data.template,
    tokenizer=tokenizer,
    max_length=config.data.max_length,
    label=label,
  )
  return groups, [expanded[i][0] for i in kept], counts


def _subset(record: Mapping[str, Any], source: str) -> str:
  """The part of the data a row belongs to: its own field, or its source."""
  subset = record.get("subset")
  return subset if isinstance(subset, str) and subset else source


def train_batches(
  config: ml_collections.ConfigDict, data: GroupData
) -> grain.DatasetIterator:
  """Endless batches, the same on every process."""
  return group_batches.train_batches(
    data.train,
    weights=data.weights,
    row_length=data.row_length,
    share_prompt=config.data.share_prompt,
    batch_size=config.data.batch_size,
    pack=config.data.pack,
    seed=config.seed,
  )


def count_batch(batch: GroupBatch) -> loop.BatchCounts:
  """Tokens of a host batch; a shared prompt counts once."""
  return loop.BatchCounts(*group_batches.count_tokens(batch))


def describe_source(counts: Mapping[str, Any]) -> str:
  """One source's summary as a line of the log."""
  return (
    f"{counts['rows_train']} rows to train on,"
    f" {counts['rows_held_out']} held out,"
    f" {counts['rows_quarantined']} quarantined,"
    f" {counts['rows_identical']} + {counts['held_out_rows_identical']} left"
    " out because their answers are the same,"
    f" {counts['rows_truncated']} + {counts['held_out_rows_truncated']}"
    f" truncated ({counts['tokens_truncated']} +"
    f" {counts['held_out_tokens_truncated']} tokens); to train on:"
    f" {counts['tokens']} tokens, {counts['supervised_tokens']} supervised"
  )


def load_pairs(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  *,
  vocab_size: int,
) -> GroupData:
  """Pairs of a chosen and a rejected answer; see `load_groups`."""
  return load_groups(
    config,
    workdir,
    vocab_size=vocab_size,
    parse=parse_rows.parse_preference,
  )
