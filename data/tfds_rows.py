# SPDX-License-Identifier: Apache-2.0
"""Our TFDS builder: rows of a file, checked and prepared as array_record.

A conversation is stored as TFDS users would expect, a sequence of `role` and
`content` texts, so that any TFDS program can read it. The fields are those of
TRL's formats, with prompt and completion apart because `messages` alone does
not say which turns are trained on. Raw text has configs of its own, since TFDS
gives each config one set of features. The other keys of a record ride along in
one JSON text. Nothing here imports TensorFlow or asks a network.

Decoding costs TFDS about 1 ms a row on one core, some ten times what JSONL
costs: prepare rows to share or to index them, not to load them faster.
"""

import contextlib
import functools
import json
import pathlib
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ramjax.data import load, parse_rows, tfds_source, turns
from ramjax.data.read import DataError
from ramjax.data.rows import ChatRow, Message, Row

NAME = "ramjax_rows"
VERSION = "1.0.0"


class _Config(NamedTuple):
  parse: Callable[[Any], Row]
  texts: tuple[str, ...]
  is_text: bool
  description: str


CONFIGS: Mapping[str, _Config] = {
  "chat": _Config(
    parse_rows.parse_sft,
    ("prompt", "completion"),
    False,
    "conversations to imitate",
  ),
  "text": _Config(
    parse_rows.parse_sft, ("prompt", "completion"), True, "raw text to imitate"
  ),
  "preference": _Config(
    parse_rows.parse_preference,
    ("prompt", "chosen", "rejected"),
    False,
    "two answers to a conversation",
  ),
  "preference_text": _Config(
    parse_rows.parse_preference,
    ("prompt", "chosen", "rejected"),
    True,
    "two raw-text answers",
  ),
  "unpaired": _Config(
    parse_rows.parse_unpaired,
    ("prompt", "completion"),
    False,
    "an answer to a conversation, with a label",
  ),
  "unpaired_text": _Config(
    parse_rows.parse_unpaired,
    ("prompt", "completion"),
    True,
    "a raw-text answer, with a label",
  ),
}


@functools.cache
def builder_class() -> type:
  """Returns the builder `RamjaxRows`; a function, since TFDS is slow to import.

  Its `examples` and `split` are what `download_and_prepare` writes.
  """
  import numpy as np
  import tensorflow_datasets as tfds

  class RamjaxRows(tfds.core.GeneratorBasedBuilder):
    """Rows in the formats of TRL; see `ramjax.data.tfds_rows`."""

    VERSION = tfds.core.Version(VERSION)
    BUILDER_CONFIGS = [  # noqa: RUF012 (TFDS declares it so)
      tfds.core.BuilderConfig(name=name, description=config.description)
      for name, config in CONFIGS.items()
    ]
    # Where TFDS would look for checksums of downloads; it fails to find the
    # code of a namespace package, and there are no downloads.
    code_path = None

    def __init__(self, *, examples=(), split="train", **kwargs):
      self._examples = examples
      self._split = split
      super().__init__(**kwargs)

    def _info(self):
      name = str(self.builder_config_name)
      text = tfds.features.Text()
      conversation = tfds.features.Sequence({"role": text, "content": text})
      texts = text if CONFIGS[name].is_text else conversation
      features: dict[str, Any] = {field: texts for field in CONFIGS[name].texts}
      if name.startswith("unpaired"):
        features["label"] = tfds.features.Scalar(np.bool_)
      return tfds.core.DatasetInfo(
        builder=self,
        description=f"Rows of ramjax: {CONFIGS[name].description}.",
        features=tfds.features.FeaturesDict(
          {**features, tfds_source.EXTRA_FEATURE: text}
        ),
        # Rows keep the order of their file; Grain shuffles them in training.
        disable_shuffling=True,
      )

    def _split_generators(self, dl_manager):
      del dl_manager  # There is nothing to download.
      return {self._split: self._generate_examples()}

    def _generate_examples(self):
      yield from enumerate(self._examples)

  return RamjaxRows


