# SPDX-License-Identifier: Apache-2.0
"""The data of an SFT run: rows, tokenizer, examples, and what was counted."""

import dataclasses
import itertools
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import ml_collections

from ramjax.data import sources, train_tokenizer
from ramjax.data.rows import SFTRow
from ramjax.data.tokenize_rows import Example
from ramjax.data.tokenizers import Tokenizer, load_tokenizer
from ramjax.trainers import initial_weights, provenance

_TRAINED_TOKENIZER = "tokenizer.model"


@dataclasses.dataclass(frozen=True)
class SFTData:
  """What an SFT run trains and is evaluated on.

  Attributes:
    train: Examples of each source.
    weights: Relative weight of each source.
    held_out: Examples of all held-out rows.
    held_out_rows: The same rows before tokenisation.
    held_out_records: The raw record of each.
    tokenizer: The run's tokenizer.
    summary: Per source: path, fingerprint, rows read, quarantined, truncated.
  """

  train: list[list[Example]]
  weights: list[float]
  held_out: list[Example]
  held_out_rows: list[SFTRow]
  held_out_records: list[Mapping[str, Any]]
  tokenizer: Tokenizer
  summary: dict[str, dict[str, Any]]


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
    sources.load_sft_source(
      name,
      source.path,
      eval_rows=source.eval_rows,
      max_bad_share=config.data.max_bad_share,
      quarantine_dir=workdir / "quarantine",
    )
    for name, source in sorted(config.data.sources.items())
  ]
  tokenizer = _tokenizer(config, workdir, loaded)
  if tokenizer.vocab_size > vocab_size:
    raise ValueError(
      f"the tokenizer has {tokenizer.vocab_size} tokens and the model"
      f" {vocab_size}: set model.vocab_size to at least"
      f" {tokenizer.vocab_size}, or use the model's own tokenizer."
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
    weights=[config.data.sources[source.name].weight for source in loaded],
    held_out=held_out,
    held_out_rows=_in_turn([source.held_out for source in loaded]),
    held_out_records=_in_turn([source.held_out_records for source in loaded]),
    tokenizer=tokenizer,
    summary=summary,
  )


def _in_turn(lists: list[list[Any]]) -> list[Any]:
  """One element of each list, then the next of each: all sources come early."""
  missing = object()
  rounds = itertools.zip_longest(*lists, fillvalue=missing)
  return [x for one in rounds for x in one if x is not missing]


def _tokenizer(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  loaded: list[sources.SourceRows],
) -> Tokenizer:
  """The tokenizer of the run, in its folder: copied there, or trained there."""
  workdir.mkdir(parents=True, exist_ok=True)
  path = config.tokenizer.path or initial_weights.tokenizer_folder(config)
  if path:
    given = load_tokenizer(path)
    _copy(given.path, workdir / f"tokenizer{given.path.suffix}")
    # They name the BOS and EOS of a tokenizer.json.
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
      if (given.path.parent / name).is_file():
        _copy(given.path.parent / name, workdir / name)
    return given
  path = workdir / _TRAINED_TOKENIZER
  # Without a manifest no run has used the folder: a launch that was refused or
  # killed may have left a tokenizer of other rows.
  if not (path.exists() and (workdir / provenance.MANIFEST_FILE).exists()):
    rows = [row for source in loaded for row in source.train]
    train_tokenizer.train_sentencepiece(
      sources.row_texts(rows, template=config.data.template),
      path=path,
      vocab_size=config.tokenizer.train_vocab_size,
    )
  trained = load_tokenizer(path)
  if trained.vocab_size != config.tokenizer.train_vocab_size:
    raise ValueError(
      f"{path} has {trained.vocab_size} tokens and tokenizer.train_vocab_size"
      f" is {config.tokenizer.train_vocab_size}: give another --workdir."
    )
  return trained


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
  """Copies a file so that a kill leaves the old one or the new one."""
  temporary = target.with_suffix(".tmp")
  shutil.copyfile(source, temporary)
  temporary.replace(target)
