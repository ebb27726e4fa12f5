# SPDX-License-Identifier: Apache-2.0
"""The data of an SFT run: rows, tokenizer, examples, and what was counted."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections

from ramjax.data import parse_rows, sources
from ramjax.data.rows import SFTRow
from ramjax.data.tokenize_rows import Example
from ramjax.data.tokenizers import Tokenizer
from ramjax.trainers import run_tokenizer


@dataclasses.dataclass(frozen=True)
class SFTData:
  """What an SFT run trains and is evaluated on.

  Attributes:
    train: Examples of each source.
    train_rows: The rows of each source, before tokenisation.
    weights: Relative weight of each source.
    held_out: Examples of all held-out rows.
    held_out_rows: The same rows before tokenisation.
    held_out_records: The raw record of each.
    tokenizer: The run's tokenizer.
    summary: Per source: path, fingerprint, rows read, quarantined, truncated.
  """

  train: list[list[Example]]
  train_rows: list[list[SFTRow]]
  weights: list[float]
  held_out: list[Example]
  held_out_rows: list[SFTRow]
  held_out_records: list[Mapping[str, Any]]
  tokenizer: Tokenizer
  summary: dict[str, dict[str, Any]]

  @property
  def train_row_ids(self) -> list[range]:
    """The index in `train_rows` of each example: one each, in their order."""
    return [range(len(rows)) for rows in self.train_rows]


def load_sft_data(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  *,
  vocab_size: int,
) -> SFTData:
  """Loads, splits and tokenises every source of `config.data.sources`.

  Args:
    config: Of the run: `data` and `tokenizer` are read.
    workdir: Gets a copy of the tokenizer, and the quarantine files.
    vocab_size: Of the model; the tokenizer's must not be larger.

  Returns:
    `SFTData`.

  Raises:
    ValueError: No sources, bad rows, or a tokenizer too large for the model.
    FileNotFoundError: A file of the config does not exist.
  """
  if not config.data.sources:
    raise ValueError(
      "data.sources is empty: name at least one, such as"
      " data.sources.main = dict(path=..., weight=1.0, eval_rows=0)."
    )
  loaded = [
    sources.load_source(
      name,
      source.path,
      parse=parse_rows.parse_sft,
      eval_rows=source.eval_rows,
      eval_path=source.eval_path,
      max_bad_share=config.data.max_bad_share,
      quarantine_dir=workdir / "quarantine",
    )
    for name, source in sorted(config.data.sources.items())
  ]
  tokenizer = run_tokenizer.choose_tokenizer(
    config,
    workdir,
    [row for source in loaded for row in source.train],
    vocab_size=vocab_size,
  )

  def tokenize(rows: list[SFTRow], label: str) -> Any:
    return sources.tokenize_rows(
      rows,
      template=config.data.template,
      tokenizer=tokenizer,
      max_length=config.data.max_length,
      label=label,
    )

  train, held_out = [], []
  summary = {}
  for source in loaded:
    examples, counts = tokenize(source.train, source.name)
    train.append(examples)
    kept, held_counts = tokenize(source.held_out, f"{source.name} (held out)")
    held_out += kept
    summary[source.name] = {
      **source.summary,
      **counts,
      "held_out_rows_truncated": held_counts["rows_truncated"],
      "held_out_tokens_truncated": held_counts["tokens_truncated"],
    }
  return SFTData(
    train=train,
    train_rows=[source.train for source in loaded],
    weights=[config.data.sources[source.name].weight for source in loaded],
    held_out=held_out,
    held_out_rows=sources.in_turn([source.held_out for source in loaded]),
    held_out_records=sources.in_turn(
      [source.held_out_records for source in loaded]
    ),
    tokenizer=tokenizer,
    summary=summary,
  )
