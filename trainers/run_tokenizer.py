# SPDX-License-Identifier: Apache-2.0
"""The tokenizer of a run, in its folder: copied there, or trained there."""

import pathlib
import shutil
from collections.abc import Sequence

import ml_collections

from ramjax.data import sources, train_tokenizer
from ramjax.data.rows import Row
from ramjax.data.tokenizers import Tokenizer, load_tokenizer
from ramjax.trainers import initial_weights, processes, provenance

_TRAINED_TOKENIZER = "tokenizer.model"


def choose_tokenizer(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  rows: Sequence[Row],
  *,
  vocab_size: int,
) -> Tokenizer:
  """The tokenizer that the config or the model of `init` names, or a new one.

  Args:
    config: Of the run.
    workdir: Gets a copy of it, or the one that is trained.
    rows: What a new one is trained on.
    vocab_size: Of the model; the tokenizer's must not be larger.

  Raises:
    ValueError: It is larger than the model, or another than the folder's.
    FileNotFoundError: There is no such file.
  """
  tokenizer = _choose(config, workdir, rows)
  if tokenizer.vocab_size > vocab_size:
    raise ValueError(
      f"the tokenizer has {tokenizer.vocab_size} tokens and the model"
      f" {vocab_size}: set model.vocab_size to at least"
      f" {tokenizer.vocab_size}, or use the model's own tokenizer."
    )
  return tokenizer


def _choose(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  rows: Sequence[Row],
) -> Tokenizer:
  workdir.mkdir(parents=True, exist_ok=True)
  path = config.tokenizer.path or initial_weights.tokenizer_folder(config)
  if path:
    given = load_tokenizer(path)
    processes.first_tells(lambda: _keep(given.path, workdir))
    return given
  path = workdir / _TRAINED_TOKENIZER

  def train() -> None:
    # Without a manifest no run has used the folder: a launch that was refused or
    # killed may have left a tokenizer of other rows.
    if not (path.exists() and (workdir / provenance.MANIFEST_FILE).exists()):
      train_tokenizer.train_sentencepiece(
        sources.row_texts(rows, template=config.data.template),
        path=path,
        vocab_size=config.tokenizer.train_vocab_size,
      )

  processes.first_tells(train)
  trained = load_tokenizer(path)
  if trained.vocab_size != config.tokenizer.train_vocab_size:
    raise ValueError(
      f"{path} has {trained.vocab_size} tokens and tokenizer.train_vocab_size"
      f" is {config.tokenizer.train_vocab_size}: give another --workdir."
    )
  return trained


def _keep(path: pathlib.Path, workdir: pathlib.Path) -> None:
  """Copies a tokenizer into the run's folder."""
  _copy(path, workdir / f"tokenizer{path.suffix}")
  # They name the BOS and EOS of a tokenizer.json.
  for name in ("tokenizer_config.json", "special_tokens_map.json"):
    if (path.parent / name).is_file():
      _copy(path.parent / name, workdir / name)


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
  """Copies a file so that a kill leaves the old one or the new one."""
  temporary = target.with_suffix(".tmp")
  shutil.copyfile(source, temporary)
  temporary.replace(target)
