# SPDX-License-Identifier: Apache-2.0
"""From files to records: JSONL, JSON and Parquet, read as hostile input.

JSON is strict (`strict_json`), and memory stays bounded whatever a file
expands to.
"""

import collections
import contextlib
import gzip
import itertools
import json
import os
import pathlib
import zlib
from collections.abc import Iterator
from typing import IO, Any, NamedTuple, cast

from ramjax.data import strict_json
from ramjax.data.strict_json import RecordError

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")

# The longest line of JSONL; longer than any conversation, far below a bomb.
MAX_LINE_BYTES = 8 << 20
# An over-long line is skipped up to here; a file with more is not JSONL.
MAX_SKIPPED_BYTES = 1 << 30
# A .json file is held in memory whole, so it is limited, decompressed.
MAX_JSON_BYTES = 1 << 30
# A Parquet row group is decoded whole.
MAX_ROW_GROUP_BYTES = 2 << 30

_RAW_LEN = 2000


class DataError(ValueError):
  """A file or source that cannot be used: which, why, and the remedy."""


class Record(NamedTuple):
  """One record of a file.

  Attributes:
    where: Its place, such as "train.jsonl:17" or "train.json: row 3", from 1.
    value: The decoded value, of any JSON type, or a `RecordError`.
    raw: The record as it stands in the file, cut; empty for Parquet.
  """

  where: str
  value: Any
  raw: str = ""


def read_records(path: str | os.PathLike[str]) -> Iterator[Record]:
  """Yields the records of a file in order, each decoded or with its error.

  A bad line of JSONL, and a bad value inside a JSON array, is yielded as a
  `RecordError`. Damage after which the rest of a file cannot be trusted
  raises. Blank lines of JSONL are skipped; a byte order mark is accepted.

  Args:
    path: A file whose name ends in one of `SUFFIXES`.

  Raises:
    FileNotFoundError: There is no such file (raised at once).
    DataError: The path is of no kind that can be read (at once), or the file
      is damaged or too large (while iterating).
  """
  path = pathlib.Path(path)
  suffix = next(
    (end for end in reversed(SUFFIXES) if path.name.endswith(end)), None
  )
  if path.is_dir():
    raise DataError(
      f"path={str(path)!r} is a directory: name one file; directories and"
      " patterns are not expanded, so that a run says exactly what it read."
    )
  if suffix is None:
    raise DataError(
      f"path={str(path)!r} has none of the known suffixes,"
      f" {', '.join(SUFFIXES)}: convert the file, or rename it if it is one."
    )
  if not path.exists():
    raise FileNotFoundError(
      f"path={str(path)!r} does not exist: looked for {path.absolute()}. It"
      " must name one file; patterns are not expanded."
    )
  if not path.is_file():
    raise DataError(
      f"path={str(path)!r} is not a regular file: write its data to one."
    )
  if suffix == ".parquet":
    return _parquet_records(path)
  return (_jsonl_records if ".jsonl" in suffix else _json_records)(path)


@contextlib.contextmanager
def _open_bytes(path: pathlib.Path) -> Iterator[IO[bytes]]:
  """Opens a plain or gzip file; damage to the latter becomes a `DataError`."""
  if path.suffix != ".gz":
    with open(path, "rb") as stream:
      yield stream
    return
  try:
    with gzip.open(path, "rb") as stream:
      yield cast(IO[bytes], stream)
  except (EOFError, gzip.BadGzipFile, zlib.error) as error:
    raise DataError(
      f"{path}: damaged gzip data ({error}): fetch or compress it again."
    ) from error


def _jsonl_records(path: pathlib.Path) -> Iterator[Record]:
  decoder = strict_json.StrictDecoder()
  with _open_bytes(path) as stream:
    for number in itertools.count(1):
      line = stream.readline(MAX_LINE_BYTES + 1)
      if not line:
        return
      where = f"{path.name}:{number}"
      if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
        _skip_line(stream, path, where)
        raw = line[:_RAW_LEN].decode("utf-8", "backslashreplace")[:_RAW_LEN]
        problem = (
          f"the line is longer than {MAX_LINE_BYTES} bytes: split it, one"
          " record a line"
        )
        yield Record(where, RecordError(problem), raw)
        continue
      if number == 1:
        line = line.removeprefix(b"\xef\xbb\xbf")
      if line.strip(strict_json.SPACE.encode()):
        yield _decode_line(decoder, line, where)


def _skip_line(stream: IO[bytes], path: pathlib.Path, where: str) -> None:
  """Reads to the end of a line in bounded memory, and so far only."""
  skipped = 0
  while chunk := stream.readline(1 << 20):
    skipped += len(chunk)
    if chunk.endswith(b"\n"):
      return
    if skipped > MAX_SKIPPED_BYTES:
      raise DataError(
        f"{path}: {where} runs on for more than {MAX_SKIPPED_BYTES} bytes: this"
        " is no JSONL file; write one record a line."
      )