def prepare(
  path: str,
  *,
  config: str,
  data_dir: str,
  split: str = "train",
  max_bad_share: float = 0.0,
  quarantine_path: pathlib.Path | None = None,
) -> Any:
  """Checks the rows of a source and prepares them as a TFDS dataset.

  Args:
    path: A source, as in `load.load_rows`.
    config: One of `CONFIGS`. A row must be of its kind: conversations for
      "chat", raw text for "text", and so on.
    data_dir: Where to prepare it; one file for each config and directory.
    split: The name of the one split it gets.
    max_bad_share: As in `load.load_rows`.
    quarantine_path: As in `load.load_rows`.

  Returns:
    The prepared TFDS builder.

  Raises:
    FileNotFoundError: There is no such source.
    FileExistsError: The directory already holds rows of this config.
    DataError: A row is bad or of another kind than the config's.
    ValueError: `config` or `split` is not allowed.
  """
  if config not in CONFIGS:
    raise ValueError(
      f"config={config!r} is not known. Known configs: {', '.join(CONFIGS)}."
    )
  if not re.fullmatch(r"[a-z][a-z0-9_]*", split) or split == "all":
    raise ValueError(
      f"split={split!r} must be letters, digits and underscores, all lower"
      " case, and not the reserved word all: such as train or test."
    )
  # What a killed run leaves behind has another name than the version's.
  directory = pathlib.Path(data_dir) / NAME / config / VERSION
  if directory.exists():
    raise FileExistsError(
      f"{directory.absolute()} already holds prepared rows: remove it, or choose"
      " another data_dir."
    )
  loaded = load.load_rows(
    path,
    parse=CONFIGS[config].parse,
    max_bad_share=max_bad_share,
    quarantine_path=quarantine_path,
  )
  examples = [
    _to_example(row, record, config, f"path={path!r}: row {number}")
    for number, (row, record) in enumerate(
      zip(loaded.rows, loaded.records, strict=True), 1
    )
  ]
  import tensorflow_datasets as tfds

  builder = builder_class()(
    config=config,
    data_dir=str(pathlib.Path(data_dir).absolute()),
    file_format="array_record",
    examples=examples,
    split=split,
  )
  if not sys.stderr.isatty():
    tfds.disable_progress_bar()
  # TFDS reports on stdout, which is the caller's, and wants a directory for
  # downloads, of which there are none.
  with (
    contextlib.redirect_stdout(sys.stderr),
    tempfile.TemporaryDirectory() as downloads,
  ):
    builder.download_and_prepare(
      download_dir=downloads,
      download_config=tfds.download.DownloadConfig(try_download_gcs=False),
    )
  return builder


def source_path(config: str, split: str, data_dir: str) -> str:
  """Returns the path under which `load.load_rows` reads prepared rows."""
  root = pathlib.Path(data_dir).absolute()
  return f"tfds:{NAME}/{config}:{split}?data_dir={root}"


def _to_example(
  row: Row, record: Mapping[str, Any], config: str, where: str
) -> dict[str, Any]:
  """Returns a row as an example of its config, with the record's extra keys."""
  wanted = CONFIGS[config]
  fields = vars(row) if not isinstance(row, ChatRow) else _split_chat(row)
  is_text = isinstance(fields["prompt"], str)
  if is_text != wanted.is_text:
    kind = "raw text" if is_text else "a conversation"
    base = config.removesuffix("_text")
    others = {"chat": "text", "text": "chat"}
    other = others.get(config, f"{base}_text" if is_text else base)
    raise DataError(
      f"{where} is {kind}, which config={config!r} does not hold: prepare with"
      f" {other!r}, and rows of each kind from a file of their own."
    )
  example: dict[str, Any] = {
    field: fields[field] if is_text else _plain_turns(fields[field])
    for field in wanted.texts
  }
  if "label" in fields:
    example["label"] = fields["label"]
  extra = {
    key: value
    for key, value in record.items()
    if key not in parse_rows.FORMAT_KEYS
  }
  example[tfds_source.EXTRA_FEATURE] = _extra_json(extra, where)
  return example


def _extra_json(extra: Mapping[str, Any], where: str) -> str:
  """Encodes keys that belong to no format, such as an id or a reference."""
  for key, value in extra.items():
    try:
      json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
      raise DataError(
        f"{where}: the key {turns.short_name(key)} cannot be kept as JSON"
        f" ({error}): convert or drop that column."
      ) from error
  return json.dumps(extra)


def _split_chat(row: ChatRow) -> dict[str, tuple[Message, ...]]:
  """Splits a conversation before its first supervised turn.

  A user turn behind the last answer trains nothing, and is left out.
  """
  trained = [
    index for index, turn in enumerate(row.messages) if turn.supervised
  ]
  prompt = row.messages[: trained[0]]
  return {
    "prompt": prompt,
    "completion": row.messages[trained[0] : trained[-1] + 1],
  }


def _plain_turns(messages: tuple[Message, ...]) -> list[dict[str, str]]:
  return [{"role": turn.role, "content": turn.content} for turn in messages]