def _decode_line(
  decoder: strict_json.StrictDecoder, line: bytes, where: str
) -> Record:
  try:
    text = line.decode("utf-8").strip(strict_json.SPACE)
  except UnicodeDecodeError as error:
    problem = (
      f"not UTF-8: byte 0x{line[error.start]:02x} at offset {error.start}: save"
      " the file as UTF-8"
    )
    raw = line[:_RAW_LEN].decode("utf-8", "backslashreplace")
    return Record(where, RecordError(problem), raw[:_RAW_LEN])
  try:
    value, end = decoder.decode(text, 0)
    if end < len(text):
      raise json.JSONDecodeError("Extra data", text, end)
  except json.JSONDecodeError as error:
    value = RecordError(
      f"not valid JSON: {error.msg} at column {error.colno}: write one whole"
      " JSON object a line"
    )
  return Record(where, value, text[:_RAW_LEN])


def _json_records(path: pathlib.Path) -> Iterator[Record]:
  text = _read_json_text(path)
  decoder = strict_json.StrictDecoder()
  row = 0
  try:
    index = strict_json.skip_space(text, 0)
    if text[index : index + 1] != "[":
      raise DataError(
        f"{path}: a .json file must hold one array of objects,"
        ' [{...}, {...}]: if it holds one object a line, name it ".jsonl".'
      )
    index = strict_json.skip_space(text, index + 1)
    closed = text[index : index + 1] == "]"
    while not closed:
      row += 1
      value, end = decoder.decode(text, index)
      raw = text[index : min(end, index + _RAW_LEN)]
      yield Record(f"{path.name}: row {row}", value, raw)
      index = strict_json.skip_space(text, end)
      closed = text[index : index + 1] == "]"
      if not closed:
        if text[index : index + 1] != ",":
          raise json.JSONDecodeError("Expecting ',' or ']'", text, index)
        index = strict_json.skip_space(text, index + 1)
    index = strict_json.skip_space(text, index + 1)
    if index < len(text):
      raise json.JSONDecodeError("Extra data after the array", text, index)
  except json.JSONDecodeError as error:
    raise DataError(
      f"{path}: row {row} breaks the JSON array: {error.msg} at line"
      f" {error.lineno} column {error.colno}: mend it there, or convert the file"
      " to JSONL, where one bad line leaves the others readable."
    ) from None


def _read_json_text(path: pathlib.Path) -> str:
  with _open_bytes(path) as stream:
    data = stream.read(MAX_JSON_BYTES + 1)
  if len(data) > MAX_JSON_BYTES:
    raise DataError(
      f"{path}: larger than {MAX_JSON_BYTES} bytes, and a .json file is held in"
      " memory whole: convert it to JSONL, which is read line by line."
    )
  try:
    return data.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    line = data.count(b"\n", 0, error.start) + 1
    raise DataError(
      f"{path}: not UTF-8: byte 0x{data[error.start]:02x} at line {line}: save"
      " the file as UTF-8."
    ) from None


def _parquet_records(path: pathlib.Path) -> Iterator[Record]:
  import pyarrow as pa
  import pyarrow.parquet as pq

  rows = itertools.count(1)
  try:
    with pq.ParquetFile(path) as file:
      _check_parquet(file, path)
      # Few rows at a time: a row may be 8 MiB of text.
      for batch in file.iter_batches(batch_size=64):
        for index in range(batch.num_rows):
          where = f"{path.name}: row {next(rows)}"
          try:
            value = batch.slice(index, 1).to_pylist()[0]
          except (ValueError, OverflowError) as error:
            # Text that is not UTF-8, a field that stands twice, a bad date.
            value = RecordError(f"no Python value ({error}): write it again")
          yield Record(where, value)
  except (pa.ArrowException, OSError) as error:
    reason = " ".join(str(error).split())[:300]
    raise DataError(
      f"{path}: damaged or unsupported Parquet ({reason}): write it again."
    ) from error


def _check_parquet(file: Any, path: pathlib.Path) -> None:
  """Refuses what would decode to another meaning, or to too much."""
  counts = collections.Counter(file.schema_arrow.names)
  if twice := [name for name, count in counts.items() if count > 1]:
    raise DataError(
      f"{path}: columns {twice[:12]!a} stand twice, which leaves their meaning"
      " open: keep one of each."
    )
  for index in range(file.metadata.num_row_groups):
    size = file.metadata.row_group(index).total_byte_size
    if size > MAX_ROW_GROUP_BYTES:
      raise DataError(
        f"{path}: row group {index} holds {size} bytes, more than"
        f" {MAX_ROW_GROUP_BYTES}: write it with smaller row groups."
      )
